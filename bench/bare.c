/* The limit: the least a supervisor in C can do under seccomp user notification.
 *
 *   bare NUMBER[,NUMBER...] CMD ARGS...
 *
 * Starts CMD, has the calls of these numbers stopped and lets each be made. Blocks in
 * RECV, answers CONTINUE, looks at nothing else; wakes the other side on the same core
 * (SYNC_WAKE_UP, Linux 6.6) where that is to be had. Exits as CMD does.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#define MOST 64

enum { UNKNOWN = -1, REFUSED = -2 };

struct shared {
    volatile int listener; /* its number in the child */
    volatile int taken;    /* the parent has it too */
};

static pid_t child;

static void die(const char *what)
{
    perror(what);
    exit(125);
}

/* A signal handler and not a wait after RECV: before Linux 6.11 RECV sleeps for ever
   when the last task is gone. */
static void ended(int number)
{
    int status;

    (void)number;
    if (waitpid(child, &status, WNOHANG) == child)
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static int install(char *numbers)
{
    struct sock_filter code[MOST + 3];
    struct sock_fprog program = { 0, code };
    unsigned short n = 0;
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    int count = 1, left, fd;
    char *at;

    for (at = numbers; *at; at++)
        count += *at == ',';
    if (count > MOST)
        exit(125);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0); /* seccomp_data.nr */
    for (left = count, at = strtok(numbers, ","); at; at = strtok(NULL, ","), left--)
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, atoi(at), left, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    program.len = n;
    for (;;) {
        fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
        if (fd >= 0)
            return fd;
        if (errno == EACCES && !prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        else if (errno == EINVAL && flags != SECCOMP_FILTER_FLAG_NEW_LISTENER)
            flags = SECCOMP_FILTER_FLAG_NEW_LISTENER; /* before Linux 5.19 */
        else
            return REFUSED;
    }
}

static void supervise(int listener)
{
    struct seccomp_notif call;
    struct seccomp_notif_resp answer = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

    for (;;) {
        memset(&call, 0, sizeof call);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0) {
            if (errno != ENOENT && errno != EINTR)
                die("bare: receive");
            continue; /* a task died; when it was the last one, SIGCHLD ends us */
        }
        answer.id = call.id;
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0 && errno != ENOENT)
            die("bare: answer");
    }
}

int main(int argc, char **argv)
{
    struct shared *shared;
    int listener, pidfd;

    if (argc < 3) {
        fputs("usage: bare NUMBER[,NUMBER...] CMD ARGS...\n", stderr);
        return 125;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("bare: mmap");
    shared->listener = UNKNOWN;
    child = fork();
    if (child < 0)
        die("bare: fork");
    if (child == 0) {
        shared->listener = install(argv[1]);
        if (shared->listener == REFUSED)
            die("bare: seccomp");
        while (!shared->taken)
            ; /* no system call: it might be one of those that are stopped */
        execvp(argv[2], argv + 2);
        die(argv[2]);
    }
    signal(SIGCHLD, ended);
    while (shared->listener == UNKNOWN)
        usleep(100);
    pidfd = syscall(SYS_pidfd_open, child, 0);
    listener = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, shared->listener, 0);
    if (listener < 0) {
        perror("bare: pidfd_getfd");
        kill(child, SIGKILL);
        return 125;
    }
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    shared->taken = 1;
    supervise(listener);
}
