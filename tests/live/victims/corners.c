/* One corner of ptrace(2) and seccomp(2) for each first argument; each checks for itself what it
   sees and says "ok". Those that live beside `inject attach` say "ready" and wait for a byte first.
   The call that rules name is getppid, and fails with EIO. */
#include "check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/time.h>

static volatile int going_on = 1;

static int failed(void) { return syscall(SYS_getppid) == -1 && errno == EIO; }
static void wait_for_go(void) {
    char byte;
    puts("ready");
    fflush(stdout);
    CHECK(read(0, &byte, 1) == 1);
}

/* -- many that call all the time, and one that must have its turn ---------------------- */

static void *calls_all_the_time(void *unused) {
    while (going_on) syscall(SYS_getppid);
    return unused;
}
static int fair(void) {
    pthread_t threads[6];
    wait_for_go();
    for (int i = 0; i < 6; i++)
        CHECK(!pthread_create(&threads[i], NULL, calls_all_the_time, NULL));
    for (int i = 0; i < 200; i++) CHECK(syscall(SYS_getuid) >= 0);
    going_on = 0;
    for (int i = 0; i < 6; i++) CHECK(!pthread_join(threads[i], NULL));
    return 0;
}

/* -- births ---------------------------------------------------------------------------- */

static int newborn(void) {
    /* Killed before its first stop, or in it, or a little later. */
    int status;
    wait_for_go();
    for (int i = 0; i < 200; i++) {
        pid_t pid = i % 2 ? fork() : vfork();
        CHECK(pid >= 0);
        if (pid == 0) {
            if (i % 2)
                for (;;) syscall(SYS_getppid);
            kill(getpid(), SIGKILL);
        }
        CHECK(!kill(pid, SIGKILL));
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    return 0;
}
static int with_flags(int flags, int status) {
    wait_for_go();
    for (int i = 0; i < 20; i++) {
        pid_t pid = syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
        CHECK(pid >= 0);
        if (pid == 0) _exit(failed() ? status : 1);
        if (flags & CLONE_PARENT)
            CHECK(waitpid(pid, NULL, 0) == -1 && errno == ECHILD);
        else {
            int ended;
            CHECK(waitpid(pid, &ended, 0) == pid);
            CHECK(WIFEXITED(ended) && WEXITSTATUS(ended) == status);
        }
    }
    return 0;
}
static void again(int number) { (void)number; }
static int seventh(void) {
    /* Children end all the time, and their signal makes a clone begin anew: still one call. */
    struct sigaction action = {.sa_handler = again, .sa_flags = SA_RESTART};
    int seen = 0;
    CHECK(!sigaction(SIGCHLD, &action, NULL));
    wait_for_go();
    for (int i = 1; i <= 140; i++) {
        pid_t pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid == 0) _exit(0);
        if (pid == -1) {
            CHECK(errno == EAGAIN && i % 7 == 0);
            seen++;
        }
    }
    while (wait(NULL) > 0 || errno == EINTR) {}
    CHECK(seen == 20);
    return 0;
}
static int counted(void) {
    /* Signals come all the time, and nothing blocks: no call is made twice. */
    struct sigaction action = {.sa_handler = again, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 1000}, {0, 1000}};
    char byte;
    int zero = open("/dev/zero", O_RDONLY), seen = 0;
    CHECK(zero >= 0 && !sigaction(SIGALRM, &action, NULL));
    wait_for_go();
    CHECK(!setitimer(ITIMER_REAL, &often, NULL));
    for (int i = 1; i <= 7000; i++)
        if (read(zero, &byte, 1) == -1) {
            CHECK(errno == EIO && i % 7 == 0);
            seen++;
        }
    CHECK(seen == 1000);
    return 0;
}
static int reused(int number) {
    /* Each child has the number of the one before; only in a pid namespace of our own. */
    wait_for_go();
    pid_t first = 0;
    for (int i = 0; i < 30; i++) {
        int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
        CHECK(fd >= 0 && write(fd, "700", 3) == 3 && !close(fd));
        pid_t pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid == 0) {
            prctl(PR_SET_NAME, i % 2 ? "odd" : "even");
            syscall(number, failed() ? 0 : 1);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        CHECK(first == 0 || pid == first);
        first = pid;
    }
    return 0;
}
static volatile int begun;
static void *executes(void *unused) {
    char *args[] = {"corners", "raced", NULL};
    begun = 1;
    execv("/proc/self/exe", args);
    return unused;
}
static int races(void) {
    /* One thread executes while another ends the process; either may be first. */
    wait_for_go();
    for (int i = 0; i < 80; i++) {
        int status;
        pthread_t thread;
        pid_t pid = fork();
        if (pid == 0) {
            CHECK(!pthread_create(&thread, NULL, executes, NULL));
            while (!begun) sched_yield();
            for (volatile int n = 0; n < i * 6000;) n++;
            if (i > 75) pause();
            _exit(3);
        }
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 7 || (WEXITSTATUS(status) == 3 && i <= 75));
    }
    return 0;
}
static int vforked(void) {
    /* A parent whose child does not execute yet stops for nobody. */
    wait_for_go();
    pid_t pid = vfork();
    if (pid == 0) {
        char byte;
        ssize_t got = read(0, &byte, 1);
        _exit(got == 1 ? 7 : 8);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
    return 0;
}

/* -- job control ------------------------------------------------------------------------- */

static volatile int hung_up, continued;
static void note(int number) {
    if (number == SIGHUP) hung_up = 1;
    if (number == SIGCONT) continued = 1;
}
static int orphaned(void) {
    /* A stopped job whose leader ends gets SIGHUP and SIGCONT (credentials(7), setpgid(2)). */
    int ends[2], status;
    char byte;
    wait_for_go();
    CHECK(!pipe(ends) && !prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    pid_t middle = fork();
    if (middle == 0) {
        CHECK(setsid() > 0); /* else its parent's end would orphan nobody */
        pid_t job = fork();
        if (job == 0) {
            CHECK(!setpgid(0, 0));
            signal(SIGHUP, note);
            signal(SIGCONT, note);
            raise(SIGSTOP);
            /* Both are there when it goes on; which handler is first, nobody says. */
            while (!hung_up || !continued) usleep(1000);
            CHECK(write(ends[1], "x", 1) == 1);
            _exit(0);
        }
        CHECK(waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status));
        _exit(0);
    }
    CHECK(waitpid(middle, &status, 0) == middle && status == 0);
    CHECK(read(ends[0], &byte, 1) == 1);
    CHECK(wait(&status) > 0 && status == 0);
    return 0;
}
static int parents_view(void) {
    /* Each stop and each continuation, once, and then the end. */
    wait_for_go();
    pid_t pid = fork();
    if (pid == 0)
        for (;;) syscall(SYS_getppid);
    siginfo_t info;
    for (int i = 0; i < 10; i++) {
        CHECK(!kill(pid, SIGSTOP) && !waitid(P_PID, pid, &info, WSTOPPED));
        CHECK(info.si_code == CLD_STOPPED && info.si_status == SIGSTOP);
        CHECK(!kill(pid, SIGCONT) && !waitid(P_PID, pid, &info, WCONTINUED));
        CHECK(info.si_code == CLD_CONTINUED && info.si_status == SIGCONT);
    }
    CHECK(!kill(pid, SIGTERM) && !waitid(P_PID, pid, &info, WEXITED));
    CHECK(info.si_code == CLD_KILLED && info.si_status == SIGTERM);
    return 0;
}

/* -- calls ------------------------------------------------------------------------------- */

#ifdef __x86_64__
static int vsyscalls(void) {
    /* The page of calls that are none (vsyscall(7) of old): the third is getcpu, the second time. */
    long (*old_time)(long *) = (long (*)(long *))0xffffffffff600400;
    wait_for_go();
    long before = syscall(SYS_time, NULL);
    long seen = old_time(NULL);
    printf("%s\n", seen == -EIO ? "failed" : seen == 7 ? "seven" : "passed");
    CHECK(before > 0 || errno == EIO);
    CHECK(seen < 0 || seen == 7 || seen >= 1000000000);
    return 0;
}
#endif
static int rings(void) {
    char parameters[120] = {0};
    wait_for_go();
    long fd = syscall(SYS_io_uring_setup, 1, parameters);
    if (fd >= 0) close(fd);
    return 0;
}
static int closes(void) {
    /* Linux frees the descriptor whatever close reports. */
    int fd = open("/dev/null", O_RDONLY);
    wait_for_go();
    CHECK(close(fd) == -1 && errno == EIO);
    CHECK(fcntl(fd, F_GETFD) == -1 && errno == EBADF);
    return 0;
}
static int values(void) {
    /* Bit by bit what was ordered, and the error flag of none. */
    wait_for_go();
    static const unsigned long all[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x123456789abcdef0,
                                        0x7fffffffffffffff};
    for (int i = 0; i < 7; i++) {
        unsigned long got = syscall(SYS_getppid);
        CHECK(got == all[i]);
    }
    return 0;
}
static long opened(const char *path) { return syscall(SYS_openat, AT_FDCWD, path, O_RDONLY); }
static int paths(void) {
    /* The rules fail what ends in "fails". */
    static char deep[5000];
    long page = sysconf(_SC_PAGESIZE);
    char *two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(two != MAP_FAILED && !mprotect(two + page, page, PROT_NONE));
    char *last = two + page - sizeof "/tmp/fails";
    strcpy(last, "/tmp/fails");
    wait_for_go();
    CHECK(opened(last) == -1 && errno == EIO);      /* its end is the page's end */
    CHECK(opened("/tmp/\xff\xfe/fails") == -1 && errno == EIO); /* no UTF-8 */
    two[page - 1] = 's';                            /* no end before the page's */
    CHECK(opened(last) == -1 && errno == EFAULT);
    CHECK(opened(two + page) == -1 && errno == EFAULT);
    CHECK(opened((char *)8) == -1 && errno == EFAULT && opened((char *)-8) == -1 && errno == EFAULT);
    memset(deep, '/', sizeof deep - 1);
    strcpy(deep + sizeof deep - 6, "fails");
    CHECK(opened(deep) == -1 && errno == ENAMETOOLONG);
    int null = open("/dev/null", O_WRONLY);
    long high = (long)(0xdead00000000 | (unsigned)null);
    CHECK(syscall(SYS_pwrite64, high, "x", 1, 0) == -1 && errno == ENOSPC); /* of 32 bits */
    return 0;
}

/* -- filters of its own -------------------------------------------------------------------- */

#define LOAD BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define IF(n, action) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, n, 0, 1), RETURN(action)
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)

static void install(struct sock_filter *code, int length, unsigned flags) {
    struct sock_fprog program = {length, code};
    CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}
static void emulate(int number, siginfo_t *info, void *context) {
    (void)number;
    CHECK(info->si_code == 1 /* SYS_SECCOMP */ && info->si_syscall == SYS_getpgrp);
#ifdef __x86_64__
    ((greg_t *)((ucontext_t *)context)->uc_mcontext.gregs)[REG_RAX] = 4242;
#else
    (void)context;
#endif
}
static void *emulated(void *unused) {
    CHECK(syscall(SYS_getpgrp) == 4242 && failed());
    return unused;
}
static void *idles_then_emulated(void *unused) {
    while (going_on) usleep(1000);
    return emulated(unused);
}
static int emulates(void) {
    /* A filter for all threads at once, whose answer is a signal, and one more above it. */
    struct sock_filter trap[] = {LOAD, IF(SYS_getpgrp, SECCOMP_RET_TRAP), RETURN(SECCOMP_RET_ALLOW)};
    struct sock_filter refuse[] = {LOAD, IF(SYS_getsid, SECCOMP_RET_ERRNO | EDOM),
                                   RETURN(SECCOMP_RET_ALLOW)};
    struct sigaction action = {.sa_sigaction = emulate, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    CHECK(!sigaction(SIGSYS, &action, NULL));
    CHECK(!pthread_create(&thread, NULL, idles_then_emulated, NULL));
    wait_for_go();
    install(trap, sizeof trap / sizeof *trap, SECCOMP_FILTER_FLAG_TSYNC);
    emulated(NULL);
    install(refuse, sizeof refuse / sizeof *refuse, SECCOMP_FILTER_FLAG_TSYNC);
    CHECK(syscall(SYS_getsid, 0) == -1 && errno == EDOM);
    emulated(NULL);
    going_on = 0;
    CHECK(!pthread_join(thread, NULL));
    return 0;
}
static int strict(int wanted) {
    /* read, write, exit and rt_sigreturn are all that strict mode allows. */
    char byte;
    if (wanted) {
        wait_for_go();
        CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == -1 && errno == wanted);
        return 0;
    }
    CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
    int faults = 0;
    CHECK(write(1, "ready\n", 6) == 6);
    while (read(0, &byte, 1) == 1 && byte != 'x')
        if (write(1, "y\n", 2) == -1) faults++;
    syscall(SYS_write, 1, faults ? "failed\n" : "passed\n", 7);
    syscall(SYS_exit, 0);
    return 0;
}
static int hides(void) {
    /* Nobody without privilege reads its memory. */
    CHECK(!prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
    wait_for_go();
    CHECK(opened("/etc/hostname") >= 0);
    CHECK(failed());
    return 0;
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    int status = 3;
    alarm(100);
    if (!strcmp(how, "fair")) status = fair();
    if (!strcmp(how, "newborn")) status = newborn();
    if (!strcmp(how, "siblings")) status = with_flags(CLONE_PARENT | SIGCHLD, 9);
    if (!strcmp(how, "asks-to-be-traced")) status = with_flags(CLONE_PTRACE | SIGCHLD, 9);
    if (!strcmp(how, "asks-not-to-be")) status = with_flags(CLONE_UNTRACED | SIGCHLD, 9);
    if (!strcmp(how, "seventh")) status = seventh();
    if (!strcmp(how, "counted")) status = counted();
    if (!strcmp(how, "reused-exit")) status = reused(SYS_exit);
    if (!strcmp(how, "reused-exit_group")) status = reused(SYS_exit_group);
    if (!strcmp(how, "races")) status = races();
    if (!strcmp(how, "raced")) _exit(failed() ? 7 : 1);
    if (!strcmp(how, "vforked")) status = vforked();
    if (!strcmp(how, "orphaned")) status = orphaned();
    if (!strcmp(how, "parents-view")) status = parents_view();
#ifdef __x86_64__
    if (!strcmp(how, "vsyscalls")) status = vsyscalls();
#endif
    if (!strcmp(how, "rings")) status = rings();
    if (!strcmp(how, "closes")) status = closes();
    if (!strcmp(how, "values")) status = values();
    if (!strcmp(how, "paths")) status = paths();
    if (!strcmp(how, "emulates")) status = emulates();
    if (!strcmp(how, "strict")) status = strict(0);
    if (!strcmp(how, "never-strict")) status = strict(EINVAL);
    if (!strcmp(how, "hides")) status = hides();
    if (status == 0) puts("ok");
    return status;
}
