/* Says "ready" and waits in pause(2), at the end of a known nest of functions.
   With -DLIBRARY the part that goes into a shared library. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int by_library(int (*callback)(int), int number);

#if defined LIBRARY || !defined SPLIT
static __attribute__((noinline, noclone)) int hidden(int (*callback)(int), int number) {
    return callback(number + 1) + 1;
}

__attribute__((noinline, noclone)) int by_library(int (*callback)(int), int number) {
    return hidden(callback, number + 1) + 1;
}
#endif

#ifndef LIBRARY
static __attribute__((noinline, noclone)) int inner(int number) {
    if (write(1, "ready\n", 6) != 6) _exit(3);
    return pause() + number;
}

static __attribute__((noinline, noclone)) int middle(int number) {
    return by_library(inner, number + 1) + 1;
}

static __attribute__((noinline, noclone)) int outer(int number) {
    return middle(number + 1) + 1;
}

static __attribute__((noinline, noclone)) int deep(int rest) {
    return rest ? deep(rest - 1) + 1 : inner(0) + 1;
}

static void *work(void *argument) {
    return outer(1) ? argument : NULL;
}

static void woken(int signal) {
    (void)signal;
}

static void handler(int signal) {
    outer(signal);
}

/* push rbp; mov rbp, rsp; call rdi; pop rbp; ret: code of no file. */
static int jit(void) {
    static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
    void *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) return 2;
    memcpy(place, code, sizeof code);
    if (mprotect(place, 4096, PROT_READ | PROT_EXEC)) return 2;
    return ((int (*)(int (*)(int)))place)(inner) + 1;
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "main";
    if (!strcmp(how, "thread")) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, NULL)) return 2;
        return pthread_join(thread, NULL);
    }
    if (!strcmp(how, "signal")) {
        signal(SIGUSR1, handler);
        return raise(SIGUSR1);
    }
    if (!strcmp(how, "deep")) return deep(atoi(argv[2])) + 1;
    if (!strcmp(how, "jit")) return jit() + 1;
    if (!strcmp(how, "vdso")) {
        struct timespec now;
        if (write(1, "ready\n", 6) != 6) return 3;
        for (;;) clock_gettime(CLOCK_MONOTONIC, &now);
    }
    if (!strcmp(how, "exec")) {
        signal(SIGUSR2, woken);
        inner(0);
        return execv(argv[2], argv + 2);
    }
#ifdef __x86_64__
    if (!strcmp(how, "broken")) {
        /* A chain of frame pointers that leads back to itself, and code that knows no other way. */
        long loop[2] = {(long)loop, (long)main};
        if (write(1, "ready\n", 6) != 6) return 3;
        __asm__ volatile("mov %0, %%rsp\n mov %0, %%rbp\n mov $34, %%eax\n syscall" ::"r"(loop));
    }
#endif
    return outer(1) + 1;
}
#endif
