"""The system-call filter: an allow-list, each group with its reason. All other calls give EPERM.

Node, Python, deno, bun and programs made by Go and zig need no other call (tried with every other
call logged, tests/sandbox/test_foreign_runtimes.py). Only Node asks for a refused call: io_uring,
which bypasses filters of calls and of networks; it then uses epoll.

Built once in a process by libseccomp (through pyseccomp) and handed to bubblewrap as BPF. A
process of another ABI of the same machine (i386 by int 0x80, x32) is killed at its first call,
since its numbers mean other calls.
"""

import errno
import os
from functools import cache
from typing import Any

from sandbox.errors import IsolationUnavailableError

# Calls on a program's own files and descriptors. The mounts decide which files it can reach.
FILES = """
    access faccessat faccessat2 chdir fchdir getcwd chmod fchmod fchmodat chown fchown fchownat
    lchown close close_range copy_file_range creat dup dup2 dup3 fadvise64 fallocate
    fdatasync flock fsync syncfs sync_file_range ftruncate truncate getdents getdents64 ioctl
    link linkat lseek mkdir mkdirat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev
    pwritev2 read readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile
    splice tee stat fstat lstat newfstatat statx statfs fstatfs symlink symlinkat umask unlink
    unlinkat utime utimes utimensat futimesat write writev getxattr lgetxattr fgetxattr
    listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr removexattr lremovexattr
    fremovexattr inotify_init inotify_init1 inotify_add_watch inotify_rm_watch
    """

# Memory of its own, with the protection keys and advice that V8 uses. Not: userfaultfd
# (exploits), process_vm_* and process_madvise (others' memory), memfd_secret, NUMA policy.
MEMORY = """
    brk madvise membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap msync
    munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
    """

# Processes and threads below it: the pid namespace and the pids limit bound them. clone has a
# rule of its own; ptrace, kcmp and pidfd_getfd, which look into others, are left out.
PROCESSES = """
    arch_prctl capget capset execve execveat exit exit_group fork vfork futex get_robust_list
    set_robust_list set_tid_address get_thread_area set_thread_area getcpu getegid geteuid getgid
    getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage
    getsid gettid getuid ioprio_get kill pidfd_open pidfd_send_signal prctl prlimit64
    rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield setpgid setpriority setrlimit setsid sysinfo
    tgkill times tkill uname wait4 waitid futex_waitv
    """

# Changing identity is harmless without capabilities, and setpriv needs it to drop them: the
# filter is in force before it runs when we are started as root.
IDENTITY = """
    setfsgid setfsuid setgid setgroups setregid setresgid setresuid setreuid setuid
    """

SIGNALS = """
    alarm pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sigaltstack signalfd signalfd4
    """

# Reading clocks and sleeping. Not: setting a clock, adjtimex.
TIME = """
    clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time
    timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
    timerfd_gettime timerfd_settime
    """

WAITING = """
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
    epoll_wait_old eventfd eventfd2 pipe pipe2 poll ppoll pselect6 select
    """

# Tests open servers on the loopback of their own network namespace. socket() and socketpair()
# have rules of their own; the other calls on a socket are safe.
SOCKETS = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg
    recvmsg sendmmsg sendmsg sendto setsockopt shutdown
    """

# System V and POSIX queues, semaphores and segments: private to the ipc namespace.
IPC = """
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv
    msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget
    """

RANDOM = "getrandom"

ALLOWED = (FILES, MEMORY, PROCESSES, IDENTITY, SIGNALS, TIME, WAITING, SOCKETS, IPC, RANDOM)

# Newer calls that C libraries try first: only ENOSYS makes them fall back to allowed calls.
# clone3 passes its flags in memory, where a filter cannot see them. By number, since older
# libseccomp does not know their names; numbers from 424 on are the same on all machines.
ABSENT = {"clone3": 435, "fchmodat2": 452, "statmount": 457, "listmount": 458}

# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (NEWTIME's bit is not one of
# clone's): a new namespace gives capabilities over kernel code that expects a trusted caller.
NAMESPACE_FLAGS = (
    0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
)

# fcntl's commands as (mask, value): all but F_SETLEASE and F_NOTIFY (1024, 1026). A lease on a
# sealed file delays each process that opens it by 45 seconds. If the service's uid owns the file,
# one execution could delay others.
FCNTL = (
    (0xFFFFFFC0, 0),
    (0xFFFFFFFF, 1025),
    (0xFFFFFFFF, 1027),
    (0xFFFFFFFC, 1028),
    (0xFFFFFFF8, 1032),
)

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
NETLINK_ROUTE = 0

_FILE_TYPE = 0o170000
_FILE_TYPES = (0, 0o100000, 0o010000, 0o140000)  # plain, plain, FIFO, socket; never a device
_PERSONALITIES = (0, 0xFFFFFFFF)  # the default, and a query; not ADDR_NO_RANDOMIZE and similar
_ACT_BADARCH, _OPTIMIZE, _BINARY_TREE = 2, 8, 2


# A command that may start no process may use clone only to start a thread (CLONE_THREAD).
NEW_THREAD = 0x00010000
_NEW_PROCESSES = frozenset({"fork", "vfork"})


@cache
def program(*, alone: bool = False) -> bytes:
    """Return the filter as BPF for `bwrap --seccomp`. IsolationUnavailableError without libseccomp.

    `alone`: the command can start threads but no process.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError) as error:
        raise IsolationUnavailableError(f"libseccomp cannot be used: {error}") from error
    rules = _rules(pyseccomp, alone=alone)
    _optimize(rules)
    return _export(rules)


@cache
def no_execution() -> bytes:
    """Return a second filter, which a process puts on itself: it can execute no program (EPERM).

    IsolationUnavailableError without libseccomp.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError) as error:
        raise IsolationUnavailableError(f"libseccomp cannot be used: {error}") from error
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in ("execve", "execveat"):
        rules.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    return _export(rules)


# The flags of clone with which a fork server makes a sandbox (`_fork/isolate.c`): SIGCHLD, and all
# namespaces but that of control groups, which comes later.
FORKED = 17 | (NAMESPACE_FLAGS & ~0x02000000)


@cache
def server_program() -> bytes:
    """Return the filter of a fork server. IsolationUnavailableError without libseccomp.

    It allows in addition what the first process of a forked sandbox does before its own filter is
    in force: make namespaces, and mount in them.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError) as error:
        raise IsolationUnavailableError(f"libseccomp cannot be used: {error}") from error
    rules = _rules(pyseccomp, alone=False)
    rules.add_rule(pyseccomp.ALLOW, "clone", pyseccomp.Arg(0, pyseccomp.EQ, FORKED))
    rules.add_rule(pyseccomp.ALLOW, "unshare", pyseccomp.Arg(0, pyseccomp.EQ, 0x02000000))
    rules.add_rule(pyseccomp.ALLOW, "mount")
    _optimize(rules)
    return _export(rules)


def _rules(pyseccomp: Any, *, alone: bool) -> Any:
    """Return the rules that every sandbox has."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    rules.set_attr(_ACT_BADARCH, pyseccomp.KILL_PROCESS)
    _allow_named(pyseccomp, rules, _NEW_PROCESSES if alone else frozenset())
    _allow_by_argument(pyseccomp, rules, alone=alone)
    for number in ABSENT.values():
        rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), number)
    return rules


def _allow_named(pyseccomp: Any, rules: Any, without: frozenset[str]) -> None:
    architecture = pyseccomp.system_arch()
    for group in ALLOWED:
        for name in set(group.split()) - without:
            # A name that this machine or this libseccomp does not know resolves to below zero.
            if pyseccomp.resolve_syscall(architecture, name) >= 0:
                rules.add_rule(pyseccomp.ALLOW, name)


def _allow_by_argument(pyseccomp: Any, rules: Any, *, alone: bool) -> None:
    allow, argument = pyseccomp.ALLOW, pyseccomp.Arg
    equal, masked = pyseccomp.EQ, pyseccomp.MASKED_EQ
    thread = NEW_THREAD if alone else 0
    rules.add_rule(allow, "clone", argument(0, masked, NAMESPACE_FLAGS | thread, thread))
    for mask, value in FCNTL:
        rules.add_rule(allow, "fcntl", argument(1, masked, mask, value))
    for domain in (AF_UNIX, AF_INET, AF_INET6):
        rules.add_rule(allow, "socket", argument(0, equal, domain))
    netlink = (argument(0, equal, AF_NETLINK), argument(2, equal, NETLINK_ROUTE))
    rules.add_rule(allow, "socket", *netlink)
    rules.add_rule(allow, "socketpair", argument(0, equal, AF_UNIX))
    for persona in _PERSONALITIES:
        rules.add_rule(allow, "personality", argument(0, equal, persona))
    for kind in _FILE_TYPES:
        rules.add_rule(allow, "mknod", argument(1, masked, _FILE_TYPE, kind))
        rules.add_rule(allow, "mknodat", argument(2, masked, _FILE_TYPE, kind))


def _optimize(rules: Any) -> None:
    try:
        rules.set_attr(_OPTIMIZE, _BINARY_TREE)
    except (OSError, ValueError):  # libseccomp before 2.5: the filter is the same, only slower
        return


def _export(rules: Any) -> bytes:
    descriptor = os.memfd_create("seccomp")
    with os.fdopen(descriptor, "r+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
