/* The system calls that copying a whole process needs, beside those of system.h. Numbers and
   layouts are those of the Linux UAPI headers (asm/unistd.h, linux/futex.h, linux/eventpoll.h). */
#ifndef STENCIL_CALLS_H
#define STENCIL_CALLS_H
#include "system.h"

#if defined(__x86_64__)
enum {
    SYS_pread64 = 17, SYS_madvise = 28, SYS_getpid = 39, SYS_gettid = 186, SYS_futex = 202,
    SYS_getdents64 = 217, SYS_epoll_ctl = 233, SYS_tgkill = 234, SYS_readlinkat = 267,
    SYS_set_robust_list = 273, SYS_get_robust_list = 274, SYS_eventfd2 = 290,
    SYS_epoll_create1 = 291, SYS_pipe2 = 293, SYS_rseq = 334,
};
#elif defined(__aarch64__)
enum {
    SYS_pread64 = 67, SYS_madvise = 233, SYS_getpid = 172, SYS_gettid = 178, SYS_futex = 98,
    SYS_getdents64 = 61, SYS_epoll_ctl = 21, SYS_tgkill = 131, SYS_readlinkat = 78,
    SYS_set_robust_list = 99, SYS_get_robust_list = 100, SYS_eventfd2 = 19,
    SYS_epoll_create1 = 20, SYS_pipe2 = 59, SYS_rseq = 293,
};
#endif

enum {
    E_SRCH = 3,
    O_RDONLY_ = 0, O_NONBLOCK_ = 04000,
    F_SETFL_ = 4, FIONREAD_ = 0x541B,
    MADV_DONTFORK_ = 10, MADV_DOFORK_ = 11,
    FUTEX_WAIT_PRIVATE_ = 128, FUTEX_WAKE_PRIVATE_ = 129,
    EPOLL_CTL_ADD_ = 1, EPOLL_CLOEXEC_ = 02000000,
    PR_SET_NAME_ = 15, PR_GET_NAME_ = 16, PR_GET_TID_ADDRESS_ = 40,
    CLONE_VM_ = 0x100, CLONE_FS_ = 0x200, CLONE_FILES_ = 0x400, CLONE_SIGHAND_ = 0x800,
    CLONE_THREAD_ = 0x10000, CLONE_SYSVSEM_ = 0x40000, CLONE_SETTLS_ = 0x80000,
    CLONE_PARENT_SETTID_ = 0x100000, CLONE_CHILD_CLEARTID_ = 0x200000, CLONE_CHILD_SETTID_ = 0x1000000,
    SA_RESTORER_ = 0x04000000, SA_RESTART_ = 0x10000000,
};

#endif
