/* opens FILE: for each line it reads it opens FILE, in a thread, and in a child, and says how that
   went: "0 0 0", or errno in their places. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *file;

static int try(void) {
    int fd = open(file, O_RDONLY);
    if (fd < 0) return errno;
    close(fd);
    return 0;
}

static void *in_thread(void *unused) {
    (void)unused;
    return (void *)(long)try();
}

int main(int count, char **words) {
    char byte;
    file = count > 1 ? words[1] : "/dev/null";
    puts("ready");
    fflush(stdout);
    while (read(0, &byte, 1) == 1) {
        pthread_t thread;
        void *its = NULL;
        int status = 0, mine = try();
        pthread_create(&thread, NULL, in_thread, NULL);
        pthread_join(thread, &its);
        pid_t child = fork();
        if (child == 0) _exit(try());
        waitpid(child, &status, 0);
        printf("%d %d %d\n", mine, (int)(long)its, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
        fflush(stdout);
    }
    return 9;
}
