/* Leaves a daemon that is in no session, process group or family of ours and makes no call that
 * anybody waits for, and writes its number: "leaves FILE [exit|stay]". */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int ready[2];
    char byte;
    if (pipe(ready)) return 3;
    pid_t middle = fork();
    if (middle == 0) {
        setsid();
        if (fork()) _exit(0);
        signal(SIGTERM, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        int fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 2) _exit(4);
        close(fd);
        if (write(ready[1], "r", 1) != 1) _exit(5);
        for (;;) pause();
    }
    if (middle < 0 || waitpid(middle, NULL, 0) != middle) return 6;
    if (read(ready[0], &byte, 1) != 1) return 7;
    syscall(SYS_getppid);
    if (!strcmp(argv[2], "stay"))
        for (;;) pause();
    return 0;
}
