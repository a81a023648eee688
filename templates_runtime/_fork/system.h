/* System calls and the parts of the kernel's interface that fork servers use.

   There are no headers of a C library: the parts are compiled without one, for any system. Numbers
   and layouts are those of the Linux UAPI headers (asm/unistd.h, linux/sched.h, linux/mount.h,
   linux/prctl.h, linux/capability.h, linux/filter.h, linux/seccomp.h, linux/if.h). */
#ifndef STENCIL_SYSTEM_H
#define STENCIL_SYSTEM_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long size_t;
#define NULL ((void *)0)

#if defined(__x86_64__)
enum {
    SYS_read = 0, SYS_write = 1, SYS_close = 3, SYS_rt_sigaction = 13, SYS_ioctl = 16,
    SYS_socket = 41, SYS_recvmsg = 47, SYS_clone = 56, SYS_exit_group = 231, SYS_wait4 = 61,
    SYS_fcntl = 72, SYS_chdir = 80, SYS_prctl = 157, SYS_capset = 126, SYS_mount = 165,
    SYS_openat = 257, SYS_mkdirat = 258, SYS_fchmodat = 268, SYS_symlinkat = 266,
    SYS_unshare = 272, SYS_dup3 = 292, SYS_getuid = 102, SYS_getgid = 104, SYS_close_range = 436,
    SYS_prlimit64 = 302, SYS_setsid = 112,
};
static inline long call6(long n, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
enum {
    SYS_read = 63, SYS_write = 64, SYS_close = 57, SYS_rt_sigaction = 134, SYS_ioctl = 29,
    SYS_socket = 198, SYS_recvmsg = 212, SYS_clone = 220, SYS_exit_group = 94, SYS_wait4 = 260,
    SYS_fcntl = 25, SYS_chdir = 49, SYS_prctl = 167, SYS_capset = 91, SYS_mount = 40,
    SYS_openat = 56, SYS_mkdirat = 34, SYS_fchmodat = 53, SYS_symlinkat = 36,
    SYS_unshare = 97, SYS_dup3 = 24, SYS_getuid = 174, SYS_getgid = 176, SYS_close_range = 436,
    SYS_prlimit64 = 261, SYS_setsid = 157,
};
static inline long call6(long n, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = n;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}
#else
#error "no system calls are known for this processor"
#endif

/* Return the result of the call, or minus an error number. */
#define CALL(n, ...) CALL_(n, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_(n, a, b, c, d, e, f, ...) \
    call6((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

enum {
    E_INTR = 4, E_CHILD = 10, E_INVAL = 22,
    AT_FDCWD_ = -100,
    O_WRONLY_ = 1, O_CLOEXEC_ = 02000000,
    F_DUPFD_CLOEXEC_ = 1030,
    SIGCHLD_ = 17,
    SIG_DFL_ = 0, SIG_IGN_ = 1,
    CLONE_NEWNS_ = 0x00020000, CLONE_NEWCGROUP_ = 0x02000000, CLONE_NEWUTS_ = 0x04000000,
    CLONE_NEWIPC_ = 0x08000000, CLONE_NEWUSER_ = 0x10000000, CLONE_NEWPID_ = 0x20000000,
    CLONE_NEWNET_ = 0x40000000,
    MS_RDONLY_ = 1, MS_NOSUID_ = 2, MS_NODEV_ = 4, MS_NOEXEC_ = 8, MS_REMOUNT_ = 32,
    MS_BIND_ = 4096, MS_REC_ = 16384, MS_PRIVATE_ = 1 << 18,
    PR_SET_DUMPABLE_ = 4, PR_SET_SECCOMP_ = 22, PR_CAPBSET_DROP_ = 24, PR_SET_NO_NEW_PRIVS_ = 38,
    PR_CAP_AMBIENT_ = 47, PR_CAP_AMBIENT_CLEAR_ALL_ = 4, SECCOMP_MODE_FILTER_ = 2,
    AF_INET_ = 2, SOCK_DGRAM_ = 2, SOCK_CLOEXEC_ = 02000000,
    SIOCSIFFLAGS_ = 0x8914, IFF_UP_ = 1, IFF_RUNNING_ = 0x40,
    SOL_SOCKET_ = 1, SCM_RIGHTS_ = 1, MSG_CMSG_CLOEXEC_ = 0x40000000, MSG_CTRUNC_ = 8,
    PROT_READ_WRITE_ = 3, MAP_PRIVATE_ANONYMOUS_ = 0x22,
};

struct iovec_ { void *base; size_t length; };
struct msghdr_ {
    void *name; u32 name_length; struct iovec_ *parts; size_t count;
    void *control; size_t control_length; int flags;
};
struct cmsghdr_ { size_t length; int level; int type; };
struct sock_fprog_ { u16 length; void *filter; };
struct cap_header_ { u32 version; int pid; };
struct cap_data_ { u32 effective, permitted, inheritable; };
struct ifreq_ { char name[16]; short flags; char rest[22]; };
enum { CAPABILITY_VERSION_3 = 0x20080522 };

#endif
