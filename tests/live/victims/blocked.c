/* blocked MS KIND...: one thread for each KIND (the main one if there is but one) blocks for MS
   milliseconds in a call and checks what that returned, and that it did not return early.
   Prints "ready PID" first, "fine" at the end; says what was wrong and exits with 1 otherwise. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long ms;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

static void nothing(int number) { (void)number; }

/* A process that does something after the time: it must not be killed before. */
static pid_t later(int write_end) {
    pid_t child = fork();
    if (child == 0) {
        usleep(ms * 1000);
        if (write_end >= 0 && write(write_end, "x", 1) != 1) _exit(1);
        _exit(7);
    }
    return child;
}

static void *block(void *argument) {
    const char *kind = argument;
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    struct timeval interval = {ms / 1000, ms % 1000 * 1000};
    long result = -2, wanted = 0;
    int number = 0, pair[2] = {-1, -1}, status = 0;
    char byte = 0;
    double begun = now();
    errno = 0;
    if (!strcmp(kind, "read")) {
        if (pipe(pair)) return "pipe";
        later(pair[1]);
        wanted = 1;
        result = read(pair[0], &byte, 1);
        if (byte != 'x') return "read: no byte";
    } else if (!strcmp(kind, "poll")) {
        struct pollfd none = {-1, 0, 0};
        result = poll(&none, 1, ms);
    } else if (!strcmp(kind, "ppoll")) {
        result = ppoll(NULL, 0, &time, NULL);
    } else if (!strcmp(kind, "select")) {
        result = select(0, NULL, NULL, NULL, &interval);
    } else if (!strcmp(kind, "nanosleep")) {
        result = syscall(SYS_nanosleep, &time, NULL);
    } else if (!strcmp(kind, "clock_nanosleep")) {
        result = clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
    } else if (!strcmp(kind, "futex")) {
        int word = 5;
        wanted = -1, number = ETIMEDOUT;
        result = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 5, &time, NULL, 0);
    } else if (!strcmp(kind, "epoll_wait")) {
        struct epoll_event event;
        result = epoll_wait(epoll_create1(0), &event, 1, ms);
    } else if (!strcmp(kind, "recv")) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return "socketpair";
        setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &interval, sizeof interval);
        wanted = -1, number = EAGAIN;
        result = recv(pair[0], &byte, 1, 0);
    } else if (!strcmp(kind, "semtimedop")) {
        int set = semget(IPC_PRIVATE, 1, 0600);
        struct sembuf down = {0, -1, 0};
        wanted = -1, number = EAGAIN;
        result = semtimedop(set, &down, 1, &time);
        int error = errno;
        semctl(set, 0, IPC_RMID);
        errno = error;
    } else if (!strcmp(kind, "sigtimedwait")) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR2);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        wanted = -1, number = EAGAIN;
        result = sigtimedwait(&set, NULL, &time);
    } else if (!strcmp(kind, "wait4")) {
        pid_t child = later(-1);
        wanted = child;
        result = waitpid(child, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 7) return "wait4: another status";
    } else if (!strcmp(kind, "pause")) {
        pid_t self = getpid();
        signal(SIGUSR1, nothing);
        if (fork() == 0) {
            usleep(ms * 1000);
            kill(self, SIGUSR1);
            _exit(0);
        }
        wanted = -1, number = EINTR;
        result = pause();
    } else {
        return "no such kind";
    }
    int error = result < 0 ? errno : 0;
    if (result != wanted || error != number) {
        fprintf(stderr, "%s returned %ld (%s)\n", kind, result, strerror(error));
        return "wrong result";
    }
    if (now() - begun < ms - 1) {
        fprintf(stderr, "%s after %.1f of %ld ms\n", kind, now() - begun, ms);
        return "early";
    }
    return NULL;
}

int main(int count, char **words) {
    pthread_t threads[64];
    void *wrong = NULL, *one;
    ms = atol(words[1]);
    printf("ready %d\n", getpid());
    fflush(stdout);
    if (count == 3) {
        wrong = block(words[2]);
    } else {
        for (int i = 2; i < count; i++) pthread_create(&threads[i], NULL, block, words[i]);
        for (int i = 2; i < count; i++) {
            pthread_join(threads[i], &one);
            wrong = wrong ? wrong : one;
        }
    }
    if (wrong) fprintf(stderr, "%s\n", (char *)wrong);
    puts(wrong ? "wrong" : "fine");
    return wrong != NULL;
}
