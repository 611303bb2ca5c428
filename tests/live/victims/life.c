/* One way of living for each first argument; each checks for itself and says "ok" at the end.
   The call that rules name is getppid. */
#include "check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/time.h>

extern char **environ;
static char **words;

static int failed(void) { return syscall(SYS_getppid) == -1; }
static void *exec_again(void *to) {
    char *args[] = {words[0], to, NULL};
    failed();
    execv(args[0], args);
    CHECK(0);
    return NULL;
}
static void *idle(void *x) { pause(); return x; }
static void *call_once(void *x) { failed(); return x; }

static int exec_from_thread(void) {
    pthread_t thread;
    for (int i = 0; i < 3; i++) CHECK(!pthread_create(&thread, NULL, idle, NULL));
    CHECK(!pthread_create(&thread, NULL, exec_again, "calls"));
    pause();
    return 1;
}

static int vforks(void) {
    char *good[] = {words[0], "calls", NULL}, *bad[] = {"/no/such", NULL};
    int status;
    pid_t pid;
    for (int i = 0; i < 20; i++) {
        CHECK(!posix_spawn(&pid, words[0], NULL, NULL, good, environ));
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        CHECK(posix_spawn(&pid, bad[0], NULL, NULL, bad, environ) == ENOENT);
        pid = vfork();
        if (pid == 0) {
            execv(bad[0], bad);
            _exit(errno == ENOENT ? 44 : 45);
        }
        CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 44);
    }
    return 0;
}

static int forks(int n) {
    for (int i = 0; i < n; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) _exit(failed());
    }
    int status, bad = 0;
    for (int i = 0; i < n; i++) {
        CHECK(wait(&status) > 0 && WIFEXITED(status));
        bad += WEXITSTATUS(status);
    }
    printf("%d failed\n", bad);
    return 0;
}

static int many_threads(int rounds) {
    pthread_t threads[300];
    while (rounds--) {
        for (int i = 0; i < 300; i++) CHECK(!pthread_create(&threads[i], NULL, call_once, NULL));
        for (int i = 0; i < 300; i++) CHECK(!pthread_join(threads[i], NULL));
    }
    return 0;
}

static pthread_t leader;
static void *survive(void *unused) {
    pthread_join(leader, NULL);
    /* The leader may still be on its way; it is a zombie when its state says so. */
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
    do {
        int fd = syscall(SYS_open, path, O_RDONLY);
        CHECK(fd >= 0 && read(fd, line, sizeof line) > 0);
        close(fd);
    } while (!strstr(line, ") Z"));
    CHECK(syscall(SYS_openat, AT_FDCWD, "/etc/hostname", O_RDONLY) == -1 && errno == EACCES);
    CHECK(syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY) >= 0);
    puts("ok");
    fflush(stdout);
    exit(7);
    return unused;
}
static int zombie_leader(void) {
    pthread_t thread;
    leader = pthread_self();
    CHECK(!pthread_create(&thread, NULL, survive, NULL));
    pthread_exit(NULL);
}

static int daemonize(const char *file) {
    if (fork()) _exit(0);
    setsid();
    if (fork()) _exit(0);
    while (getppid() != 1 && syscall(SYS_getsid, 0) == getppid()) usleep(1000);
    usleep(100000);
    int failures = 0;
    for (int i = 0; i < 5; i++) failures += failed();
    FILE *out = fopen(file, "w");
    CHECK(out);
    fprintf(out, "%d", failures);
    return fclose(out);
}

static int handled;
static int ends[2];
static void count_signal(int number) {
    (void)number;
    handled++;
    failed(); /* the handler makes a named call too */
    if (handled == 3) CHECK(write(ends[1], "x", 1) == 1);
}
static int restarts(int flags) {
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = flags};
    struct itimerval often = {{0, 30000}, {0, 30000}}, never = {{0, 0}, {0, 0}};
    char byte;
    CHECK(!pipe(ends) && !sigaction(SIGALRM, &action, NULL));
    CHECK(!setitimer(ITIMER_REAL, &often, NULL));
    ssize_t got = read(ends[0], &byte, 1); /* the first on the pipe */
    CHECK(!setitimer(ITIMER_REAL, &never, NULL));
    if (flags & SA_RESTART)
        CHECK(got == 1 && handled >= 3);
    else
        CHECK(got == -1 && errno == EINTR && handled >= 1);
    if (handled < 3) CHECK(write(ends[1], "x", 1) == 1 && read(ends[0], &byte, 1) == 1);
    CHECK(write(ends[1], "y", 1) == 1);
    CHECK(read(ends[0], &byte, 1) == -1 && errno == EIO); /* the rule's */
    return 0;
}

static int nested(void) {
    /* Signals without SA_RESTART from several processes: one often comes while the handler
       of another returns. */
    struct sigaction action = {.sa_handler = count_signal};
    int numbers[] = {SIGUSR1, SIGUSR2, SIGALRM, SIGIO};
    pid_t self = getpid();
    handled = 10;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    CHECK(!sigprocmask(SIG_SETMASK, &all, NULL)); /* a stopped fork could be interrupted */
    for (int k = 0; k < 4; k++) CHECK(!sigaction(numbers[k], &action, NULL));
    for (int k = 0; k < 4; k++)
        if (fork() == 0) {
            for (int i = 0; i < 20000; i++) kill(self, numbers[k]);
            _exit(0);
        }
    CHECK(!sigprocmask(SIG_SETMASK, &none, NULL));
    for (int left = 4; left > 0;)
        if (waitpid(-1, NULL, 0) > 0) left--;
        else CHECK(errno == EINTR);
    return 0;
}
static int restarts_often(void) {
    /* The frames of handlers that are long done must not hide new calls. */
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_RESTART};
    char byte;
    CHECK(!pipe(ends) && !sigaction(SIGUSR1, &action, NULL));
    handled = 10;
    for (int i = 0; i < 20; i++) {
        pid_t self = getpid();
        if (fork() == 0) {
            usleep(10000);
            kill(self, SIGUSR1);
            usleep(10000);
            CHECK(write(ends[1], "xyz", 3) == 3);
            _exit(0);
        }
        for (int k = 0; k < 3; k++) CHECK(read(ends[0], &byte, 1) == 1);
        CHECK(wait(NULL) > 0);
    }
    CHECK(read(ends[0], &byte, 1) == -1 && errno == EIO); /* the rule's, the 61st */
    return 0;
}

static int breaks(void) {
    /* brk(2) has no errno: the kernel returns the old break, and the C library makes ENOMEM of it. */
    char *before = sbrk(0);
    CHECK(sbrk(100000) == (void *)-1 && errno == ENOMEM);
    CHECK(sbrk(0) == before);
    CHECK(sbrk(8192) == before && sbrk(0) == before + 8192);
    before[8191] = 1;
    return 0;
}
static int sleeps(void) {
    /* A stop and a continue make nanosleep go on by restart_syscall(2). */
    pid_t self = getpid();
    if (fork() == 0) {
        for (int i = 0; i < 5; i++) {
            usleep(20000);
            kill(self, SIGSTOP);
            usleep(20000);
            kill(self, SIGCONT);
        }
        _exit(0);
    }
    struct timespec time = {0, 400000000};
    CHECK(nanosleep(&time, NULL) == 0);
    CHECK(wait(NULL) > 0);
    CHECK(nanosleep(&time, NULL) == -1 && errno == EIO); /* the rule's, its second */
    return 0;
}

static void install(struct sock_filter *code, int length, unsigned flags, int wanted) {
    struct sock_fprog program = {length, code};
    CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    int got = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    CHECK(wanted ? got == -1 && errno == wanted : got == 0);
}
#define LOAD BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define IF(n, action) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, n, 0, 1), RETURN(action)
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)

static int own_filters(const char *listener) {
    struct sock_filter refuse[] = {LOAD, IF(SYS_getpgrp, SECCOMP_RET_ERRNO | EDOM),
                                   RETURN(SECCOMP_RET_ALLOW)};
    struct sock_filter listen[] = {RETURN(SECCOMP_RET_USER_NOTIF)};
    struct sock_filter strict[] = {LOAD, IF(SYS_write, SECCOMP_RET_ALLOW),
                                   IF(SYS_getppid, SECCOMP_RET_ALLOW),
                                   IF(SYS_exit_group, SECCOMP_RET_ALLOW),
                                   RETURN(SECCOMP_RET_KILL_PROCESS)};
    if (listener) install(listen, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER, EBUSY);
    install(refuse, sizeof refuse / sizeof *refuse, 0, 0);
    CHECK(syscall(SYS_getpgrp) == -1 && errno == EDOM);
    install(strict, sizeof strict / sizeof *strict, 0, 0);
    CHECK(failed() && errno == EIO);
    CHECK(write(1, "ok\n", 3) == 3);
    _exit(0);
}

static int killed_while_parked(void) {
    /* The child's call is parked by a long delay when it is killed. */
    pid_t pid = fork();
    if (pid == 0) {
        failed();
        _exit(1);
    }
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/syscall", pid);
    while (atoi(text) != SYS_getppid) { /* it is in the call */
        usleep(5000);
        int fd = open(path, O_RDONLY);
        CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
        close(fd);
    }
    kill(pid, SIGKILL);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
    for (int i = 0; i < 20; i++) { /* new processes while the delay goes on */
        if (fork() == 0) {
            usleep(60000);
            _exit(3);
        }
        CHECK(wait(&status) > 0 && WEXITSTATUS(status) == 3);
    }
    return 0;
}

#ifdef __x86_64__
static int foreign_calls(void) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(64) : "memory", "r8", "r9", "r10", "r11");
    CHECK(result == -EIO);                                 /* 64 is getppid of i386 */
    CHECK(syscall(0x40000000 | SYS_getppid) == -1 && errno == ENOSYS); /* no x32 here */
    CHECK(syscall(-1) == -1 && errno == ENOSYS);
    CHECK(syscall(SYS_semget, 1, 1, 0) != -EIO);           /* 64 of x86_64 */
    CHECK(failed() && errno == EIO);
    return 0;
}
#endif

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    int status = 3;
    words = argv;
    alarm(60);
    if (!strcmp(how, "calls")) {
        failed();
        return 0;
    }
    if (!strcmp(how, "exec-from-thread")) status = exec_from_thread();
    if (!strcmp(how, "vforks")) status = vforks();
    if (!strcmp(how, "forks")) status = forks(atoi(argv[2]));
    if (!strcmp(how, "threads")) status = many_threads(2);
    if (!strcmp(how, "zombie-leader")) status = zombie_leader();
    if (!strcmp(how, "daemon")) status = daemonize(argv[2]);
    if (!strcmp(how, "restarts")) status = restarts(SA_RESTART);
    if (!strcmp(how, "interrupts")) status = restarts(0);
    if (!strcmp(how, "nested")) status = nested();
    if (!strcmp(how, "restarts-often")) status = restarts_often();
    if (!strcmp(how, "breaks")) status = breaks();
    if (!strcmp(how, "sleeps")) status = sleeps();
    if (!strcmp(how, "own-filters")) status = own_filters(argv[2]);
    if (!strcmp(how, "killed-while-parked")) status = killed_while_parked();
    if (!strcmp(how, "fails-once")) status = !(failed() && errno == EIO && !failed());
#ifdef __x86_64__
    if (!strcmp(how, "foreign")) status = foreign_calls();
#endif
    if (status == 0) puts("ok");
    return status;
}
