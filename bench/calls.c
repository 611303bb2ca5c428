/* The measured program: cheap system calls in a loop, and the time each takes.
 *
 *   calls getppid N       print nanoseconds per getppid(2)
 *   calls access N        the same of access("/dev/null"), a call that has a path
 *   calls marks STEP K    K times: STEP getppid calls, a line out, a byte in
 *   calls stall N         print a line, read one, print the longest of N getppid, in nanoseconds
 *   calls now             print CLOCK_MONOTONIC in nanoseconds before anything else
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at); /* from the vDSO: no system call */
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void getppids(long count)
{
    while (count-- > 0)
        syscall(SYS_getppid);
}

static void accesses(long count)
{
    while (count-- > 0)
        access("/dev/null", F_OK);
}

static long long longest(long count)
{
    long long before = now(), after, most = 0;

    while (count-- > 0) {
        syscall(SYS_getppid);
        after = now();
        if (after - before > most)
            most = after - before;
        before = after;
    }
    return most;
}

static int usage(void)
{
    fputs("usage: calls getppid N | access N | marks STEP K | stall N | now\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    long long first = now();
    void (*calls)(long) = getppids;
    long count, k;
    char byte;

    if (argc == 2 && !strcmp(argv[1], "now")) {
        printf("%lld\n", first);
        return 0;
    }
    if (argc < 3)
        return usage();
    count = atol(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "marks")) {
        for (k = 1; k <= atol(argv[3]); k++) {
            getppids(count);
            printf("%ld\n", k * count);
            fflush(stdout);
            if (read(STDIN_FILENO, &byte, 1) != 1)
                return 1;
        }
        return 0;
    }
    if (!strcmp(argv[1], "stall")) {
        longest(count / 20 + 100);
        puts("ready");
        fflush(stdout);
        getchar();
        printf("%lld\n", longest(count));
        return 0;
    }
    if (!strcmp(argv[1], "access"))
        calls = accesses;
    else if (strcmp(argv[1], "getppid"))
        return usage();
    calls(count / 20 + 100); /* the supervisor's first look at the task is not measured */
    first = now();
    calls(count);
    printf("%.1f\n", (double)(now() - first) / count);
    return 0;
}
