/* Calls that fail now and then by EAGAIN, in two threads and a child, until nothing has failed for
   2000 calls; says each failure on stdout, "alone" then, and "done" when all have ended well. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *text) {
    if (write(1, text, strlen(text)) < 0) _exit(9);
}

static void until_alone(int loud) {
    for (int quiet = 0; quiet < 2000; quiet++) {
        if (syscall(SYS_getppid) == -1) {
            if (errno != EAGAIN) say(strerror(errno)), _exit(8);
            if (loud) say("EAGAIN\n");
            quiet = 0;
        }
    }
}

static void *beside(void *unused) {
    for (int i = 0; i < 100; i++) /* the 50th is parked */
        if (syscall(SYS_getpgrp) < 0) say("getpgrp\n"), _exit(7);
    until_alone(0);
    return unused;
}

int main(void) {
    printf("%d\n", getpid());
    fflush(stdout);
    pthread_t thread;
    int status;
    if (pthread_create(&thread, NULL, beside, NULL)) return 2;
    pid_t child = fork();
    if (child == 0) until_alone(0), _exit(3);
    until_alone(1);
    say("alone\n");
    if (pthread_join(thread, NULL) || waitpid(child, &status, 0) != child) return 4;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 3) return 5;
    if (system("exit 6") != 6 << 8) return 6; /* new processes live too */
    say("done\n");
    return 0;
}
