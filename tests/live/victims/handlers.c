/* Ways by which a handler comes to be there that lets a read of a pipe be made again: the first
   argument. The reader's second read must fail, by the rule that counts them; then it says "ok". */
#include "check.h"

struct shared {
    volatile int handled, reading;
    volatile pid_t reader; /* a thread's number */
};
static struct shared *shared;
static int ends[2];
static int flags = SA_RESTART;

static int executes;

static void count(int number) {
    char *words[] = {"/no/such", NULL};
    (void)number;
    if (executes) execv(words[0], words);
    shared->handled++;
}

static void handle(void) {
    struct sigaction action = {.sa_handler = count, .sa_flags = flags};
    CHECK(!sigaction(SIGUSR1, &action, NULL));
}

static char state(pid_t tid) {
    char path[64], line[512] = "", *end;
    snprintf(path, sizeof path, "/proc/%d/stat", tid);
    FILE *file = fopen(path, "r");
    if (!file) return 'X';
    end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    fclose(file);
    return end ? end[2] : 'X';
}

static void await_reader(void) {
    while (!shared->reading || state(shared->reader) != 'S') sched_yield();
}

static void interrupt_reader(pid_t process) {
    int before = shared->handled;
    CHECK(!syscall(SYS_tgkill, process, shared->reader, SIGUSR1));
    while (shared->handled == before) sched_yield();
    await_reader();
}

static void feed(void) { CHECK(write(ends[1], "xy", 2) == 2); }

static int read_twice(void) {
    char byte;
    shared->reader = gettid();
    shared->reading = 1;
    CHECK(read(ends[0], &byte, 1) == 1 && byte == 'x');
    CHECK(shared->handled > 0);
    CHECK(read(ends[0], &byte, 1) == -1 && errno == EIO); /* the rule's */
    return 0;
}

static int helped(void) {
    pid_t self = getpid();
    if (fork() == 0) {
        await_reader();
        interrupt_reader(self);
        feed();
        _exit(0);
    }
    int status = read_twice();
    CHECK(wait(NULL) > 0);
    return status;
}

static int inherited(void) {
    int status;
    handle();
    pid_t child = fork();
    if (child == 0) _exit(read_twice());
    await_reader();
    interrupt_reader(child);
    feed();
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static int behind_a_failed_execve(void) {
    char *words[] = {"/no/such", NULL};
    handle();
    CHECK(execv(words[0], words) == -1 && errno == ENOENT);
    return helped();
}

static void *reads(void *status) {
    *(int *)status = read_twice();
    return NULL;
}

static int set_while_it_reads(void) {
    pthread_t thread;
    int status = 1;
    CHECK(!pthread_create(&thread, NULL, reads, &status));
    await_reader();
    handle();
    interrupt_reader(getpid());
    feed();
    CHECK(!pthread_join(thread, NULL));
    return status;
}

static int sets_for_both(void *unused) {
    (void)unused;
    handle(); /* of a process that shares its handlers */
    return 0;
}

static int set_by_another_process(void) {
    char *stack = malloc(1 << 16);
    int status;
    pid_t child = clone(sets_for_both, stack + (1 << 16), CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL);
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    return helped();
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    int status = 3;
    alarm(60);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED && !pipe(ends));
    if (!strcmp(how, "own")) handle(), status = helped();
    if (!strcmp(how, "once")) flags |= SA_RESETHAND, handle(), status = helped();
    if (!strcmp(how, "executes")) executes = 1, flags |= SA_RESETHAND, handle(), status = helped();
    if (!strcmp(how, "inherited")) status = inherited();
    if (!strcmp(how, "failed-execve")) status = behind_a_failed_execve();
    if (!strcmp(how, "while-it-reads")) status = set_while_it_reads();
    if (!strcmp(how, "shared")) status = set_by_another_process();
    if (!strcmp(how, "executed")) { /* a new program has no handler of the old one's */
        char *words[] = {argv[0], "own", NULL};
        handle();
        execv(words[0], words);
    }
    if (status == 0) puts("ok");
    return status;
}
