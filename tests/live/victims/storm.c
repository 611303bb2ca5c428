/* storm N: a child queues N real-time signals, numbered, and the timer ticks all the while. Each
   must arrive once and in order, and each call give what it gives. "ready PID" first, then "fine". */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t next, ticks, disorder;

static void numbered(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    if (info->si_value.sival_int != next) disorder++;
    next = info->si_value.sival_int + 1;
}

static void tick(int number) { (void)number, ticks++; }

int main(int count, char **words) {
    int wanted = count > 1 ? atoi(words[1]) : 1000, wrong = 0, status;
    struct sigaction action = {.sa_sigaction = numbered, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct itimerval often = {{0, 700}, {0, 700}};
    pid_t self = getpid();
    sigaction(SIGRTMIN, &action, NULL);
    action.sa_handler = tick;
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    printf("ready %d\n", self);
    fflush(stdout);
    getchar();
    setitimer(ITIMER_REAL, &often, NULL);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < wanted; i++) {
            union sigval value = {.sival_int = i};
            while (sigqueue(self, SIGRTMIN, value) && errno == EAGAIN) usleep(100);
            usleep(200);
        }
        _exit(3);
    }
    while (next < wanted) {
        if (getppid() <= 0 || getpid() != self || close(-1) != -1 || errno != EBADF) wrong++;
    }
    if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 3) wrong++;
    if (disorder || wrong || !ticks) {
        printf("wrong: %d out of order, %d calls, %d ticks\n", (int)disorder, wrong, (int)ticks);
        return 1;
    }
    puts("fine");
    return 0;
}
