/* Every call that moves data, eight bytes each in a vector of 3 and 5, on descriptors from 100 on.
   First argument: what the rules do to them: nothing, short (2 bytes), corrupt (bitflip),
   run (made, then EIO). It checks results, data, its vectors, headers, buffers and registers. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define CHECK(what)                                                                     \
    do {                                                                                \
        if (!(what)) {                                                                  \
            printf("%s, line %d: %s (errno %d)\n", name, __LINE__, #what, errno);       \
            fflush(stdout);                                                             \
            _exit(1);                                                                   \
        }                                                                               \
    } while (0)
#define SIZE 8
#define CUT 2

static const char *name = "start";
static int is_short, is_corrupt, is_run, ends[2], file;
static const char data[SIZE + 1] = "abcdefgh";

#ifdef __x86_64__
static long call(long n, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    register long rbx __asm__("rbx") = 11, r12 __asm__("r12") = 12, r13 __asm__("r13") = 13;
    register long r14 __asm__("r14") = 14, r15 __asm__("r15") = 15;
    long a1 = a, b1 = b, c1 = c, result = n;
    __asm__ volatile("syscall"
                     : "+a"(result), "+D"(a1), "+S"(b1), "+d"(c1), "+r"(r10), "+r"(r8), "+r"(r9),
                       "+r"(rbx), "+r"(r12), "+r"(r13), "+r"(r14), "+r"(r15)
                     :
                     : "rcx", "r11", "memory");
    CHECK(a1 == a && b1 == b && c1 == c && r10 == d && r8 == e && r9 == f);
    CHECK(rbx == 11 && r12 == 12 && r13 == 13 && r14 == 14 && r15 == 15);
    if (result < 0 && result > -4096) {
        errno = -result;
        return -1;
    }
    return result;
}
#else
static long call(long n, long a, long b, long c, long d, long e, long f) {
    if (f || n == SYS_preadv2 || n == SYS_pwritev2 || n == SYS_splice)
        return syscall(n, a, b, c, d, e, f);
    long a1 = a, b1 = b, c1 = c, d1 = d, e1 = e, result = n;
    __asm__ volatile("int $0x80"
                     : "+a"(result), "+b"(a1), "+c"(b1), "+d"(c1), "+S"(d1), "+D"(e1)
                     :
                     : "memory");
    CHECK(a1 == a && b1 == b && c1 == c && d1 == d && e1 == e);
    if (result < 0 && result > -4096) {
        errno = -result;
        return -1;
    }
    return result;
}
#endif

static int high(int fd) {
    int to = fcntl(fd, F_DUPFD, 100);
    CHECK(to >= 100 && !close(fd));
    return to;
}
/* The test's own end has a low number: no rule is on it. */
static void pair(int reading) {
    int sockets[2];
    CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    ends[0] = reading ? high(sockets[0]) : sockets[0];
    ends[1] = reading ? sockets[1] : high(sockets[1]);
    if (reading) CHECK(write(ends[1], data, SIZE) == SIZE);
}
static int moved(long result) {
    if (is_run) CHECK(result == -1 && errno == EIO);
    else CHECK(result == (is_short ? CUT : SIZE));
    return is_short ? CUT : SIZE;
}
static int bits(const char *got, int size) {
    int found = 0;
    for (int i = 0; i < size; i++) found += __builtin_popcount((got[i] ^ data[i]) & 0xFF);
    return found;
}
/* What came where it was to come: `size` bytes, and what is left for the next one. */
static void arrived(const char *got, int size) {
    CHECK(bits(got, size) == is_corrupt);
    for (int i = size; i < SIZE; i++) CHECK(got[i] == '.');
}
static void rest(int fd, int size) {
    char left[2 * SIZE];
    CHECK(recv(fd, left, sizeof left, MSG_DONTWAIT) == (size < SIZE ? SIZE - size : -1));
    CHECK(size == SIZE || !memcmp(left, data + size, SIZE - size));
}
static void sent(int size) {
    char got[2 * SIZE] = "................";
    CHECK(recv(ends[0], got, sizeof got, MSG_DONTWAIT) == size);
    arrived(got, size);
}

static char buffer[SIZE + 1];
static struct iovec vector[2], before[2];
static struct msghdr header;
static struct mmsghdr messages[2];
static void fresh(const char *content) {
    memcpy(buffer, content, SIZE);
    before[0] = vector[0] = (struct iovec){buffer, 3};
    before[1] = vector[1] = (struct iovec){buffer + 3, 5};
    header = (struct msghdr){.msg_iov = vector, .msg_iovlen = 2};
    messages[0] = messages[1] = (struct mmsghdr){.msg_hdr = header};
}
static void intact(void) {
    CHECK(!memcmp(vector, before, sizeof vector));
    CHECK(header.msg_iov == vector && header.msg_iovlen == 2);
    for (int i = 0; i < 2; i++)
        CHECK(messages[i].msg_hdr.msg_iov == vector && messages[i].msg_hdr.msg_iovlen == 2);
}

static void reads(const char *which, int socket, long number, long b, long c, long d, long e) {
    name = which;
    fresh("........");
    if (socket) pair(1);
    long result = call(number, socket ? ends[0] : file, b, c, d, e, 0);
    int size = number == SYS_recvmmsg && result == 1 ? moved(messages[0].msg_len) : moved(result);
    arrived(buffer, size);
    intact();
    if (socket) {
        rest(ends[0] = dup2(ends[0], 90), size);
        close(ends[0]);
        close(ends[1]);
    }
}
static void writes(const char *which, int socket, long number, long b, long c, long d, long e) {
    name = which;
    fresh(data);
    int checked = 80;
    if (socket) pair(0);
    else CHECK(!ftruncate(file, 0));
    long result = call(number, socket ? ends[1] : file, b, c, d, e, 0);
    int size = number == SYS_sendmmsg && result == 1 ? moved(messages[0].msg_len) : moved(result);
    CHECK(!memcmp(buffer, data, SIZE));
    intact();
    if (socket) {
        sent(size);
        close(ends[0]);
        close(ends[1]);
    } else {
        char got[2 * SIZE] = "................";
        CHECK(dup2(file, checked) == checked && lseek(checked, 0, SEEK_SET) == 0);
        CHECK(read(checked, got, sizeof got) == size);
        arrived(got, size);
    }
}

int main(int argc, char **argv) {
    is_short = !strcmp(argv[1], "short");
    is_corrupt = !strcmp(argv[1], "corrupt");
    is_run = !strcmp(argv[1], "run");
    long text = (long)buffer, array = (long)vector, message = (long)&header, many = (long)messages;
    char byte;
    alarm(60);
    int opened = memfd_create("moves", 0);
    CHECK(opened >= 0 && write(opened, data, SIZE) == SIZE);
    file = high(opened);
    puts("ready");
    fflush(stdout);
    CHECK(read(0, &byte, 1) == 1);
    if (!strcmp(argv[1], "dies")) {
        int fd = high(open(argv[2], O_WRONLY));
        write(fd, data, SIZE);
        return 1;
    }
    for (int turn = 0; turn < 5; turn++) {
        CHECK(!ftruncate(file, 0) && lseek(file, 0, SEEK_SET) == 0);
        CHECK(dup2(file, 80) == 80 && write(80, data, SIZE) == SIZE);
        reads("read", 1, SYS_read, text, SIZE, 0, 0);
        reads("readv", 1, SYS_readv, array, 2, 0, 0);
        reads("pread64", 0, SYS_pread64, text, SIZE, 0, 0);
        reads("preadv", 0, SYS_preadv, array, 2, 0, 0);
        reads("preadv2", 0, SYS_preadv2, array, 2, 0, 0);
        reads("recvfrom", 1, SYS_recvfrom, text, SIZE, MSG_DONTWAIT, 0);
        reads("recvmsg", 1, SYS_recvmsg, message, MSG_DONTWAIT, 0, 0);
        reads("recvmmsg", 1, SYS_recvmmsg, many, 2, MSG_DONTWAIT, 0);
        writes("write", 1, SYS_write, text, SIZE, 0, 0);
        writes("writev", 1, SYS_writev, array, 2, 0, 0);
        writes("pwrite64", 0, SYS_pwrite64, text, SIZE, 0, 0);
        writes("pwritev", 0, SYS_pwritev, array, 2, 0, 0);
        writes("pwritev2", 0, SYS_pwritev2, array, 2, 0, 0);
        writes("sendto", 1, SYS_sendto, text, SIZE, 0, 0);
        writes("sendmsg", 1, SYS_sendmsg, message, 0, 0, 0);
        writes("sendmmsg", 1, SYS_sendmmsg, many, 1, 0, 0);
        if (is_corrupt) continue; /* these have no buffer of the program's, or nothing to compare */
        name = "getrandom";
        memset(buffer, 0, SIZE);
        moved(call(SYS_getrandom, text, SIZE, 0, 0, 0, 0));
        for (int i = CUT; is_short && i < SIZE; i++) CHECK(!buffer[i]);
        name = "sendfile";
        long at = 0;
        CHECK(lseek(80, 0, SEEK_SET) == 0 && write(80, data, SIZE) == SIZE);
        pair(0);
        int size = moved(call(SYS_sendfile, ends[1], 80, (long)&at, SIZE, 0, 0));
        CHECK(at == size);
        sent(size);
        close(ends[0]);
        close(ends[1]);
        name = "splice";
        int low[2], second[2];
        CHECK(!pipe(low) && !pipe(second) && write(low[1], data, SIZE) == SIZE);
        int from = high(low[0]);
        size = moved(call(SYS_splice, from, 0, second[1], 0, SIZE, 0));
        memcpy(buffer, "........", SIZE);
        CHECK(read(second[0], buffer, SIZE) == size);
        arrived(buffer, size);
        close(from);
        close(low[1]);
        close(second[0]);
        close(second[1]);
    }
    puts("ok");
    return 0;
}
