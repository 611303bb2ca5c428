/* Makes 60 getppid. With the 10th and the 40th failing it aborts; with the 10th alone it exits
 * with 7, and says so; whatever else fails is of no matter. Its data go to the file it is told. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int failed[61] = {0};
    for (int i = 1; i <= 60; i++) failed[i] = syscall(SYS_getppid) == -1;
    if (failed[10] && failed[40]) {
        fprintf(stderr, "pair.c:%d: main: Assertion `whole' failed.\n", __LINE__);
        abort();
    }
    if (argc > 1) {
        int fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (fd < 0) return 2;
        if (!failed[20] && write(fd, "data\n", 5) != 5) return 3;
        close(fd);
    }
    return failed[10] ? 7 : 0;
}
