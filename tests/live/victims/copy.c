// copy FROM TO: copies a file with read and write, checks the copy, names what failed.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int check(int result, const char *what, const char *path)
{
    if (result >= 0)
        return result;
    fprintf(stderr, "copy: %s %s: %s\n", what, path, strerror(errno));
    exit(10);
}

int main(int argc, char **argv)
{
    char block[512], again[512];
    int n, total = 0;
    if (argc != 3)
        return 2;
    int from = check(open(argv[1], O_RDONLY), "open", argv[1]);
    int to = check(open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0644), "create", argv[2]);
    while ((n = check(read(from, block, sizeof block), "read", argv[1])) > 0) {
        if (check(write(to, block, n), "write", argv[2]) != n)
            return 11;
        if (pread(to, again, n, total) != n || memcmp(block, again, n))
            return 12;
        total += n;
    }
    printf("%d bytes\n", total);
    return 0;
}
