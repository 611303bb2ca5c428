/* Processes and threads that call without end, and append to a file each call that failed:
   "fault", or "ENOSYS": what a filter without a supervisor answers. "ready" on stdout first. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int file;

static void call(void) {
    if (syscall(SYS_getppid) != -1) return;
    const char *line = errno == ENOSYS ? "ENOSYS\n" : "fault\n";
    if (write(file, line, strlen(line)) < 0) _exit(9);
}

static void *work(void *unused) {
    for (;;) call();
    return unused;
}

static void fork_on(void) {
    for (;;) {
        pid_t pid = fork();
        if (pid == 0) {
            call();
            if (fork() == 0) {
                call();
                pause();
            }
            _exit(0);
        }
        if (pid > 0) waitpid(pid, NULL, 0);
        if (pid < 0 && errno == ENOSYS) call();
        usleep(2000);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) return 3;
    file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (file < 0) return 2;
    alarm(60);
    for (int i = 0; i < 2; i++)
        if (fork() == 0) {
            pthread_t thread;
            alarm(60);
            pthread_create(&thread, NULL, work, NULL);
            work(NULL);
        }
    if (write(1, "ready\n", 6) != 6) return 4;
    fork_on();
}
