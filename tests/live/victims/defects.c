/* One known defect each, by its name in argv[1]; each is right as long as nothing fails. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_signal(int number) { (void)number; }

static int give_up(const char *what)
{
    dprintf(2, "defects: %s: %s\n", what, strerror(errno));
    return 1;
}

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        size -= n;
    }
    return 0;
}

/* Writes a new file whole, or not at all. */
static int save(const char *name, const char *text)
{
    char temporary[64];
    snprintf(temporary, sizeof temporary, "%s.new", name);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return give_up(temporary);
    int bad = write_all(fd, text, strlen(text)) < 0 || fsync(fd) < 0;
    bad |= close(fd) < 0;
    if (bad || rename(temporary, name) < 0) {
        int status = give_up(name);
        while (unlink(temporary) < 0 && errno != ENOENT)
            sched_yield();
        return status;
    }
    return 0;
}

static int careful(void)
{
    char data[64];
    int fd = open("input", O_RDONLY);
    if (fd < 0)
        return give_up("input");
    size_t have = 0;
    for (;;) {
        ssize_t n = read(fd, data + have, sizeof data - 1 - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int status = give_up("input");
            close(fd);
            return status;
        }
        if (n == 0)
            break;
        have += n;
    }
    close(fd); /* only read */
    data[have] = 0;
    return save("output", data) || (write_all(1, "done\n", 5) < 0 && give_up("stdout"));
}

static int silent(void)
{
    int fd = open("output", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return give_up("output");
    for (int i = 0; i < 20; i++)
        if (write(fd, "line\n", 5) < 0) {
            /* forgotten */
        }
    return close(fd) < 0 ? give_up("output") : 0;
}

static int crash(void)
{
    char *memory = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory[5] = 1;
    return 0;
}

static int aborts(void)
{
    int fd = open("input", O_RDONLY);
    if (fd < 0)
        abort();
    return 0;
}

static int hang(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGALRM, &action, 0);
    int ends[2];
    char byte;
    if (pipe(ends) < 0)
        return give_up("pipe");
    if (write_all(ends[1], "xy", 2) < 0)
        return give_up("pipe");
    if (read(ends[0], &byte, 1) < 0 && errno == EINTR)
        for (;;)
            pause();
    return 0;
}

static int storm(void)
{
    pid_t child;
    int tries = 0;
    while ((child = fork()) < 0)
        if (++tries > 4000)
            return give_up("fork");
    if (child == 0)
        _exit(0);
    return waitpid(child, 0, 0) == child ? 0 : give_up("waitpid");
}

static int descriptor(void)
{
    char data[16];
    int fd = open("input", O_RDONLY);
    if (fd < 0)
        return give_up("input");
    if (read(fd, data, sizeof data) < 0) {
        give_up("input");
        return 0;
    }
    close(fd);
    return 0;
}

static int temporary(void)
{
    char name[200];
    snprintf(name, sizeof name, "%s/defectsXXXXXX", getenv("TMPDIR"));
    int fd = mkstemp(name);
    if (fd < 0)
        return give_up(name);
    if (write_all(fd, "data", 4) < 0)
        return give_up(name);
    close(fd);
    return unlink(name) < 0 ? give_up(name) : 0;
}

static int second(void)
{
    int fd = open("input", O_RDONLY);
    if (fd < 0) {
        int saved = errno;
        char *log = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        errno = saved;
        strcpy(log, "input");
        return give_up(log);
    }
    return 0;
}

/* What is in a and in b must be the same. */
static int invariant(void)
{
    return save("a", "new\n") || save("b", "new\n");
}

int main(int argc, char **argv)
{
    struct {
        const char *name;
        int (*run)(void);
    } defects[] = {
        {"careful", careful},       {"silent", silent},       {"crash", crash},
        {"aborts", aborts},         {"hang", hang},           {"storm", storm},
        {"descriptor", descriptor}, {"temporary", temporary}, {"second", second},
        {"invariant", invariant},
    };
    for (size_t i = 0; argc > 1 && i < sizeof defects / sizeof *defects; i++)
        if (!strcmp(argv[1], defects[i].name))
            return defects[i].run();
    return 2;
}
