/* One way of living for each first argument, under attaching and letting go. "ready" on stdout,
   then it lives until a byte comes on stdin, checks for itself what it saw and says "ok".
   The call that rules name is getppid. */
#include "check.h"

#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

#define TIME 3.0 /* seconds that a call with a deadline waits */

static char **words;
static volatile sig_atomic_t going_on = 1;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}
static void ready(void) {
    puts("ready");
    fflush(stdout);
}
static void wait_for_go(void) {
    char byte;
    CHECK(read(0, &byte, 1) == 1);
}

/* -- a thread blocked in each call -------------------------------------------------- */

static int ends[2], busy[2], word, fifo[2], locked, semaphores, queue, listening, events, full;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static volatile int timed_out, woken;
static const struct timespec time_left = {3, 0};
static pthread_t pausing, waiting;
static pid_t child;

static int in_time(double begin) {
    __sync_fetch_and_add(&timed_out, 1);
    return now() - begin >= TIME - 0.001;
}
#define BLOCKS(name, ...)                                                               \
    static void *name(void *unused) {                                                   \
        double begin = now();                                                           \
        (void)begin;                                                                    \
        __VA_ARGS__;                                                                    \
        __sync_fetch_and_add(&woken, 1);                                                \
        return unused;                                                                  \
    }
#define FUTEX(address, how, value, time)                                                \
    syscall(SYS_futex, address, how, value, time, NULL, FUTEX_BITSET_MATCH_ANY)

static struct pollfd polled(void) { return (struct pollfd){ends[0], POLLIN, 0}; }
static int timed_socket(int option) {
    int pair[2];
    struct timeval limit = {3, 0};
    CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    CHECK(!setsockopt(pair[0], SOL_SOCKET, option, &limit, sizeof limit));
    return pair[0];
}
static int timed_listener(void) {
    struct timeval limit = {3, 0};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    CHECK(!bind(fd, (struct sockaddr *)&any, sizeof(sa_family_t)) && !listen(fd, 1));
    CHECK(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    return fd;
}
static struct timespec deadline(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    at.tv_sec += 3;
    return at;
}
static sigset_t only(int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

static char got[1000];
BLOCKS(in_read, CHECK(read(fifo[0], got, 1) == 1 && got[0] == 'x'))
BLOCKS(in_poll, struct pollfd one = polled(); CHECK(poll(&one, 1, -1) == 1))
BLOCKS(in_poll_timed, CHECK(poll(NULL, 0, 3000) == 0 && in_time(begin)))
BLOCKS(in_ppoll, struct pollfd one = polled(); CHECK(ppoll(&one, 1, NULL, NULL) == 1))
BLOCKS(in_ppoll_timed, CHECK(ppoll(NULL, 0, &time_left, NULL) == 0 && in_time(begin)))
BLOCKS(in_select, fd_set set; FD_ZERO(&set); FD_SET(ends[0], &set);
       CHECK(select(ends[0] + 1, &set, NULL, NULL, NULL) == 1))
BLOCKS(in_select_timed, struct timeval left = {3};
       CHECK(select(0, NULL, NULL, NULL, &left) == 0 && in_time(begin)))
BLOCKS(in_pselect_timed, CHECK(pselect(0, NULL, NULL, NULL, &time_left, NULL) == 0 && in_time(begin)))
BLOCKS(in_nanosleep, struct timespec rest = {77, 77};
       CHECK(syscall(SYS_nanosleep, &time_left, &rest) == 0 && in_time(begin)))
BLOCKS(in_clock_nanosleep,
       CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &time_left, NULL) == 0 && in_time(begin)))
BLOCKS(in_clock_nanosleep_until, struct timespec at = deadline(CLOCK_MONOTONIC);
       CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == 0 && in_time(begin)))
BLOCKS(in_futex, CHECK(FUTEX(&word, FUTEX_WAIT, 0, NULL) == 0))
BLOCKS(in_futex_timed, static int mine;
       CHECK(FUTEX(&mine, FUTEX_WAIT, 0, &time_left) == -1 && errno == ETIMEDOUT && in_time(begin)))
BLOCKS(in_futex_until, static int mine; struct timespec at = deadline(CLOCK_MONOTONIC);
       CHECK(FUTEX(&mine, FUTEX_WAIT_BITSET, 0, &at) == -1 && errno == ETIMEDOUT && in_time(begin)))
BLOCKS(in_accept, CHECK(accept(listening, NULL, NULL) >= 0))
BLOCKS(in_accept_timed, int fd = timed_listener();
       CHECK(accept(fd, NULL, NULL) == -1 && errno == EAGAIN && in_time(begin)))
BLOCKS(in_epoll, struct epoll_event one; CHECK(epoll_wait(events, &one, 1, -1) == 1))
BLOCKS(in_epoll_timed, struct epoll_event one; int none = epoll_create1(0);
       CHECK(epoll_wait(none, &one, 1, 3000) == 0 && in_time(begin)))
#ifdef __x86_64__
BLOCKS(in_epoll_pwait2, struct epoll_event one; int none = epoll_create1(0);
       CHECK(syscall(SYS_epoll_pwait2, none, &one, 1, &time_left, NULL, 0) == 0 && in_time(begin)))
#define TIMED 17
#else
#define in_epoll_pwait2 in_epoll_timed
#define TIMED 17
#endif
BLOCKS(in_recv, CHECK(recv(busy[0], got, 1, 0) == 1))
BLOCKS(in_recv_timed, int fd = timed_socket(SO_RCVTIMEO);
       CHECK(recv(fd, got, 1, 0) == -1 && errno == EAGAIN && in_time(begin)))
BLOCKS(in_read_timed, int fd = timed_socket(SO_RCVTIMEO);
       CHECK(read(fd, got, 1) == -1 && errno == EAGAIN && in_time(begin)))
BLOCKS(in_send_timed, int fd = timed_socket(SO_SNDTIMEO);
       while (send(fd, got, sizeof got, MSG_DONTWAIT) > 0); begin = now();
       CHECK(send(fd, got, 1, 0) == -1 && errno == EAGAIN && in_time(begin)))
BLOCKS(in_write, CHECK(write(full, got, sizeof got) == sizeof got))
BLOCKS(in_semop, struct sembuf down = {0, -1}; CHECK(semop(semaphores, &down, 1) == 0))
BLOCKS(in_semtimedop, struct sembuf down = {1, -1};
       CHECK(semtimedop(semaphores, &down, 1, &time_left) == -1 && errno == EAGAIN && in_time(begin)))
BLOCKS(in_sigwait, sigset_t set = only(SIGUSR1); siginfo_t info;
       CHECK(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_value.sival_int == 7))
BLOCKS(in_sigtimedwait, sigset_t set = only(SIGPROF);
       CHECK(sigtimedwait(&set, NULL, &time_left) == -1 && errno == EAGAIN && in_time(begin)))
BLOCKS(in_wait4, int status;
       CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 9))
BLOCKS(in_pause, CHECK(pause() == -1 && errno == EINTR && !going_on))
BLOCKS(in_msgrcv, struct { long type; char text[4]; } one;
       CHECK(msgrcv(queue, &one, 4, 0, 0) == 4 && one.type == 5))
BLOCKS(in_flock, int fd = open(words[2], O_RDONLY); CHECK(fd >= 0 && !flock(fd, LOCK_EX)))

static void *(*const blocked_in[])(void *) = {
    in_read, in_poll, in_poll_timed, in_ppoll, in_ppoll_timed, in_select, in_select_timed,
    in_pselect_timed, in_nanosleep, in_clock_nanosleep, in_clock_nanosleep_until, in_futex,
    in_futex_timed, in_futex_until, in_accept, in_accept_timed, in_epoll, in_epoll_timed,
    in_epoll_pwait2, in_recv, in_recv_timed, in_read_timed, in_send_timed, in_write, in_semop,
    in_semtimedop, in_sigwait, in_sigtimedwait, in_wait4, in_pause, in_msgrcv, in_flock,
};
#define MANY ((int)(sizeof blocked_in / sizeof *blocked_in))

static void stop_going_on(int unused) { going_on = 0; }

static int blocked(void) {
    int filling[2], pair[2];
    pthread_t threads[MANY];
    sigset_t set = only(SIGUSR1);
    sigaddset(&set, SIGPROF);
    /* Ignored, it would still wake a traced thread, with EINTR and no stop: docs/transparency.md. */
    sigaddset(&set, SIGCHLD);
    CHECK(!pthread_sigmask(SIG_BLOCK, &set, NULL));
    CHECK(!pipe(ends) && !pipe(fifo) && !pipe(filling) && !socketpair(AF_UNIX, SOCK_STREAM, 0, busy));
    CHECK(!pipe(pair) && (child = fork()) >= 0);
    if (child == 0) {
        close(pair[1]);
        char byte;
        _exit(read(pair[0], &byte, 1) == 1 ? 9 : 1);
    }
    full = filling[1];
    CHECK(!fcntl(full, F_SETFL, O_NONBLOCK));
    while (write(full, got, sizeof got) > 0);
    CHECK(!fcntl(full, F_SETFL, 0));
    listening = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t length = sizeof address;
    CHECK(!bind(listening, (struct sockaddr *)&address, sizeof(sa_family_t)) && !listen(listening, 1));
    CHECK(!getsockname(listening, (struct sockaddr *)&address, &length));
    struct epoll_event one = {EPOLLIN};
    CHECK((events = epoll_create1(0)) >= 0 && !epoll_ctl(events, EPOLL_CTL_ADD, ends[0], &one));
    CHECK((semaphores = semget(IPC_PRIVATE, 2, 0600)) >= 0);
    CHECK((queue = msgget(IPC_PRIVATE, 0600)) >= 0);
    CHECK((locked = open(words[2], O_RDONLY)) >= 0 && !flock(locked, LOCK_EX));
    struct sigaction action = {.sa_handler = stop_going_on};
    CHECK(!sigaction(SIGUSR2, &action, NULL));
    for (int i = 0; i < MANY; i++) {
        CHECK(!pthread_create(&threads[i], NULL, blocked_in[i], NULL));
        if (blocked_in[i] == in_pause) pausing = threads[i];
        if (blocked_in[i] == in_sigwait) waiting = threads[i];
    }
    ready();
    wait_for_go();
    int early = woken - timed_out;
    union sigval seven = {7};
    struct { long type; char text[4]; } message = {5, "abcd"};
    struct sembuf up = {0, 1};
    CHECK(early <= 0);
    CHECK(write(fifo[1], "x", 1) == 1 && write(ends[1], "x", 1) == 1 && write(pair[1], "x", 1) == 1);
    CHECK(FUTEX(&word, FUTEX_WAKE, 1, NULL) == 1);
    CHECK(!connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, length));
    CHECK(send(busy[1], "x", 1, 0) == 1);
    CHECK(!semop(semaphores, &up, 1) && !msgsnd(queue, &message, 4, 0) && !flock(locked, LOCK_UN));
    CHECK(!pthread_sigqueue(waiting, SIGUSR1, seven) && !pthread_kill(pausing, SIGUSR2));
    for (char drained[4096]; woken - timed_out < MANY - TIMED;)
        if (poll(&(struct pollfd){filling[0], POLLIN, 0}, 1, 10) == 1)
            CHECK(read(filling[0], drained, sizeof drained) > 0);
    for (int i = 0; i < MANY; i++) CHECK(!pthread_join(threads[i], NULL));
    CHECK(timed_out == TIMED);
    CHECK(!semctl(semaphores, 0, IPC_RMID) && !msgctl(queue, IPC_RMID, NULL));
    return 0;
}

/* -- lives that go on until the byte comes ------------------------------------------- */

static int asked_to_end(void) {
    struct pollfd one = {0, POLLIN, 0};
    return poll(&one, 1, 0) == 1;
}
static volatile int faults, others;
static pid_t parent;

static void call(void) {
    long result = syscall(SYS_getppid);
    if (result == parent) {
        others = 1;
    } else {
        CHECK(result == -1 && errno == EIO); /* the rule's */
        faults = 1;
    }
}
static void write_some(int fd) {
    /* Short writes are ordered for it: four bytes at most of a vector. */
    char text[] = "abcdefgh";
    struct iovec vector[2] = {{text, 3}, {text + 3, 5}};
    ssize_t result = writev(fd, vector, 2);
    CHECK(result == 8 || result == 4);
}
static void *work(void *fd) {
    while (going_on) {
        call();
        if (fd) write_some(*(int *)fd);
    }
    return NULL;
}
static int faulty(void) {
    pthread_t threads[3];
    int null = open("/dev/null", O_WRONLY);
    parent = getppid();
    for (int i = 0; i < 3; i++)
        CHECK(!pthread_create(&threads[i], NULL, work, words[2] && i == 0 ? &null : NULL));
    ready();
    wait_for_go();
    going_on = 0;
    for (int i = 0; i < 3; i++) CHECK(!pthread_join(threads[i], NULL));
    CHECK(faults && others);
    return 0;
}

static void install(struct sock_filter *code, int length) {
    struct sock_fprog program = {length, code};
    CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}
#define LOAD BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)
#define ALLOW(n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, n, 0, 1), RETURN(SECCOMP_RET_ALLOW)
static int filtered(unsigned otherwise) {
    /* The rules fail openat. */
    struct sock_filter filter[] = {LOAD,
                                   ALLOW(SYS_read),
                                   ALLOW(SYS_write),
                                   ALLOW(SYS_poll),
                                   ALLOW(SYS_close),
                                   ALLOW(SYS_openat),
                                   ALLOW(SYS_restart_syscall),
                                   ALLOW(SYS_exit_group),
                                   RETURN(otherwise)};
    ready();
    install(filter, sizeof filter / sizeof *filter);
    while (!asked_to_end()) {
        int fd = openat(AT_FDCWD, "/dev/null", O_RDONLY);
        if (fd >= 0) {
            others = 1;
            CHECK(!close(fd));
        } else {
            CHECK(errno == EIO);
            faults = 1;
        }
    }
    CHECK(faults && others && write(1, "ok\n", 3) == 3);
    _exit(0);
}

static int counts(void) {
    /* In a page of the file of the second argument; calls on the way. */
    int fd = open(words[2], O_RDONLY);
    volatile long *turns = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, open(words[2], O_RDWR), 0);
    CHECK(fd >= 0 && turns != MAP_FAILED);
    ready();
    while (!asked_to_end()) ++*turns;
    return 0;
}

static volatile int expected, out_of_order;
static void take(int number, siginfo_t *info, void *context) {
    if (info->si_value.sival_int != expected || info->si_code != SI_QUEUE) out_of_order = 1;
    expected++;
}
static int queued(void) {
    struct sigaction action = {.sa_sigaction = take, .sa_flags = SA_SIGINFO};
    CHECK(!sigaction(SIGRTMIN + 3, &action, NULL));
    pid_t self = getpid(), sender = fork();
    if (sender == 0) {
        for (int i = 0; i < 1000; i++) {
            union sigval value = {i};
            CHECK(!sigqueue(self, SIGRTMIN + 3, value));
            if (i % 4 == 0) usleep(4000);
        }
        _exit(0);
    }
    ready();
    while (expected < 1000 && !out_of_order) usleep(500);
    CHECK(!out_of_order && expected == 1000);
    wait_for_go();
    CHECK(expected == 1000);
    return 0;
}

static volatile int trapped;
static void trap(int number) { trapped += number == SIGTRAP; }
static int traps(void) {
    struct sigaction action = {.sa_handler = trap};
    CHECK(!sigaction(SIGTRAP, &action, NULL));
    ready();
    for (int turn = 1; !asked_to_end(); turn++) {
        if (turn % 2) CHECK(!raise(SIGTRAP));
        else __asm__ volatile("int3");
        CHECK(trapped == turn);
    }
    return 0;
}

static int job_control(void) {
    pid_t job = fork();
    CHECK(job >= 0);
    if (job == 0) {
        alarm(100);
        for (;;) syscall(SYS_getppid);
    }
    /* SIGTSTP and SIGTTIN stop nobody in an orphaned process group (get_signal of kernel/signal.c),
       as ours may be. A group of its own is not: its parent is outside, in the same session. Left
       to the job, this might come after the first signal. */
    CHECK(!setpgid(job, job));
    printf("ready\n%d\n", job);
    fflush(stdout);
    while (!asked_to_end()) {
        int numbers[] = {SIGTSTP, SIGSTOP, SIGTTIN}, status;
        for (int i = 0; i < 3; i++) {
            CHECK(!kill(job, numbers[i]));
            CHECK(waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status));
            CHECK(WSTOPSIG(status) == numbers[i]);
            CHECK(!kill(job, SIGCONT));
            CHECK(waitpid(job, &status, WCONTINUED) == job && WIFCONTINUED(status));
        }
    }
    int status;
    CHECK(!kill(job, SIGTERM) && waitpid(job, &status, 0) == job && WTERMSIG(status) == SIGTERM);
    return 0;
}

static void *born(void *x) {
    syscall(SYS_getppid);
    return x;
}
static int births(void) {
    pthread_t threads[8];
    ready();
    while (!asked_to_end()) {
        for (int i = 0; i < 8; i++) CHECK(!pthread_create(&threads[i], NULL, born, NULL));
        for (int i = 0; i < 8; i++) CHECK(!pthread_join(threads[i], NULL));
    }
    return 0;
}

static void *idle(void *x) {
    for (;;) pause();
    return x;
}
static void *execute(void *x) {
    char *args[] = {words[0], "executes", "on", NULL};
    execv("/proc/self/exe", args);
    CHECK(0);
    return x;
}
static int executes(void) {
    pthread_t threads[4];
    if (!words[2]) ready();
    if (asked_to_end()) return 0;
    for (int i = 0; i < 3; i++) CHECK(!pthread_create(&threads[i], NULL, idle, NULL));
    CHECK(!pthread_create(&threads[3], NULL, execute, NULL));
    for (;;) pause();
}

static int children(void) {
    char *args[] = {"/bin/true", NULL};
    int status;
    ready();
    for (int turn = 0; !asked_to_end(); turn++) {
        int number = turn % 3;
        pid_t pid = number ? vfork() : fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            if (number == 2) execv(args[0], args);
            _exit(number == 1 ? 5 : 0);
        }
        CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == (number == 1 ? 5 : 0));
    }
    return 0;
}

static void *outlive(void *unused) {
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
    do { /* until its state says that the leader has ended */
        int fd = open(path, O_RDONLY);
        CHECK(fd >= 0 && read(fd, line, sizeof line) > 0 && !close(fd));
    } while (!strstr(line, ") Z"));
    parent = getppid();
    ready();
    while (!asked_to_end()) call();
    CHECK(faults && others);
    puts("ok");
    fflush(stdout);
    exit(0);
    return unused;
}
static void *execute_once(void *unused) {
    char *args[] = {words[0], "again", NULL};
    pthread_join(*(pthread_t *)unused, NULL);
    ready();
    wait_for_go();
    execv(words[0], args);
    CHECK(0);
    return unused;
}
static int leaderless_executes(void) {
    static pthread_t leader;
    pthread_t thread;
    leader = pthread_self();
    CHECK(!pthread_create(&thread, NULL, execute_once, &leader));
    pthread_exit(NULL);
}
static int again(void) {
    CHECK(syscall(SYS_getppid) == -1 && errno == EIO);
    ready();
    wait_for_go();
    CHECK(syscall(SYS_getppid) == getppid());
    return 0;
}
static int leaderless(void) {
    pthread_t thread;
    CHECK(!pthread_create(&thread, NULL, outlive, NULL));
    pthread_exit(NULL);
}

static int undumpable(void) {
    CHECK(!prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
    ready();
    wait_for_go();
    return 0;
}

static int reads(void) {
    /* Its second read blocks until it is let go. */
    char bytes[2];
    ready();
    while (!asked_to_end()) usleep(1000);
    CHECK(read(0, bytes, 1) == 1);
    CHECK(read(0, bytes, 2) == 2 && !memcmp(bytes, "yz", 2));
    return 0;
}

static void nothing(int unused) {}
static int interrupted(int flags) {
    /* Signals while it reads; a rule fails its 31st read. */
    struct sigaction action = {.sa_handler = nothing, .sa_flags = flags};
    CHECK(!sigaction(SIGUSR1, &action, NULL) && !pipe(ends));
    pid_t self = getpid();
    char byte;
    ready();
    while (!asked_to_end()) usleep(1000);
    for (int i = 0; i < (flags ? 30 : 15); i++) {
        pid_t sender = fork();
        CHECK(sender >= 0);
        if (sender == 0) {
            usleep(5000);
            CHECK(!kill(self, SIGUSR1));
            usleep(5000);
            CHECK(write(ends[1], "x", 1) == 1);
            _exit(0);
        }
        if (!flags) CHECK(read(ends[0], &byte, 1) == -1 && errno == EINTR);
        CHECK(read(ends[0], &byte, 1) == 1);
        while (waitpid(sender, NULL, 0) == -1) CHECK(errno == EINTR);
    }
    CHECK(read(ends[0], &byte, 1) == -1 && errno == EIO);
    return 0;
}

#ifdef __x86_64__
static int untraced(void) {
    /* Children that ask not to be traced: the rule fails their call, it is not ENOSYS. */
    long flags = 0x00800000 | SIGCHLD;
    unsigned long long arguments[8] = {0x00800000, 0, 0, 0, SIGCHLD};
    int status;
    for (int i = 0; i < 2; i++) {
        register long kept __asm__("rbx") = 77;
        long pid = i ? syscall(SYS_clone3, arguments, sizeof arguments)
                     : syscall(SYS_clone, flags, 0, 0, 0, 0);
        __asm__ volatile("" : "+r"(kept));
        CHECK(pid >= 0 && kept == 77);
        if (pid == 0) _exit(syscall(SYS_getppid) == -1 ? errno : 0);
        CHECK(arguments[0] == 0x00800000);
        CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == EIO);
    }
    return 0;
}
static int untraced_later(void) {
    /* As above, again and again; the rule's errno or none. */
    int status;
    ready();
    while (!asked_to_end()) {
        long pid = syscall(SYS_clone, 0x00800000 | SIGCHLD, 0, 0, 0, 0);
        CHECK(pid >= 0);
        if (pid == 0) _exit(syscall(SYS_getppid) == -1 ? errno : 0);
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == EIO || WEXITSTATUS(status) == 0);
    }
    return 0;
}
#endif

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    int status = 3;
    words = argv;
    alarm(100);
    if (!strcmp(how, "blocked")) status = blocked();
    if (!strcmp(how, "faulty")) status = faulty();
    if (!strcmp(how, "filtered-error")) status = filtered(SECCOMP_RET_ERRNO | EPERM);
    if (!strcmp(how, "filtered-kill")) status = filtered(SECCOMP_RET_KILL_PROCESS);
    if (!strcmp(how, "counts")) status = counts();
    if (!strcmp(how, "queued")) status = queued();
    if (!strcmp(how, "traps")) status = traps();
    if (!strcmp(how, "job-control")) status = job_control();
    if (!strcmp(how, "births")) status = births();
    if (!strcmp(how, "executes")) status = executes();
    if (!strcmp(how, "children")) status = children();
    if (!strcmp(how, "leaderless-executes")) status = leaderless_executes();
    if (!strcmp(how, "again")) status = again();
    if (!strcmp(how, "reads")) status = reads();
    if (!strcmp(how, "undumpable")) status = undumpable();
    if (!strcmp(how, "leaderless")) status = leaderless();
    if (!strcmp(how, "restarts")) status = interrupted(SA_RESTART);
    if (!strcmp(how, "interrupts")) status = interrupted(0);
#ifdef __x86_64__
    if (!strcmp(how, "untraced")) status = untraced();
    if (!strcmp(how, "untraced-later")) status = untraced_later();
#endif
    if (status == 0) puts("ok");
    return status;
}
