/* So many threads that attaching takes its time, and a first one that never waits long: a timer
 * signals it each millisecond, and it writes a dot about as often. */

#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void *wait_for_ever(void *nothing) {
    for (;;) pause();
    return nothing;
}

static void tick(int number) { (void)number; }

int main(int argc, char **argv) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    for (int left = argc > 1 ? atoi(argv[1]) : 0; left > 0; left--) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, wait_for_ever, NULL)) errx(1, "no thread");
    }
    signal(SIGALRM, tick);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    struct itimerval each = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_REAL, &each, NULL);
    for (;;) {
        struct timespec moment = {0, 2000000};
        nanosleep(&moment, NULL);
        if (write(1, ".", 1) != 1) return 1;
    }
}
