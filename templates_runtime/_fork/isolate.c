/* The fork server's own half: fork this process, with all that it has loaded, into sandboxes.

   The runtime calls `stencil_fork_serve` once it is loaded. The host sends one request for each
   sandbox over the control socket. For each one the process clones itself into new namespaces. The
   clone becomes the first process of its sandbox; there the function returns, the runtime forks
   once more, the first process calls `stencil_fork_reap`, and its child, the second process, calls
   `stencil_fork_begin` and goes on to wait for its job.

   Nothing of a submission is read before the second process exists: by then everything is mounted,
   all capabilities are gone and the filter of system calls is in force. Nothing ever flows from a
   sandbox to the server: what the clone could share with it, descriptors and folders, is closed or
   covered before.

   Messages of the host on the control socket, in its byte order:
     configuration, once: u32 size of the filter, u32 size of the links, the filter (struct
       sock_filter[], see seccomp(2)), the links (target NUL place NUL, as often as needed);
     request: struct request, with five descriptors (SCM_RIGHTS, see unix(7)): standard input,
       output, error, the channel, and the status socket. End of file ends the server.
   Messages on the status socket:
     the first process writes one byte when it exists; the host learns its process id from the
       credentials, moves it into its control group, sets its limits and answers with one byte;
     when the second process has ended, the first one writes its wait status (int, see wait(2)). */
#include "system.h"

enum { MOST_FILTER = 64 * 1024, MOST_LINKS = 16 * 1024, FILTER_ITEM = 8, DESCRIPTORS = 5, HIGH = 230, LIMITS = 16 };
#define UNCHANGED (~0ULL)

/* The size of /workspace and of /tmp, that of /dev/shm, and resource limits by number (UNCHANGED: as
   the server's). Only the process itself may set them where the host has no CAP_SYS_RESOURCE. */
struct request { u64 disk_bytes, shared_bytes, limits[LIMITS]; };

static u8 filter[MOST_FILTER];
static char links[MOST_LINKS];
static u32 filter_size, links_size;
static int status_socket = -1;

static void fail(const char *what, long error)
{
    char text[160], number[8];
    int length = 0, digits = 0;
    const char *said = "fork server: ";
    while (*said) text[length++] = *said++;
    while (*what && length < 140) text[length++] = *what++;
    text[length++] = ':';
    text[length++] = ' ';
    for (error = error < 0 ? -error : error; error || !digits; error /= 10) number[digits++] = (char)('0' + error % 10);
    while (digits) text[length++] = number[--digits];
    text[length++] = '\n';
    CALL(SYS_write, 2, text, length);
    CALL(SYS_exit_group, 120);
}

static void check(long result, const char *what)
{
    if (result < 0) fail(what, result);
}

/* Read exactly `size` bytes. Return 1, or 0 at the end of the stream. */
static int receive(int from, void *into, size_t size)
{
    u8 *at = into;
    while (size) {
        long got = CALL(SYS_read, from, at, size);
        if (got == -E_INTR) continue;
        if (got <= 0) return 0;
        at += got;
        size -= (size_t)got;
    }
    return 1;
}

static void put(const char *path, const char *text, size_t length)
{
    long file = CALL(SYS_openat, AT_FDCWD_, path, O_WRONLY_ | O_CLOEXEC_, 0);
    check(file, path);
    check(CALL(SYS_write, file, text, length), path);
    CALL(SYS_close, file);
}

/* Append a number in decimal digits; return the new length. */
static int decimal(char *text, int length, u64 number)
{
    char digits[24];
    int count = 0;
    do digits[count++] = (char)('0' + number % 10); while (number /= 10);
    while (count) text[length++] = digits[--count];
    return length;
}

static void map_id(const char *path, long id)
{
    char text[64];
    int length = decimal(text, 0, (u64)id);
    text[length++] = ' ';
    length = decimal(text, length, (u64)id);
    text[length++] = ' ';
    text[length++] = '1';
    put(path, text, (size_t)length);
}

static void mount_memory(const char *at, u64 bytes)
{
    static const char mode[] = "mode=1777,size=";
    char options[64];
    int length = 0;
    while (mode[length]) options[length] = mode[length], length++;
    options[decimal(options, length, bytes)] = 0;
    check(CALL(SYS_mount, "tmpfs", at, "tmpfs", MS_NOSUID_ | MS_NODEV_, options), at);
}

static void seal(const char *at, int optional)
{
    static const long flags = MS_RDONLY_ | MS_NOSUID_ | MS_NODEV_ | MS_NOEXEC_;
    long result = CALL(SYS_mount, optional ? "/dev/null" : at, at, NULL, MS_BIND_ | (optional ? 0 : MS_REC_), NULL);
    if (optional && result < 0) return; /* this kernel has no such file */
    check(result, at);
    check(CALL(SYS_mount, NULL, at, NULL, MS_BIND_ | MS_REMOUNT_ | flags, NULL), at);
}

static void mount_all(const struct request *request)
{
    check(CALL(SYS_mount, NULL, "/", NULL, MS_REC_ | MS_PRIVATE_, NULL), "private mounts");
    mount_memory("/workspace", request->disk_bytes);
    mount_memory("/tmp", request->disk_bytes);
    mount_memory("/dev/shm", request->shared_bytes);
    check(CALL(SYS_mkdirat, AT_FDCWD_, "/workspace/src", 0777), "/workspace/src");
    check(CALL(SYS_fchmodat, AT_FDCWD_, "/workspace/src", 0777), "/workspace/src");
    for (u32 at = 0; at < links_size;) {
        const char *target = links + at;
        while (links[at++]) {}
        check(CALL(SYS_symlinkat, target, AT_FDCWD_, links + at), links + at);
        while (links[at++]) {}
    }
    check(CALL(SYS_mount, "proc", "/proc", "proc", MS_NOSUID_ | MS_NODEV_ | MS_NOEXEC_, NULL), "/proc");
    seal("/proc/sys", 0);
    seal("/proc/keys", 1);
    check(CALL(SYS_chdir, "/workspace"), "/workspace");
}

static void raise_loopback(void)
{
    struct ifreq_ loopback = {.name = "lo", .flags = IFF_UP_ | IFF_RUNNING_};
    long socket = CALL(SYS_socket, AF_INET_, SOCK_DGRAM_ | SOCK_CLOEXEC_, 0);
    check(socket, "loopback");
    check(CALL(SYS_ioctl, socket, SIOCSIFFLAGS_, &loopback), "loopback");
    CALL(SYS_close, socket);
}

/* Lower the resource limits, and nothing else: a limit that is lower already stays. */
static void limit(const struct request *request)
{
    for (int kind = 0; kind < LIMITS; kind++) {
        u64 pair[2], wanted = request->limits[kind];
        if (wanted == UNCHANGED) continue;
        check(CALL(SYS_prlimit64, 0, kind, NULL, pair), "resource limit");
        pair[0] = pair[1] = wanted < pair[1] ? wanted : pair[1];
        check(CALL(SYS_prlimit64, 0, kind, pair, NULL), "resource limit");
    }
}

static void drop_rights(void)
{
    struct cap_header_ header = {CAPABILITY_VERSION_3, 0};
    struct cap_data_ none[2] = {{0, 0, 0}, {0, 0, 0}};
    struct sock_fprog_ program = {(u16)(filter_size / FILTER_ITEM), filter};
    for (long capability = 0; capability < 64; capability++) {
        long result = CALL(SYS_prctl, PR_CAPBSET_DROP_, capability, 0, 0, 0);
        if (result == -E_INVAL) break; /* the kernel has no more of them */
        check(result, "bounding set");
    }
    check(CALL(SYS_prctl, PR_CAP_AMBIENT_, PR_CAP_AMBIENT_CLEAR_ALL_, 0, 0, 0), "ambient set");
    check(CALL(SYS_capset, &header, none), "capabilities");
    check(CALL(SYS_prctl, PR_SET_NO_NEW_PRIVS_, 1, 0, 0, 0), "no_new_privs");
    check(CALL(SYS_prctl, PR_SET_SECCOMP_, SECCOMP_MODE_FILTER_, &program, 0, 0), "filter");
}

/* Put the received descriptors into their places, and close all others below `keep_from`. */
static void take_descriptors(const int *received, int channel, int keep)
{
    int high[DESCRIPTORS];
    for (int i = 0; i < DESCRIPTORS; i++) {
        high[i] = (int)CALL(SYS_fcntl, received[i], F_DUPFD_CLOEXEC_, HIGH);
        check(high[i], "descriptor");
    }
    for (int i = 0; i < 3; i++) check(CALL(SYS_dup3, high[i], i, 0), "stream");
    check(CALL(SYS_dup3, high[3], channel, O_CLOEXEC_), "channel");
    status_socket = high[4];
    for (int i = 0; i < DESCRIPTORS; i++) {
        if (received[i] > 2 && received[i] != channel) CALL(SYS_close, received[i]);
        if (i < 4) CALL(SYS_close, high[i]);
    }
    if (keep) return;
    if (channel > 3) check(CALL(SYS_close_range, 3, channel - 1, 0), "descriptors");
    check(CALL(SYS_close_range, channel + 1, status_socket - 1, 0), "descriptors");
    check(CALL(SYS_close_range, status_socket + 1, ~0U, 0), "descriptors");
}

/* In the clone: become the first process of a sandbox. */
static void become_first(const struct request *request, const int *received, int channel, int keep)
{
    char byte = 'a';
    take_descriptors(received, channel, keep);
    check(CALL(SYS_write, status_socket, &byte, 1), "announcement");
    if (!receive(status_socket, &byte, 1)) CALL(SYS_exit_group, 121); /* the host does not want it */
    /* As in any sandbox, the session is this process's: a program can begin one of its own. */
    check(CALL(SYS_setsid, 0), "session");
    check(CALL(SYS_unshare, CLONE_NEWCGROUP_), "control groups");
    mount_all(request);
    raise_loopback();
    limit(request);
    drop_rights();
    /* No process of the sandbox may look into this one. The second one undoes this for itself. */
    check(CALL(SYS_prctl, PR_SET_DUMPABLE_, 0, 0, 0, 0), "dumpable");
}

/* Wait for one request. Return 1, 0 when the host has closed the socket, or minus an error number. */
static int next_request(int control, struct request *request, int *received)
{
    union { struct cmsghdr_ header; u8 bytes[64]; } ancillary;
    struct iovec_ part = {request, sizeof *request};
    struct msghdr_ message = {.parts = &part, .count = 1, .control = &ancillary, .control_length = sizeof ancillary};
    long got;
    do got = CALL(SYS_recvmsg, control, &message, MSG_CMSG_CLOEXEC_); while (got == -E_INTR);
    if (got <= 0) return (int)got;
    if (got != (long)sizeof *request || message.flags & MSG_CTRUNC_) return -E_INVAL;
    if (message.control_length < sizeof(struct cmsghdr_) + DESCRIPTORS * sizeof(int)) return -E_INVAL;
    if (ancillary.header.level != SOL_SOCKET_ || ancillary.header.type != SCM_RIGHTS_) return -E_INVAL;
    for (int i = 0; i < DESCRIPTORS; i++) received[i] = ((int *)(ancillary.bytes + sizeof(struct cmsghdr_)))[i];
    return 1;
}

static int configure(int control)
{
    u32 sizes[2];
    if (!receive(control, sizes, sizeof sizes)) return 0;
    if (sizes[0] > MOST_FILTER || sizes[1] > MOST_LINKS || sizes[0] % FILTER_ITEM) return 0;
    filter_size = sizes[0];
    links_size = sizes[1];
    if (!receive(control, filter, filter_size) || !receive(control, links, links_size)) return 0;
    return !links_size || !links[links_size - 1];
}

/* Serve requests. Return 1 in the first process of each sandbox, and 0 in the server, at its end.

   `channel`: the descriptor number at which the runtime expects the channel of its job. `keep`: leave
   the other descriptors to the caller, whose runtime has some that it must replace. */
int stencil_fork_serve(int control, int channel, int keep)
{
    u64 before[4], ignore[4] = {SIG_IGN_, 0, 0, 0};
    struct request request;
    int received[DESCRIPTORS];
    if (!configure(control)) return 0;
    /* The kernel then removes dead sandboxes itself; the server may be waiting for a request. */
    CALL(SYS_rt_sigaction, SIGCHLD_, ignore, before, 8);
    while (next_request(control, &request, received) > 0) {
        long user = CALL(SYS_getuid, 0), group = CALL(SYS_getgid, 0);
        long made = CALL(SYS_clone, SIGCHLD_ | CLONE_NEWUSER_ | CLONE_NEWPID_ | CLONE_NEWNS_ | CLONE_NEWNET_ | CLONE_NEWIPC_ | CLONE_NEWUTS_, 0, 0, 0, 0);
        if (!made) {
            CALL(SYS_rt_sigaction, SIGCHLD_, before, NULL, 8);
            put("/proc/self/setgroups", "deny", 4);
            map_id("/proc/self/uid_map", user);
            map_id("/proc/self/gid_map", group);
            become_first(&request, received, channel, keep);
            return 1;
        }
        /* If it failed, the host sees the end of the status socket. */
        for (int i = 0; i < DESCRIPTORS; i++) CALL(SYS_close, received[i]);
    }
    return 0;
}

/* In the second process: let go what belongs to the first. */
void stencil_fork_begin(void)
{
    CALL(SYS_close, status_socket);
    CALL(SYS_prctl, PR_SET_DUMPABLE_, 1, 0, 0, 0);
}

/* In the first process: remove dead processes, tell the host how the second one ended, and end.
   The sandbox ends with this process. */
void stencil_fork_reap(int second)
{
    int state = 0;
    long dead;
    CALL(SYS_close_range, 0, status_socket - 1, 0);
    CALL(SYS_close_range, status_socket + 1, ~0U, 0);
    do dead = CALL(SYS_wait4, -1, &state, 0, NULL); while (dead != second && dead != -E_CHILD);
    if (dead == second) CALL(SYS_write, status_socket, &state, sizeof state);
    CALL(SYS_exit_group, 0);
}
