/* A tree of processes, each forks B children to depth D, makes M calls and writes one line
   "path: i i i" of those that failed; a process waits for its children. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int branch, calls;

static int grow(const char *path, int depth) {
    char line[65536], *at = line;
    int children = 0;
    for (int b = 1; depth > 0 && b <= branch; b++) {
        pid_t pid = fork();
        if (pid < 0) _exit(9);
        if (pid == 0) {
            char name[256];
            snprintf(name, sizeof name, "%s.%d", path, b);
            _exit(grow(name, depth - 1));
        }
        children++;
    }
    at += sprintf(at, "%s:", path);
    for (int i = 1; i <= calls; i++)
        if (syscall(SYS_getppid) == -1) at += sprintf(at, " %d", i);
    *at++ = '\n';
    if (write(1, line, at - line) != at - line) _exit(8);
    int status, bad = 0;
    while (children-- > 0)
        if (wait(&status) < 0 || status) bad = 1;
    return bad;
}

int main(int argc, char **argv) {
    if (argc != 4) return 3;
    branch = atoi(argv[1]);
    calls = atoi(argv[3]);
    return grow("0", atoi(argv[2]));
}
