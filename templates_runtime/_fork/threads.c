/* Take the threads of a process along when it forks (decision 0039). The kernel copies only the
   thread that forks.

   Before the first fork each other thread gets a signal. In its handler it notes where it is, and
   waits for ever: nothing in the server but its main thread runs again. Each copy of the process
   starts a new thread on the copied stack of each of them, in the handler. The new thread returns
   from the handler, and the kernel loads all registers that it stored there when the signal came.
   A call that the signal interrupted goes on or begins again, as after any signal.

   The signal is SIGSETXID of glibc, because no thread can block it: glibc removes it from each mask. */
#include "calls.h"

enum { MOST_THREADS = 256, PARKING_SIGNAL = 33, WAITS = 5000 };
enum { RUNNING, PARKED, RESUMED, GONE };

struct thread {
    u64 registers[24]; /* of `save_registers` */
    u64 pointer;       /* the thread's own data of the C library */
    int *number;       /* where glibc keeps the thread's number */
    void *robust;
    size_t robust_size;
    int tid, state;
    char name[16];
};

static struct thread threads[MOST_THREADS];
static int thread_count, never;
static int *main_number;
static void *main_robust;
static size_t main_robust_size;
static struct kernel_action { void *handler; u64 flags; void *restorer; u64 mask; } action_before;

extern const long __rseq_offset __attribute__((weak));
extern const u32 __rseq_size __attribute__((weak));
enum { RSEQ_FLAGS = 0, RSEQ_BYTES = 32 };

int save_registers(u64 *registers) __attribute__((returns_twice, visibility("hidden")));
/* Start a thread that returns from `save_registers` a second time, with 1. Return its number. */
long start_thread(long flags, u64 *registers, int *number, u64 pointer) __attribute__((visibility("hidden")));
void return_from_signal(void) __attribute__((visibility("hidden")));

#if defined(__x86_64__)
#define RSEQ_SIGNATURE 0x53053053
static inline u64 own_pointer(void)
{
    u64 pointer;
    __asm__("mov %%fs:0, %0" : "=r"(pointer));
    return pointer;
}
__asm__(
    ".text\n"
    ".hidden save_registers\n.globl save_registers\n.type save_registers, @function\n"
    "save_registers:\n"
    "  movq %rbx, 0(%rdi)\n  movq %rbp, 8(%rdi)\n  movq %r12, 16(%rdi)\n  movq %r13, 24(%rdi)\n"
    "  movq %r14, 32(%rdi)\n  movq %r15, 40(%rdi)\n"
    "  leaq 8(%rsp), %rax\n  movq %rax, 48(%rdi)\n  movq (%rsp), %rax\n  movq %rax, 56(%rdi)\n"
    "  xorl %eax, %eax\n  ret\n"
    ".hidden start_thread\n.globl start_thread\n.type start_thread, @function\n"
    "start_thread:\n"
    "  pushq %rbx\n  movq %rsi, %rbx\n  movq %rcx, %r8\n  movq %rdx, %r10\n  movq 48(%rbx), %rsi\n"
    "  movl $56, %eax\n  syscall\n  testq %rax, %rax\n  jz 1f\n  popq %rbx\n  ret\n"
    "1: movq 8(%rbx), %rbp\n  movq 16(%rbx), %r12\n  movq 24(%rbx), %r13\n  movq 32(%rbx), %r14\n"
    "  movq 40(%rbx), %r15\n  movq 48(%rbx), %rsp\n  movq 56(%rbx), %rdx\n  movq 0(%rbx), %rbx\n"
    "  movl $1, %eax\n  jmp *%rdx\n"
    ".hidden return_from_signal\n.globl return_from_signal\n.type return_from_signal, @function\n"
    "return_from_signal:\n"
    "  movl $15, %eax\n  syscall\n");
static long clone_process(long flags, int *number)
{
    return CALL(SYS_clone, flags, 0, 0, number, 0);
}
#elif defined(__aarch64__)
#define RSEQ_SIGNATURE 0xd428bc00
static inline u64 own_pointer(void)
{
    u64 pointer;
    __asm__("mrs %0, tpidr_el0" : "=r"(pointer));
    return pointer;
}
__asm__(
    ".text\n"
    ".hidden save_registers\n.globl save_registers\n.type save_registers, %function\n"
    "save_registers:\n"
    "  stp x19, x20, [x0, 0]\n  stp x21, x22, [x0, 16]\n  stp x23, x24, [x0, 32]\n  stp x25, x26, [x0, 48]\n"
    "  stp x27, x28, [x0, 64]\n  stp x29, x30, [x0, 80]\n  mov x1, sp\n  str x1, [x0, 96]\n"
    "  stp d8, d9, [x0, 104]\n  stp d10, d11, [x0, 120]\n  stp d12, d13, [x0, 136]\n  stp d14, d15, [x0, 152]\n"
    "  mov x0, 0\n  ret\n"
    ".hidden start_thread\n.globl start_thread\n.type start_thread, %function\n"
    "start_thread:\n"
    "  mov x9, x1\n  ldr x1, [x9, 96]\n  mov x4, x2\n"
    "  mov x8, 220\n  svc 0\n  cbz x0, 1f\n  ret\n"
    "1: ldp x19, x20, [x9, 0]\n  ldp x21, x22, [x9, 16]\n  ldp x23, x24, [x9, 32]\n  ldp x25, x26, [x9, 48]\n"
    "  ldp x27, x28, [x9, 64]\n  ldp x29, x30, [x9, 80]\n"
    "  ldp d8, d9, [x9, 104]\n  ldp d10, d11, [x9, 120]\n  ldp d12, d13, [x9, 136]\n  ldp d14, d15, [x9, 152]\n"
    "  mov x0, 1\n  ret\n"
    ".hidden return_from_signal\n.globl return_from_signal\n.type return_from_signal, %function\n"
    "return_from_signal:\n"
    "  mov x8, 139\n  svc 0\n");
static long clone_process(long flags, int *number)
{
    return CALL(SYS_clone, flags, 0, 0, 0, number);
}
#endif

static void wait_while(int *word, int value)
{
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) CALL(SYS_futex, word, FUTEX_WAIT_PRIVATE_, value, NULL);
}

static void tell(int *word, int value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    CALL(SYS_futex, word, FUTEX_WAKE_PRIVATE_, 1 << 30);
}

/* In a copy, in the new thread: restore what the kernel keeps for each thread. */
static void take_over(struct thread *mine)
{
    CALL(SYS_set_robust_list, mine->robust, mine->robust_size);
    CALL(SYS_prctl, PR_SET_NAME_, mine->name, 0, 0, 0);
    if (&__rseq_size && __rseq_size) /* glibc 2.35 and later registers this area for each thread */
        CALL(SYS_rseq, mine->pointer + (u64)__rseq_offset, RSEQ_BYTES, RSEQ_FLAGS, RSEQ_SIGNATURE);
    tell(&mine->state, RESUMED);
}

static struct thread *find_thread(int tid)
{
    for (int i = 0; i < thread_count; i++) if (threads[i].tid == tid) return &threads[i];
    return NULL;
}

static void park_here(struct thread *mine)
{
    mine->pointer = own_pointer();
    CALL(SYS_prctl, PR_GET_TID_ADDRESS_, &mine->number, 0, 0, 0);
    CALL(SYS_get_robust_list, 0, &mine->robust, &mine->robust_size);
    CALL(SYS_prctl, PR_GET_NAME_, mine->name, 0, 0, 0);
    if (save_registers(mine->registers)) {
        take_over(mine);
        return;
    }
    tell(&mine->state, PARKED);
    for (;;) wait_while(&never, 0);
}

static void park(int signal)
{
    struct thread *mine = find_thread((int)CALL(SYS_gettid, 0));
    (void)signal;
    if (mine && mine->state == RUNNING) park_here(mine);
}

static int note_thread(int tid)
{
    if (tid == (int)CALL(SYS_gettid, 0) || find_thread(tid)) return 0;
    if (thread_count == MOST_THREADS) return -E_INVAL;
    threads[thread_count].tid = tid;
    threads[thread_count++].state = RUNNING;
    return 0;
}

/* Send a signal to a thread, 0 to only look for it. Return 0, or minus an error number. */
static int signal_thread(const struct thread *thread, int signal)
{
    return (int)CALL(SYS_tgkill, CALL(SYS_getpid, 0), thread->tid, signal);
}

static int park_one(struct thread *thread)
{
    static const u64 millisecond[2] = {0, 1000000};
    int error = signal_thread(thread, PARKING_SIGNAL);
    for (int i = 0; i < WAITS && !error; i++) {
        if (__atomic_load_n(&thread->state, __ATOMIC_ACQUIRE) == PARKED) return thread->number ? 0 : -E_INVAL;
        CALL(SYS_futex, &thread->state, FUTEX_WAIT_PRIVATE_, RUNNING, millisecond);
        error = signal_thread(thread, 0);
    }
    if (error != -E_SRCH) return -E_INVAL;
    thread->state = GONE; /* it has ended by itself */
    return 0;
}

/* Park all other threads for good. Return 0, or minus an error number. */
static int park_threads(void)
{
    struct kernel_action action = {(void *)park, SA_RESTART_ | SA_RESTORER_, (void *)return_from_signal, ~0ULL};
    int known, error = 0;
    CALL(SYS_prctl, PR_GET_TID_ADDRESS_, &main_number, 0, 0, 0);
    CALL(SYS_get_robust_list, 0, &main_robust, &main_robust_size);
    if (!main_number || *main_number != (int)CALL(SYS_gettid, 0)) return -E_INVAL;
    CALL(SYS_rt_sigaction, PARKING_SIGNAL, &action, &action_before, 8);
    do { /* a thread that was not parked yet may have started another one */
        known = thread_count;
        error = for_numbers("/proc/self/task", note_thread);
        for (int i = known; i < thread_count && !error; i++) error = park_one(&threads[i]);
    } while (!error && known < thread_count);
    return error;
}

/* In a copy: make the threads run again. */
static void resume_threads(void)
{
    long flags = CLONE_VM_ | CLONE_FS_ | CLONE_FILES_ | CLONE_SIGHAND_ | CLONE_THREAD_ | CLONE_SYSVSEM_;
    flags |= CLONE_SETTLS_ | CLONE_PARENT_SETTID_ | CLONE_CHILD_CLEARTID_; /* as glibc starts threads */
    CALL(SYS_set_robust_list, main_robust, main_robust_size);
    for (int i = 0; i < thread_count; i++) {
        struct thread *thread = &threads[i];
        if (thread->state == GONE) continue;
        check(start_thread(flags, thread->registers, thread->number, thread->pointer), "thread");
        wait_while(&thread->state, PARKED);
    }
    CALL(SYS_rt_sigaction, PARKING_SIGNAL, &action_before, NULL, 8);
}
