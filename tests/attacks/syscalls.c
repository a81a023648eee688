/* Attacks by system calls. The program is linked statically and sealed into the test's tree, where
 * it is both runner and submission: it sends "ready" on descriptor 3, reads its job, calls the
 * function that the first argument names, and prints "OK" (it worked) or the number of the error.
 * If the kernel lacks the call, it prints "ABSENT". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static long call(long number, long a, long b, long c, long d, long e, long f) {
    return syscall(number, a, b, c, d, e, f);
}

#define RAW(name, number, a, b, c, d, e, f) \
    static long name(void) { return call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)); }

static char page[65536];

/* Mounts. */
RAW(mount_tmpfs, SYS_mount, "none", "/tmp", "tmpfs", 0, 0, 0)
RAW(mount_bind, SYS_mount, "/tmp", "/template", 0, 4096, 0, 0)
RAW(remount_writable, SYS_mount, 0, "/template", 0, 32 | 4096, 0, 0)
RAW(mount_proc, SYS_mount, "proc", "/tmp", "proc", 0, 0, 0)
RAW(unmount, SYS_umount2, "/template", 2, 0, 0, 0, 0)
RAW(pivot, SYS_pivot_root, "/tmp", "/tmp", 0, 0, 0, 0)
RAW(change_root, SYS_chroot, "/tmp", 0, 0, 0, 0, 0)
RAW(open_tree, 428, -100, "/template", 1, 0, 0, 0)
RAW(move_mount, 429, -100, "/tmp", -100, "/template", 0, 0)
RAW(fsopen, 430, "tmpfs", 0, 0, 0, 0, 0)
RAW(fsconfig, 431, 0, 6, 0, 0, 0, 0)
RAW(fsmount, 432, 0, 0, 0, 0, 0, 0)
RAW(fspick, 433, -100, "/template", 0, 0, 0, 0)
RAW(mount_setattr, 442, -100, "/template", 0, page, 32, 0)

/* Namespaces. */
RAW(unshare_user, SYS_unshare, CLONE_NEWUSER, 0, 0, 0, 0, 0)
RAW(unshare_net, SYS_unshare, CLONE_NEWNET, 0, 0, 0, 0, 0)
RAW(unshare_mount, SYS_unshare, CLONE_NEWNS, 0, 0, 0, 0, 0)
RAW(unshare_pid, SYS_unshare, CLONE_NEWPID, 0, 0, 0, 0, 0)
RAW(unshare_all, SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWTIME, 0, 0, 0, 0, 0)
static long clone_with(long flags) {
    long pid = call(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    if (pid > 0) waitpid(pid, 0, 0);
    return pid;
}
static long clone_user(void) { return clone_with(CLONE_NEWUSER); }
static long clone_user_hidden(void) { return clone_with(CLONE_NEWUSER | (1L << 40)); }
static long clone_net(void) { return clone_with(CLONE_NEWNET); }
static long clone_mount(void) { return clone_with(CLONE_NEWNS); }
static long clone_pid(void) { return clone_with(CLONE_NEWPID); }
static long clone_ipc(void) { return clone_with(CLONE_NEWIPC); }
static long clone_uts(void) { return clone_with(CLONE_NEWUTS); }
static long clone_cgroup(void) { return clone_with(CLONE_NEWCGROUP); }
static long clone3_with(unsigned long long flags) {
    unsigned long long arguments[11] = {flags, 0, 0, 0, SIGCHLD};
    long pid = call(435, (long)arguments, sizeof arguments, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    if (pid > 0) waitpid(pid, 0, 0);
    return pid;
}
static long clone3_user(void) { return clone3_with(CLONE_NEWUSER); }
static long clone3_into_cgroup(void) { return clone3_with(0x200000000ULL); }
static long clone_like_a_fork_server(void) { /* a sandbox in the sandbox; in it, what the outer one may not do */
    int state = 1;
    long pid = call(SYS_clone, SIGCHLD | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, 0, 0, 0, 0, 0);
    if (pid == 0) _exit(call(SYS_mount, (long)"none", (long)"/tmp", (long)"tmpfs", 0, 0, 0) ? errno : 0);
    if (pid < 0) return -1;
    waitpid(pid, &state, 0);
    errno = WEXITSTATUS(state);
    return errno ? -1 : 0;
}
static long setns_first(void) {
    int first = call(434, 1, 0, 0, 0, 0, 0);
    return call(SYS_setns, first, CLONE_NEWNS | CLONE_NEWPID, 0, 0, 0, 0);
}
static long setns_file(void) { return call(SYS_setns, open("/proc/self/ns/net", O_RDONLY), 0, 0, 0, 0, 0); }

/* Other processes. */
static long trace_child(void) {
    pid_t child = fork();
    if (child == 0) { pause(); _exit(0); }
    long result = ptrace(PTRACE_SEIZE, child, 0, 0);
    int error = errno;
    kill(child, SIGKILL);
    errno = error;
    return result;
}
RAW(trace_me, SYS_ptrace, PTRACE_TRACEME, 0, 0, 0, 0, 0)
RAW(trace_first, SYS_ptrace, PTRACE_ATTACH, 1, 0, 0, 0, 0)
static struct iovec piece = {page, 8};
RAW(read_memory, SYS_process_vm_readv, getpid(), &piece, 1, &piece, 1, 0)
RAW(write_memory, SYS_process_vm_writev, getpid(), &piece, 1, &piece, 1, 0)
RAW(compare, SYS_kcmp, getpid(), 1, 0, 0, 0, 0)
RAW(steal_descriptor, 438, call(434, getpid(), 0, 0, 0, 0, 0), 0, 0, 0, 0, 0)
RAW(advise_other, 440, call(434, 1, 0, 0, 0, 0, 0), &piece, 1, 4, 0, 0)
RAW(move_pages, SYS_move_pages, 1, 0, 0, 0, 0, 0)
RAW(migrate_pages, SYS_migrate_pages, 1, 8, page, page, 0, 0)
static long open_first(const char *name, int flags) {
    char path[64];
    snprintf(path, sizeof path, "/proc/1/%s", name);
    return open(path, flags);
}
static long first_memory(void) { return open_first("mem", O_RDWR); }
static long first_descriptors(void) { return open_first("fd", O_RDONLY | O_DIRECTORY); }
static long first_root(void) { return open_first("root/tmp", O_RDONLY | O_DIRECTORY); }
static long first_folder(void) { return open_first("cwd", O_RDONLY | O_DIRECTORY); }
static long first_environment(void) { return open_first("environ", O_RDONLY); }
static long first_namespaces(void) { return open_first("ns/net", O_RDONLY); }
static long first_score(void) { return open_first("oom_score_adj", O_WRONLY); }
static long first_limits(void) { struct rlimit much = {4096, 4096}; return prlimit(1, RLIMIT_NOFILE, &much, 0); }
static long own_score(void) { int file = open("/proc/self/oom_score_adj", O_WRONLY); return write(file, "-1000", 5); }
static long any_descriptor(void) { /* beyond the streams */
    for (int number = 3; number < 5000; number++) if (fcntl(number, F_GETFD) >= 0) return number;
    return -1;
}
static long all_signalled(void) { /* the sandbox alone, without its first process */
    for (int kind = 1; kind < 64; kind++) if (kind != SIGKILL && kind != SIGSTOP) signal(kind, SIG_IGN);
    return call(SYS_kill, -1, SIGTERM, 0, 0, 0, 0);
}
static long signal_host(void) {
    for (pid_t pid = 1000; pid < 60000; pid++)
        if (pid != getpid() && kill(pid, 0) == 0) return 0;
    errno = ESRCH;
    return -1;
}

/* Kernel machinery. */
RAW(bpf_map, SYS_bpf, 0, page, 72, 0, 0, 0)
RAW(bpf_program, SYS_bpf, 5, page, 72, 0, 0, 0)
static long perf(void) {
    unsigned int attributes[32] = {1, 128, 0, 0};
    attributes[10] = 0x62; /* exclude_kernel, exclude_hv, disabled */
    return call(SYS_perf_event_open, (long)attributes, 0, -1, -1, 0, 0);
}
RAW(userfault, SYS_userfaultfd, 1, 0, 0, 0, 0, 0)
RAW(uring_setup, 425, 1, page, 0, 0, 0, 0)
RAW(uring_enter, 426, 0, 0, 0, 0, 0, 0)
RAW(uring_register, 427, -1, 0, 0, 0, 0, 0)
RAW(key_join, SYS_keyctl, 1, 0, 0, 0, 0, 0)
RAW(key_read, SYS_keyctl, 0, -3, 0, 0, 0, 0)
RAW(key_add, SYS_add_key, "user", "x", "y", 1, -2, 0)
RAW(key_request, SYS_request_key, "user", "x", 0, 0, 0, 0)
RAW(module_init, SYS_init_module, page, 64, "", 0, 0, 0)
RAW(module_file, SYS_finit_module, 0, "", 0, 0, 0, 0)
RAW(module_delete, SYS_delete_module, "x", 0, 0, 0, 0, 0)
RAW(kexec, SYS_kexec_load, 0, 0, 0, 0, 0, 0)
RAW(swap_on, SYS_swapon, "/tmp/x", 0, 0, 0, 0, 0)
RAW(swap_off, SYS_swapoff, "/tmp/x", 0, 0, 0, 0, 0)
/* A wrong magic number: without any protection it must still not restart the machine. */
RAW(restart, SYS_reboot, 0, 0, 0, 0, 0, 0)
RAW(kernel_log, SYS_syslog, 3, page, 100, 0, 0, 0)
RAW(account, SYS_acct, "/tmp/x", 0, 0, 0, 0, 0)
RAW(quota, SYS_quotactl, 0x80000700, 0, 0, page, 0, 0)
RAW(hang_up, SYS_vhangup, 0, 0, 0, 0, 0, 0)
RAW(by_handle, SYS_open_by_handle_at, -100, page, 0, 0, 0, 0)
RAW(to_handle, SYS_name_to_handle_at, -100, "/tmp", page, page, 0, 0)
RAW(fanotify, SYS_fanotify_init, 0, 0, 0, 0, 0, 0)
RAW(secret_memory, 447, 0, 0, 0, 0, 0, 0)
RAW(filter_more, SYS_seccomp, 2, 0, 0, 0, 0, 0)
RAW(numa, SYS_set_mempolicy, 0, 0, 0, 0, 0, 0)
RAW(unknown, 1999, 0, 0, 0, 0, 0, 0)
#ifdef __x86_64__
RAW(io_level, SYS_iopl, 3, 0, 0, 0, 0, 0)
RAW(io_ports, SYS_ioperm, 0x80, 1, 1, 0, 0, 0)
RAW(local_table, SYS_modify_ldt, 0, page, 16, 0, 0, 0)
RAW(kexec_file, SYS_kexec_file_load, 0, 0, 0, 0, 0, 0)
static long int80(void) { /* 20 is getpid there */
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "r8", "r9", "r10", "r11", "memory");
    return result;
}
static long int80_mount(void) { /* 21 is mount there */
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(21L), "b"(0L), "c"(0L), "d"(0L) : "r8", "r9", "r10", "r11", "memory");
    errno = -result;
    return result < 0 ? -1 : result;
}
static long sysenter_far(void) { /* a far jump into 32-bit code, which then uses int 0x80 */
    unsigned char *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    static const unsigned char thirty_two[] = {0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xcb};
    memcpy(code, thirty_two, sizeof thirty_two);
    struct { unsigned int offset; unsigned short segment; } __attribute__((packed)) target = {(unsigned int)(unsigned long)code, 0x23};
    long result;
    __asm__ volatile("sub $128, %%rsp\n\tlcall *%1\n\tadd $128, %%rsp" : "=a"(result) : "m"(target) : "rbx", "rcx", "rdx", "memory", "r8", "r9", "r10", "r11");
    return result;
}
RAW(x32_getpid, 0x40000000 + 39, 0, 0, 0, 0, 0, 0)
RAW(x32_ptrace, 0x40000000 + 521, 0, 0, 0, 0, 0, 0)
RAW(x32_execve, 0x40000000 + 520, 0, 0, 0, 0, 0, 0)
#endif

/* Clocks and names. */
static long set_time(void) { /* to what it is: without any protection nobody is harmed */
    struct timeval now;
    gettimeofday(&now, 0);
    return call(SYS_settimeofday, (long)&now, 0, 0, 0, 0, 0);
}
static long set_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return call(SYS_clock_settime, CLOCK_REALTIME, (long)&now, 0, 0, 0, 0);
}
static long adjust(void) { /* one tick of the length it has: without any protection it changes nothing */
    static long state[26];
    *(unsigned int *)state = 0x4000;
    ((long *)state)[11] = 10000;
    return call(SYS_adjtimex, (long)state, 0, 0, 0, 0, 0);
}
RAW(adjust_clock, SYS_clock_adjtime, 0, page, 0, 0, 0, 0)
RAW(host_name, SYS_sethostname, "owned", 5, 0, 0, 0, 0)
RAW(domain_name, SYS_setdomainname, "owned", 5, 0, 0, 0, 0)

/* Sockets: the numbers are address families. */
#define SOCKET(name, family, type, protocol) RAW(name, SYS_socket, family, type, protocol, 0, 0, 0)
SOCKET(vsock, 40, 1, 0)
SOCKET(packet, 17, 3, 0x300)
SOCKET(alg, 38, 5, 0)
SOCKET(bluetooth, 31, 3, 1)
SOCKET(can, 29, 3, 1)
SOCKET(xdp, 44, 3, 0)
SOCKET(tipc, 30, 5, 0)
SOCKET(rds, 21, 5, 0)
SOCKET(kcm, 41, 5, 0)
SOCKET(pppox, 24, 1, 0)
SOCKET(llc, 26, 1, 0)
SOCKET(ax25, 3, 5, 0)
SOCKET(smc, 43, 1, 0)
SOCKET(qipcrtr, 42, 2, 0)
SOCKET(netlink_audit, 16, 3, 9)
SOCKET(netlink_events, 16, 3, 15)
SOCKET(netlink_filter, 16, 3, 12)
SOCKET(netlink_generic, 16, 3, 16)
SOCKET(netlink_crypto, 16, 3, 21)
SOCKET(raw_ip, AF_INET, SOCK_RAW, 1)
SOCKET(raw_ip6, AF_INET6, SOCK_RAW, 58)
static long pair_vsock(void) { int ends[2]; return socketpair(40, SOCK_STREAM, 0, ends); }
static long new_link(void) { /* RTM_NEWLINK: a dummy interface */
    int route = socket(AF_NETLINK, SOCK_RAW, 0);
    struct { unsigned int length; unsigned short type, flags; unsigned int sequence, from; char body[16]; } ask = {32, 16, 0x605, 1, 0, {0}};
    if (send(route, &ask, 32, 0) < 0 || recv(route, page, sizeof page, 0) < 20) return -1;
    errno = -*(int *)(page + 16);
    return errno ? -1 : 0;
}
static long raise_link(void) { /* SIOCSIFFLAGS on the loopback */
    struct { char name[16]; short flags; char rest[22]; } change = {"lo", 0, {0}};
    return ioctl(socket(AF_INET, SOCK_DGRAM, 0), 0x8914, &change);
}

/* Identity. */
static long become_root(void) { return setuid(0); }
static long become_root_group(void) { return setgid(0); }
static long become_all(void) { return setresuid(0, 0, 0); }
static long more_groups(void) { unsigned int group = 0; return call(SYS_setgroups, 1, (long)&group, 0, 0, 0, 0); }
static long file_root(void) { call(SYS_setfsuid, 0, 0, 0, 0, 0, 0); long now = call(SYS_setfsuid, -1, 0, 0, 0, 0, 0); errno = EPERM; return now == 0 ? 0 : -1; }
static long capabilities(void) {
    unsigned int header[2] = {0x20080522, 0}, sets[6] = {-1u, -1u, -1u, -1u, -1u, -1u};
    return call(SYS_capset, (long)header, (long)sets, 0, 0, 0, 0);
}
static long one_capability(void) { /* only CAP_NET_RAW */
    unsigned int header[2] = {0x20080522, 0}, sets[6] = {1 << 13, 1 << 13, 0, 0, 0, 0};
    return call(SYS_capset, (long)header, (long)sets, 0, 0, 0, 0);
}
static long ambient(void) { return prctl(47, 2, 13, 0, 0); }
static long new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0); }
static long keep_capabilities(void) { return prctl(28, 0x3f, 0, 0, 0); }
static long change_mm(void) { return prctl(35, 13, 0, 0, 0); }
static long setuid_copy(void) { /* our own program with the set-uid bit keeps our user */
    int source = open("/proc/self/exe", O_RDONLY), copy = open("/tmp/suid", O_WRONLY | O_CREAT, 0755);
    ssize_t count;
    while ((count = read(source, page, sizeof page)) > 0) if (write(copy, page, count) != count) return -1;
    close(copy);
    if (chown("/tmp/suid", 0, 0) == 0) return 0;
    int error = errno;
    chmod("/tmp/suid", 06755);
    struct stat status;
    stat("/tmp/suid", &status);
    errno = error;
    return status.st_uid == 0 ? 0 : -1;
}
RAW(device_null, SYS_mknodat, -100, "/tmp/null", S_IFCHR | 0666, 0x103, 0, 0)
RAW(device_memory, SYS_mknodat, -100, "/tmp/mem", S_IFCHR | 0666, 0x101, 0, 0)
RAW(device_disk, SYS_mknodat, -100, "/tmp/disk", S_IFBLK | 0666, 0x800, 0, 0)
RAW(no_random_addresses, SYS_personality, 0x40000, 0, 0, 0, 0, 0)
RAW(execute_all, SYS_personality, 0x400000, 0, 0, 0, 0, 0)

/* More than the limit. */
static long real_time(void) { struct sched_param first = {1}; return sched_setscheduler(0, SCHED_FIFO, &first); }
static long nicer(void) { return setpriority(PRIO_PROCESS, 0, -20); }
RAW(first_disk, SYS_ioprio_set, 1, 0, 1 << 13, 0, 0, 0)
static long raise_limit(int kind) { struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY}; return setrlimit(kind, &limit); }
static long raise_files(void) { return raise_limit(RLIMIT_NOFILE); }
static long raise_size(void) { return raise_limit(RLIMIT_FSIZE); }
static long raise_cpu(void) { return raise_limit(RLIMIT_CPU); }
static long raise_core(void) { return raise_limit(RLIMIT_CORE); }
static long lock_all(void) { /* more than the limit of the group: killed or refused */
    size_t size = 1UL << 28;
    char *all = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mlock(all, size);
}

/* Terminals: put characters into a terminal that another process reads. */
static long inject(void) {
    char letter = 'x';
    int tty = open("/dev/tty", O_RDWR | O_NOCTTY);
    for (int fd = 0; fd < 3; fd++) if (ioctl(fd, TIOCSTI, &letter) == 0) return 0;
    return tty < 0 ? -1 : ioctl(tty, TIOCSTI, &letter);
}
static long take_console(void) { int on = 0; return ioctl(0, TIOCCONS, &on); }
static long paste(void) { char kind = 3; return ioctl(0, 0x541C /* TIOCLINUX */, &kind); }
static long take_terminal(void) { return ioctl(open("/dev/tty", O_RDWR), TIOCSCTTY, 1); }

/* State shared between executions: the first run leaves a mark, the second looks for it. */
#define KEY 0x57e9c11
static long segment_put(void) { long id = call(SYS_shmget, KEY, 4096, 01666, 0, 0, 0); return id; }
static long segment_get(void) { return call(SYS_shmget, KEY, 4096, 0666, 0, 0, 0); }
static long queue_put(void) { return call(SYS_msgget, KEY, 01666, 0, 0, 0, 0); }
static long queue_get(void) { return call(SYS_msgget, KEY, 0666, 0, 0, 0, 0); }
static long semaphore_put(void) { return call(SYS_semget, KEY, 1, 01666, 0, 0, 0); }
static long semaphore_get(void) { return call(SYS_semget, KEY, 1, 0666, 0, 0, 0); }
static long posix_put(void) { return call(SYS_mq_open, (long)"stencil-attack", 0102, 0666, 0, 0, 0); }
static long posix_get(void) { return call(SYS_mq_open, (long)"stencil-attack", 02, 0666, 0, 0, 0); }
static long lease_sealed(void) { return fcntl(open("/template/package.json", O_RDONLY), F_SETLEASE, F_RDLCK); }

/* Ways other than open(O_WRONLY) into the sealed tree. */
static const char sealed[] = "/template/package.json";
static long map_shared(void) {
    char *mapped = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, open(sealed, O_RDONLY), 0);
    if (mapped == MAP_FAILED) return -1;
    mapped[0] = 'X';
    return 0;
}
static long protect_shared(void) {
    char *mapped = mmap(0, 4096, PROT_READ, MAP_SHARED, open(sealed, O_RDONLY), 0);
    return mprotect(mapped, 4096, PROT_READ | PROT_WRITE);
}
static long flags_sealed(void) { long flags = 0x10; return ioctl(open(sealed, O_RDONLY), 0x40086602, &flags); }
static long attribute_sealed(void) { return call(SYS_setxattr, (long)sealed, (long)"user.x", (long)"y", 1, 0, 0); }
static long allocate_sealed(void) { return call(SYS_fallocate, open(sealed, O_RDONLY), 3, 0, 16, 0, 0); }
static long reopen_sealed(void) { /* through the descriptor's link in /proc, with write access */
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", open(sealed, O_RDONLY));
    return open(link, O_RDWR);
}
static long write_own_binary(void) { return open("/proc/self/exe", O_RDWR); }
static long race_copy_on_write(void) { /* through /proc/self/mem into a private map: the file must not change */
    int file = open(sealed, O_RDONLY), memory = open("/proc/self/mem", O_RDWR);
    char *mapped = mmap(0, 4096, PROT_READ, MAP_PRIVATE, file, 0), now[2] = "";
    for (int turn = 0; turn < 2000; turn++) {
        if (pwrite(memory, "XXXX", 4, (off_t)(unsigned long)mapped) < 0) return -1;
        madvise(mapped, 4096, MADV_DONTNEED);
    }
    errno = EROFS;
    return pread(file, now, 1, 0) == 1 && now[0] == 'X' ? 0 : -1;
}
static long splice_pipe(void) { /* put a page of the sealed file into a pipe, then overwrite it (CVE-2022-0847) */
    int ends[2], file = open(sealed, O_RDONLY);
    char first[2] = "";
    loff_t offset = 1;
    if (pipe(ends) < 0) return -1;
    for (int n = 0; n < 16; n++) if (write(ends[1], page, 4096) < 0) return -1;
    for (int n = 0; n < 16; n++) if (read(ends[0], page, 4096) < 0) return -1;
    if (splice(file, &offset, ends[1], 0, 1, 0) < 0 || write(ends[1], "XXXX", 4) < 0) return -1;
    errno = EROFS;
    return pread(file, first, 1, 2) == 1 && first[0] == 'X' ? 0 : -1;
}

/* Bombs: each stops by itself at a size that the machine survives without any limit. */
static void *rest(void *unused) { pause(); return unused; }
static long threads(void) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    for (int count = 0; count < 300; count++) {
        pthread_t thread;
        int error = pthread_create(&thread, &small, rest, 0);
        if (error) { errno = error; return -1; }
    }
    return 0;
}
static long forks(void) {
    for (int count = 0; count < 200; count++) {
        pid_t pid = fork();
        if (pid < 0) return -1;
        if (pid == 0) { pause(); _exit(0); }
    }
    return 0;
}
static long touch_memory(int flags, int fd) {
    size_t size = 300UL << 20;
    char *all = mmap(0, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (all == MAP_FAILED) return -1;
    for (size_t at = 0; at < size; at += 4096) all[at] = 1;
    return 0;
}
static long map_private(void) { return touch_memory(MAP_PRIVATE | MAP_ANONYMOUS, -1); }
static long map_anonymous_shared(void) { return touch_memory(MAP_SHARED | MAP_ANONYMOUS, -1); }
static long memory_file(void) {
    int fd = memfd_create("x", 0);
    return ftruncate(fd, 300L << 20) < 0 ? -1 : touch_memory(MAP_SHARED, fd);
}
static long system_five(void) {
    long id = call(SYS_shmget, 0, 300L << 20, 01600, 0, 0, 0);
    if (id < 0) return -1;
    char *all = (char *)call(SYS_shmat, id, 0, 0, 0, 0, 0);
    if (all == (char *)-1) return -1;
    for (size_t at = 0; at < 300UL << 20; at += 4096) all[at] = 1;
    return 0;
}
static long memory_of_children(void) { /* four children of 75 MB; the parent waits for them */
    long result = 0;
    for (int n = 0; n < 4; n++) if (fork() == 0) {
        size_t size = 75UL << 20;
        char *all = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t at = 0; at < size; at += 4096) all[at] = 1;
        usleep(400000);
        _exit(0);
    }
    int status;
    while (wait(&status) > 0) if (status) result = -1;
    errno = ENOMEM;
    return result;
}
static long pipes(void) { /* kernel memory: buffers of pipes that no process reads */
    for (int count = 0; count < 480; count++) {
        int ends[2];
        if (pipe2(ends, O_NONBLOCK) < 0) return -1;
        fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
        while (write(ends[1], page, sizeof page) > 0) continue;
    }
    return 0;
}
static long inodes(void) {
    char name[64];
    for (int count = 0; count < 400000; count++) {
        snprintf(name, sizeof name, "/tmp/%d", count);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0) return -1;
        close(fd);
    }
    return 0;
}
static long sparse(void) { return ftruncate(open("/tmp/sparse", O_CREAT | O_RDWR, 0600), 1L << 40); }
static long allocate(void) { return call(SYS_fallocate, open("/tmp/big", O_CREAT | O_RDWR, 0600), 0, 0, 1L << 40, 0, 0); }
static long allocate_some(void) { return call(SYS_fallocate, open("/tmp/some", O_CREAT | O_RDWR, 0600), 0, 0, 60L << 20, 0, 0); }
static long descriptors(void) {
    for (int count = 0; count < 5000; count++) if (open("/dev/null", O_RDONLY) < 0) return -1;
    return 0;
}
static long deep(void) { /* nested folders: 20,000 levels, each an inode */
    if (chdir("/tmp") < 0) return -1;
    for (int level = 0; level < 20000; level++) if (mkdir("d", 0700) < 0 || chdir("d") < 0) return -1;
    return 0;
}
static long timers(void) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    for (int count = 0; count < 300000; count++) if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0) return -1;
    return 0;
}
static long queued_signals(void) {
    sigset_t set;
    union sigval value = {0};
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, 0);
    for (int count = 0; count < 2000000; count++) if (sigqueue(getpid(), SIGRTMIN, value) < 0) return -1;
    return 0;
}
static void again(int number) { signal(number, again); for (volatile int n = 0; n < 1000; n++) continue; }
static long handlers(void) { /* almost always in a handler, and every signal is caught */
    for (int number = 1; number < 32; number++) signal(number, again);
    struct itimerval quick = {{0, 100}, {0, 100}};
    setitimer(ITIMER_REAL, &quick, 0);
    for (int turn = 0; turn < 200000; turn++) raise(SIGUSR1 + turn % 2);
    for (time_t end = time(0) + 4; time(0) < end;) raise(SIGTERM);
    return 0;
}
static long stop_self(void) { raise(SIGSTOP); return 0; }
static long burning_children(void) { /* CPU time in children for which no parent waits */
    signal(SIGCHLD, SIG_IGN);
    for (int n = 0; n < 60; n++) {
        if (fork() == 0) { for (struct timespec now = {0}; now.tv_nsec < 100000000 && !now.tv_sec;) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); _exit(0); }
        usleep(50000);
    }
    return 0;
}

/* Daemons that would outlive their run; the host looks for the mark. */
static void leave(const char *mark) {
    prctl(PR_SET_NAME, mark);
    for (int fd = 0; fd < 64; fd++) close(fd);
    for (int number = 1; number < 32; number++) signal(number, SIG_IGN);
    sleep(20);
    _exit(0);
}
static long double_fork(void) {
    if (fork() == 0) { setsid(); if (fork() == 0) leave("stencil-daemon"); _exit(0); }
    return 0;
}
static long new_group(void) {
    if (fork() == 0) { setpgid(0, 0); prctl(PR_SET_PDEATHSIG, 0); leave("stencil-daemon"); }
    return 0;
}
static long reaper(void) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (fork() == 0) { setsid(); leave("stencil-daemon"); }
    return 0;
}
static long holds_output(void) { /* keep stdout open, so that a reader of all output would wait */
    if (fork() == 0) { setsid(); prctl(PR_SET_NAME, "stencil-daemon"); sleep(20); _exit(0); }
    return 0;
}
static long stopped_daemon(void) {
    if (fork() == 0) { setsid(); prctl(PR_SET_NAME, "stencil-daemon"); raise(SIGSTOP); sleep(20); _exit(0); }
    usleep(20000);
    return 0;
}
static long many_daemons(void) {
    for (int n = 0; n < 30; n++) if (fork() == 0) { setsid(); leave("stencil-daemon"); }
    return 0;
}

/* The concurrent execution: its files must not change until its end. */
static long neighbour(void) {
    const char *places[] = {"/workspace/src/mine", "/tmp/mine", "/dev/shm/mine"};
    char found[8] = "";
    for (int n = 0; n < 3; n++) if (write(open(places[n], O_CREAT | O_EXCL | O_WRONLY, 0600), "mine", 4) != 4) return -1;
    for (int turn = 0; turn < 8; turn++) {
        usleep(5000);
        for (volatile int count = 0; count < 100000; count++) continue;
        for (int n = 0; n < 3; n++) {
            int fd = open(places[n], O_RDONLY);
            if (read(fd, found, 8) != 4 || memcmp(found, "mine", 4)) return -1;
            close(fd);
        }
    }
    return 0;
}

#define TRY(name) {#name, name}
static const struct { const char *name; long (*attempt)(void); } table[] = {
    TRY(mount_tmpfs), TRY(mount_bind), TRY(remount_writable), TRY(mount_proc), TRY(unmount), TRY(pivot), TRY(change_root),
    TRY(open_tree), TRY(move_mount), TRY(fsopen), TRY(fsconfig), TRY(fsmount), TRY(fspick), TRY(mount_setattr),
    TRY(unshare_user), TRY(unshare_net), TRY(unshare_mount), TRY(unshare_pid), TRY(unshare_all), TRY(clone_user),
    TRY(clone_user_hidden), TRY(clone_net), TRY(clone_mount), TRY(clone_pid), TRY(clone_ipc), TRY(clone_uts), TRY(clone_cgroup),
    TRY(clone3_user), TRY(clone3_into_cgroup), TRY(setns_first), TRY(setns_file),
    TRY(clone_like_a_fork_server), TRY(first_memory), TRY(first_descriptors), TRY(first_root), TRY(first_folder),
    TRY(first_environment), TRY(first_namespaces), TRY(first_score), TRY(first_limits), TRY(own_score), TRY(any_descriptor), TRY(all_signalled),
    TRY(trace_child), TRY(trace_me), TRY(trace_first), TRY(read_memory), TRY(write_memory), TRY(compare), TRY(steal_descriptor),
    TRY(advise_other), TRY(move_pages), TRY(migrate_pages), TRY(signal_host),
    TRY(bpf_map), TRY(bpf_program), TRY(perf), TRY(userfault), TRY(uring_setup), TRY(uring_enter), TRY(uring_register),
    TRY(key_join), TRY(key_read), TRY(key_add), TRY(key_request), TRY(module_init), TRY(module_file), TRY(module_delete), TRY(kexec),
    TRY(swap_on), TRY(swap_off), TRY(restart), TRY(kernel_log), TRY(account), TRY(quota), TRY(hang_up), TRY(by_handle),
    TRY(to_handle), TRY(fanotify), TRY(secret_memory), TRY(filter_more), TRY(numa), TRY(unknown),
#ifdef __x86_64__
    TRY(io_level), TRY(io_ports), TRY(local_table), TRY(kexec_file), TRY(int80), TRY(int80_mount), TRY(sysenter_far),
    TRY(x32_getpid), TRY(x32_ptrace), TRY(x32_execve),
#endif
    TRY(set_time), TRY(set_clock), TRY(adjust), TRY(adjust_clock), TRY(host_name), TRY(domain_name),
    TRY(vsock), TRY(packet), TRY(alg), TRY(bluetooth), TRY(can), TRY(xdp), TRY(tipc), TRY(rds), TRY(kcm), TRY(pppox), TRY(llc),
    TRY(ax25), TRY(smc), TRY(qipcrtr), TRY(netlink_audit), TRY(netlink_events), TRY(netlink_filter), TRY(netlink_generic),
    TRY(netlink_crypto), TRY(raw_ip), TRY(raw_ip6), TRY(pair_vsock), TRY(new_link), TRY(raise_link),
    TRY(become_root), TRY(become_root_group), TRY(become_all), TRY(more_groups), TRY(file_root), TRY(capabilities),
    TRY(one_capability), TRY(ambient), TRY(new_privileges), TRY(keep_capabilities), TRY(change_mm), TRY(setuid_copy),
    TRY(device_null), TRY(device_memory), TRY(device_disk), TRY(no_random_addresses), TRY(execute_all),
    TRY(real_time), TRY(nicer), TRY(first_disk), TRY(raise_files), TRY(raise_size), TRY(raise_cpu), TRY(raise_core), TRY(lock_all),
    TRY(inject), TRY(take_console), TRY(paste), TRY(take_terminal),
    TRY(segment_put), TRY(segment_get), TRY(queue_put), TRY(queue_get), TRY(semaphore_put), TRY(semaphore_get), TRY(posix_put),
    TRY(posix_get), TRY(lease_sealed),
    TRY(map_shared), TRY(protect_shared), TRY(flags_sealed), TRY(attribute_sealed), TRY(allocate_sealed), TRY(reopen_sealed),
    TRY(write_own_binary), TRY(race_copy_on_write), TRY(splice_pipe),
    TRY(threads), TRY(forks), TRY(map_private), TRY(map_anonymous_shared), TRY(memory_file), TRY(system_five),
    TRY(memory_of_children), TRY(pipes), TRY(inodes), TRY(sparse), TRY(allocate), TRY(allocate_some), TRY(descriptors), TRY(deep),
    TRY(timers), TRY(queued_signals), TRY(handlers), TRY(stop_self), TRY(burning_children),
    TRY(double_fork), TRY(new_group), TRY(reaper), TRY(holds_output), TRY(stopped_daemon), TRY(many_daemons), TRY(neighbour),
};

static void job(char *name, size_t size) { /* the first of "args" in the line on descriptor 3 */
    static char line[1 << 16];
    size_t used = 0;
    if (write(3, "{\"type\":\"ready\"}\n", 17) != 17) exit(70);
    while (!memchr(line, '\n', used)) {
        ssize_t count = read(3, line + used, sizeof line - used - 1);
        if (count <= 0) exit(70);
        used += count;
    }
    char *start = strstr(line, "\"args\":[\"");
    if (!start) exit(71);
    start += 9;
    snprintf(name, size, "%.*s", (int)strcspn(start, "\""), start);
    close(3);
}

int main(int count, char **given) {
    char name[64];
    setvbuf(stdout, 0, _IONBF, 0);
    signal(SIGXFSZ, SIG_IGN); /* get an error instead of being killed */
    if (count > 1 && strcmp(given[1], "run")) snprintf(name, sizeof name, "%s", given[1]);
    else job(name, sizeof name);
    for (size_t n = 0; n < sizeof table / sizeof *table; n++) if (!strcmp(table[n].name, name)) {
        errno = 0;
        long result = table[n].attempt();
        if (result >= 0) puts("OK");
        else printf("%d\n", errno);
        return 0;
    }
    puts("ABSENT");
    return 0;
}
