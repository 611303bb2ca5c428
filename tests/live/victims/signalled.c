/* Says "ready", then the number of each signal it gets; ends at the second SIGTERM. */
#include <signal.h>
#include <stdio.h>

int main(void) {
    sigset_t all;
    int number, terms = 0;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    puts("ready");
    fflush(stdout);
    while (terms < 2) {
        if (sigwait(&all, &number)) return 2;
        printf("%d\n", number);
        fflush(stdout);
        terms += number == SIGTERM;
    }
    return 0;
}
