/* spin: says "ready", then computes without a call, all registers full of known values that it
   compares again and again, until its memory says stop (another process writes there). */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void) {
    volatile char *stop = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    long bad = 0, rounds = 0;
    char line[8];
    if (fork() == 0) { /* it writes there as soon as its standard input ends */
        while (read(0, line, sizeof line) > 0) continue;
        *stop = 1;
        _exit(0);
    }
    puts("ready");
    fflush(stdout);
    while (!*stop) {
        long differs;
        __asm__ volatile(
            "mov $0x1111111111111111, %%rbx\n mov $0x2222222222222222, %%rcx\n"
            "mov $0x3333333333333333, %%rdx\n mov $0x4444444444444444, %%rsi\n"
            "mov $0x5555555555555555, %%rdi\n mov $0x6666666666666666, %%r8\n"
            "mov $0x7777777777777777, %%r9\n mov $0x0808080808080808, %%r10\n"
            "mov $0x0909090909090909, %%r11\n mov $0x0a0a0a0a0a0a0a0a, %%r12\n"
            "movq %%r12, %%xmm7\n"
            "mov $100000, %%r13\n xor %%r15, %%r15\n"
            "1: lea (%%rbx,%%rcx), %%r14\n add %%rdx, %%r14\n add %%rsi, %%r14\n"
            "add %%rdi, %%r14\n add %%r8, %%r14\n add %%r9, %%r14\n add %%r10, %%r14\n"
            "add %%r11, %%r14\n add %%r12, %%r14\n movq %%xmm7, %%rax\n add %%rax, %%r14\n"
            "mov $0xf7f7f7f7f7f7f7f7, %%rax\n"
            "cmp $0, %%r15\n jne 2f\n mov %%r14, %%r15\n"
            "2: cmp %%r14, %%r15\n jne 3f\n"
            "dec %%r13\n jne 1b\n"
            "mov $0, %%eax\n jmp 4f\n"
            "3: mov $1, %%eax\n"
            "4:\n"
            : "=a"(differs)
            :
            : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
              "r15", "xmm7", "cc", "memory");
        bad += differs;
        rounds++;
    }
    printf(bad ? "wrong\n" : "fine\n");
    fprintf(stderr, "%ld rounds\n", rounds);
    return bad != 0;
}
