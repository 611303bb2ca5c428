/* N threads make M getppid each; the first that fails is handled as told: "abort", "exit" with 3,
 * "hang", or "ignore". "fork" makes N processes of it. Prints how many failed, at the end. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *how;
static int calls;
static atomic_int failed;

static void *work(void *nothing) {
    for (int i = 0; i < calls; i++)
        if (syscall(SYS_getppid) == -1) {
            failed++;
            if (!strcmp(how, "abort")) abort();
            if (!strcmp(how, "exit")) exit(3);
            if (!strcmp(how, "hang"))
                for (;;) pause();
        }
    return nothing;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    how = argv[1];
    int n = atoi(argv[2]);
    calls = atoi(argv[3]);
    if (argc > 4) {
        int status, bad = 0;
        for (int k = 0; k < n; k++)
            if (fork() == 0) {
                work(NULL);
                _exit(0);
            }
        while (wait(&status) > 0) bad |= status;
        return bad != 0;
    }
    pthread_t threads[64];
    for (int k = 0; k < n; k++)
        if (pthread_create(&threads[k], NULL, work, NULL)) return 4;
    for (int k = 0; k < n; k++) pthread_join(threads[k], NULL);
    printf("%d failed\n", failed);
    return 0;
}
