/* N threads, each makes the same M calls and tells which of them failed: "K: i i i". */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int calls;
static char (*lines)[65536];

static void *work(void *number) {
    long k = (long)number;
    char *at = lines[k];
    at += sprintf(at, "%ld:", k);
    for (int i = 1; i <= calls; i++) {
        errno = 0;
        if (syscall(SYS_getppid) == -1) at += sprintf(at, " %d", i);
    }
    return NULL;
}

int main(int argc, char **argv) {
    int n = atoi(argv[1]);
    calls = atoi(argv[2]);
    lines = calloc(n, sizeof *lines);
    pthread_t *threads = calloc(n, sizeof *threads);
    for (long k = 0; k < n; k++)
        if (pthread_create(&threads[k], NULL, work, (void *)k)) return 2;
    for (int k = 0; k < n; k++) pthread_join(threads[k], NULL);
    for (int k = 0; k < n; k++) puts(lines[k]);
    return argc == 3 ? 0 : 3;
}
