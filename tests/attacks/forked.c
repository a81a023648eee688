/* A fork server whose sandboxes run the attacks. Its arguments are the runner of the tree, for example
 * "bin/node runner/main.mjs run", which each sandbox executes with its own channel; with the single
 * argument "run" the sandbox is the program syscalls.c, without an execution in between.
 * STENCIL_HOSTILE names what a hostile package has prepared before the server gets ready. */
#define main run_attack
#include "syscalls.c"
#undef main
#include <mqueue.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/msg.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

extern char **environ;
int stencil_fork_serve(int control, int channel, int keep);
void stencil_fork_begin(void);
void stencil_fork_reap(int second);

/* What a package can do while it is loaded. */
static void sleeper(void) { if (fork() == 0) for (;;) pause(); }
static void orphan(void) { pid_t child = fork(); if (child == 0) { sleeper(); _exit(0); } waitpid(child, 0, 0); }
static void *wait_in_thread(void *unused) { (void)unused; for (;;) pause(); return 0; }
static void handle(int number) { (void)number; }
static void on_signal(int number) { struct sigaction action = {.sa_handler = handle}; sigaction(number, &action, 0); }
static int memory(void) { int file = syscall(SYS_memfd_create, "channel", 0); if (ftruncate(file, 4096)) _exit(72); return file; }
static void map_of(int protection, int flags, int file) { if (mmap(0, 4096, protection, flags, file, 0) == MAP_FAILED) _exit(72); if (file >= 0) close(file); }

static void open_file(void) { if (open("/tmp/channel", O_RDWR | O_CREAT, 0666) < 0) _exit(72); }
static void open_sealed(void) { if (flock(open("/template/package.json", O_RDONLY), LOCK_SH)) _exit(72); }
static void open_folder(void) { if (open("/tmp", O_RDONLY | O_DIRECTORY) < 0) _exit(72); }
static void memory_file_open(void) { memory(); }
static void shared_memory(void) { map_of(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1); }
static void shared_memory_unreadable(void) { map_of(PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1); }
static void shared_file(void) { map_of(PROT_READ | PROT_WRITE, MAP_SHARED, memory()); }
static void shared_file_read_only(void) { map_of(PROT_READ, MAP_SHARED, memory()); }
static void segment_attached(void) { if (shmat(shmget(KEY, 4096, IPC_CREAT | 0666), 0, 0) == (void *)-1) _exit(72); }
static void another_thread(void) { pthread_t thread; pthread_create(&thread, 0, wait_in_thread, 0); }
static void pipe_open(void) { int ends[2]; if (pipe(ends)) _exit(72); }
static void socket_open(void) { int ends[2]; if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) _exit(72); }
static void socket_listens(void) {
    struct sockaddr_un at = {AF_UNIX, "\0stencil-attack-server"};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (void *)&at, sizeof at) || listen(listener, 5)) _exit(72);
}
static void event(void) { eventfd(0, 0); }
static void poll_set(void) { epoll_create1(0); }
static void watch(void) { inotify_add_watch(inotify_init(), "/template", IN_ALL_EVENTS); }
static void timer_file(void) { timerfd_create(CLOCK_MONOTONIC, 0); }
static void signal_file(void) { sigset_t all; sigfillset(&all); signalfd(-1, &all, 0); }
static void queue_open(void) { mq_open("/channel", O_RDWR | O_CREAT, 0666, 0); }
static void timer(void) { /* notifies by no signal, so that it ends no process */
    struct sigevent silent = {.sigev_notify = SIGEV_NONE};
    timer_t made;
    timer_create(CLOCK_MONOTONIC, &silent, &made);
}
static void alarm_handled(void) { struct itimerval often = {{0, 100000}, {0, 100000}}; on_signal(SIGALRM); setitimer(ITIMER_REAL, &often, 0); }
static void processor_alarm_handled(void) { struct itimerval often = {{0, 100}, {0, 100}}; on_signal(SIGPROF); setitimer(ITIMER_PROF, &often, 0); }
static void processor_limit_handled(void) { struct rlimit soon = {1, RLIM_INFINITY}; on_signal(SIGXCPU); setrlimit(RLIMIT_CPU, &soon); }
static void signal_of_input(void) { on_signal(SIGUSR1); fcntl(3, F_SETOWN, getpid()); fcntl(3, F_SETSIG, SIGUSR1); fcntl(3, F_SETFL, O_ASYNC); }
static void another_filter(void) {
    struct { unsigned short code; unsigned char yes, no; unsigned value; } allow = {6, 0, 0, 0x7fff0000};
    struct { unsigned short length; void *items; } filter = {1, &allow};
    prctl(PR_SET_SECCOMP, 2, &filter, 0, 0);
}

static void patched(void) { /* the same byte, but a page of its own */
    volatile char *code = (char *)stencil_fork_serve;
    void *start = (void *)((uintptr_t)code & ~4095UL);
    if (mprotect(start, 4096, PROT_READ | PROT_WRITE | PROT_EXEC)) _exit(72);
    *code = *code;
    if (mprotect(start, 4096, PROT_READ | PROT_EXEC)) _exit(72);
}
#ifdef __x86_64__
static void map_number(const char *path, unsigned number) {
    char line[64];
    int file = open(path, O_WRONLY), length = snprintf(line, sizeof line, "%u %u 1", number, number);
    if (write(file, line, length) != length) _exit(3);
    close(file);
}
/* Wait in code with the right path, from a file system that a clone has mounted for it. */
static void elsewhere(void) {
    static const unsigned char waits[] = {0x31, 0xc0, 0x0f, 0x05, 0xc3}; /* read(2) */
    char byte = 0, ancillary[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = ancillary, .msg_controllen = sizeof ancillary};
    int ends[2], file;
    unsigned user = getuid(), group = getgid();
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    long pid = call(SYS_clone, SIGCHLD | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, 0, 0, 0, 0, 0);
    if (pid == 0) {
        if (write(open("/proc/self/setgroups", O_WRONLY), "deny", 4) != 4) _exit(4);
        map_number("/proc/self/uid_map", user);
        map_number("/proc/self/gid_map", group);
        if (call(SYS_mount, (long)"none", (long)"/template", (long)"tmpfs", 0, 0, 0)) _exit(1);
        mkdir("/template/_fork", 0755);
        file = open("/template/_fork/forked", O_RDWR | O_CREAT, 0755);
        if (write(file, waits, sizeof waits) < 0) _exit(2);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){CMSG_LEN(sizeof file), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), &file, sizeof file);
        _exit(sendmsg(ends[1], &message, 0) != 1);
    }
    close(ends[1]);
    if (recvmsg(ends[0], &message, 0) != 1 || !CMSG_FIRSTHDR(&message)) _exit(76);
    memcpy(&file, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof file);
    waitpid(pid, 0, 0);
    long (*wait)(int, void *, size_t) = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
    close(file), close(ends[0]);
    if (write(3, "{\"type\":\"ready\"}\n", 17) != 17) _exit(70);
    for (;;) wait(3, page, 1);
}
#endif
static void busy(void) {
    if (write(3, "{\"type\":\"ready\"}\n", 17) != 17) _exit(70);
    for (;;) {}
}

/* Cannot be seen, or is replaced: must not reach across a fork. */
static void segment_left(void) { if (shmget(KEY, 4096, IPC_CREAT | 0666) < 0) _exit(72); }
static void queue_left(void) { if (msgget(KEY, IPC_CREAT | 0666) < 0) _exit(72); }
static void posix_queue_left(void) { close(syscall(SYS_mq_open, "stencil-attack", 0102, 0666, 0)); }
static void streams(void) { int file = memory(); for (int stream = 0; stream < 3; stream++) dup2(file, stream); close(file); }
static void files_left(void) {
    for (char **at = (char *[]){"/tmp/left", "/dev/shm/left", "/workspace/left", "/workspace/src/left", 0}; *at; at++)
        if (close(open(*at, O_WRONLY | O_CREAT, 0666))) _exit(72);
}
static void alarm_unhandled(void) { struct itimerval late = {{0, 0}, {3600, 0}}; setitimer(ITIMER_REAL, &late, 0); }
static void moved(void) { if (chdir("/dev/shm")) _exit(72); }

#define PREPARED(name) {#name, name}
static const struct { const char *name; void (*act)(void); } prepared[] = {
    PREPARED(sleeper), PREPARED(orphan), PREPARED(open_file), PREPARED(open_sealed), PREPARED(open_folder), PREPARED(memory_file_open),
    PREPARED(shared_memory), PREPARED(shared_memory_unreadable), PREPARED(shared_file), PREPARED(shared_file_read_only),
    PREPARED(segment_attached), PREPARED(another_thread), PREPARED(pipe_open), PREPARED(socket_open), PREPARED(socket_listens),
    PREPARED(event), PREPARED(poll_set), PREPARED(watch), PREPARED(timer_file), PREPARED(signal_file), PREPARED(queue_open),
    PREPARED(timer), PREPARED(alarm_handled), PREPARED(processor_alarm_handled), PREPARED(processor_limit_handled),
    PREPARED(signal_of_input), PREPARED(another_filter), PREPARED(patched), PREPARED(busy),
#ifdef __x86_64__
    PREPARED(elsewhere),
#endif
    PREPARED(segment_left), PREPARED(queue_left), PREPARED(posix_queue_left),
    PREPARED(streams), PREPARED(files_left), PREPARED(alarm_unhandled), PREPARED(moved),
};

static void prepare(const char *name) {
    for (size_t n = 0; n < sizeof prepared / sizeof *prepared; n++)
        if (!strcmp(prepared[n].name, name)) { prepared[n].act(); return; }
    _exit(73);
}

int main(int count, char **given) {
    const char *hostile = getenv("STENCIL_HOSTILE"), *lie = getenv("STENCIL_LIE");
    if (hostile) prepare(hostile);
    if (write(3, "{\"type\":\"ready\"}\n", 17) != 17) return 70;
    if (!stencil_fork_serve(3, 3, 0)) return 0;
    if (lie && !strcmp(lie, "no process")) for (;;) pause();
    pid_t second = fork();
    if (second) stencil_fork_reap(second);
    stencil_fork_begin();
    if (lie && !strcmp(lie, "twice") && write(3, "{\"type\":\"ready\"}\n", 17) != 17) return 70;
    if (lie && !strcmp(lie, "silence")) for (;;) pause();
    if (lie && !strcmp(lie, "end")) return 7;
    unsetenv("STENCIL_FORK");
    if (count == 2) return run_attack(count, given);
    fcntl(3, F_SETFD, 0);
    execve(given[1], given + 1, environ);
    return 74;
}
