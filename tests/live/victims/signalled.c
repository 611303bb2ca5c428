/* Says "ready", then the number of each signal it gets; ends at the second SIGTERM or SIGQUIT. */
#include <signal.h>
#include <stdio.h>

int main(void) {
    sigset_t all;
    int number, ends = 0;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    puts("ready");
    fflush(stdout);
    while (ends < 2) {
        if (sigwait(&all, &number)) return 2;
        printf("%d\n", number);
        fflush(stdout);
        ends += number == SIGTERM || number == SIGQUIT;
    }
    return 0;
}
