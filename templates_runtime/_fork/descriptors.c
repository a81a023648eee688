/* Replace the descriptors of a copied process: a copy shares the open files of its server.

   The server notes once what it has. Each copy makes the same again: epolls with the same
   registrations, event counters and pipes with the same content. Anything else is refused in the
   server. The runtime's standard streams and its channel are those of the job already. */
#include "calls.h"

enum { MOST_DESCRIPTORS = 200, MOST_WATCHES = 64, PIPE_BYTES = 256, O_ACCESS = 3 };
enum { EPOLL, COUNTER, PIPE, NOTHING, GIVEN };

struct watch { int target; u32 events; u64 data; };
struct descriptor {
    int number, kind, flags;
    int other; /* of a pipe that is read: the number of the end that is written */
    u64 identity, count;
    u8 content[PIPE_BYTES];
    int first_watch, watches;
};
struct epoll_event_ { u32 events; u64 data; }
#if defined(__x86_64__)
__attribute__((packed))
#endif
;

static struct descriptor descriptors[MOST_DESCRIPTORS];
static struct watch watched[MOST_WATCHES];
static int descriptor_count, watch_count, kept_channel, kept_control;

/* Return the kind of a descriptor by its link in /proc, or minus an error number. */
static int kind_of(const char *target)
{
    if (begins_with(target, "pipe:[")) return PIPE;
    if (contains(target, "[eventpoll]")) return EPOLL;
    if (contains(target, "[eventfd]")) return COUNTER;
    if (begins_with(target, "/dev/null")) return NOTHING;
    return -E_INVAL;
}

/* Read the flags, the count and the registrations of a descriptor (fdinfo in proc(5)). */
static int note_details(struct descriptor *mine)
{
    struct reader reader;
    char path[64], line[256];
    make_path(path, "/proc/self/fdinfo/", (u64)mine->number, "");
    if (open_reader(&reader, path) < 0) return -E_INVAL;
    mine->first_watch = watch_count;
    while (next_line(&reader, line, sizeof line)) {
        const char *at = line;
        if (begins_with(line, "flags:")) at += 6, mine->flags = (int)number_at(&at, 8);
        if (begins_with(line, "eventfd-count:")) at += 14, mine->count = number_at(&at, 16);
        if (begins_with(line, "eventfd-semaphore: 1")) mine->kind = -E_INVAL;
        if (!begins_with(line, "tfd:")) continue;
        if (watch_count == MOST_WATCHES) return -E_INVAL;
        struct watch *watch = &watched[watch_count++];
        at += 4, watch->target = (int)number_at(&at, 10);
        while (*at == ' ') at++;
        at += 7, watch->events = (u32)number_at(&at, 16);
        while (*at == ' ') at++;
        at += 5, watch->data = number_at(&at, 16);
        mine->watches++;
    }
    close_reader(&reader);
    return mine->kind < 0 ? mine->kind : 0;
}

/* Keep what is in a pipe: libuv has a token in one. */
static int note_content(struct descriptor *mine)
{
    int size = 0;
    if (CALL(SYS_ioctl, mine->number, FIONREAD_, &size) < 0 || size > PIPE_BYTES) return -E_INVAL;
    mine->count = (u64)size;
    return size && CALL(SYS_read, mine->number, mine->content, size) != size ? -E_INVAL : 0;
}

static int note_descriptor(int number)
{
    char path[64], target[256];
    if (number == kept_control && number != kept_channel) return 0;
    if (descriptor_count == MOST_DESCRIPTORS) return -E_INVAL;
    struct descriptor *mine = &descriptors[descriptor_count++];
    mine->number = number;
    make_path(path, "/proc/self/fd/", (u64)number, "");
    long length = CALL(SYS_readlinkat, AT_FDCWD_, path, target, sizeof target - 1);
    if (length < 0) return -E_INVAL;
    target[length] = 0;
    mine->kind = number <= 2 || number == kept_channel ? GIVEN : kind_of(target);
    if (mine->kind < 0 || note_details(mine) < 0) return -E_INVAL;
    mine->other = -1;
    if (mine->kind != PIPE) return 0;
    const char *at = target + 6;
    mine->identity = number_at(&at, 10);
    return 0;
}

/* Find the read end that belongs to a write end. */
static int join_pipe(const struct descriptor *end)
{
    struct descriptor *start = NULL;
    for (int i = 0; i < descriptor_count; i++) {
        struct descriptor *each = &descriptors[i];
        if (each->kind != PIPE || each->flags & O_WRONLY_ || each->identity != end->identity) continue;
        if (start || each->other >= 0) return -E_INVAL; /* a duplicate */
        start = each;
    }
    if (!start) return -E_INVAL; /* another process has it */
    start->other = end->number;
    return 0;
}

/* Note all descriptors of the server. Return 0, or minus an error number if a copy could not have them. */
static int note_descriptors(int control, int channel)
{
    kept_control = control;
    kept_channel = channel;
    if (for_numbers("/proc/self/fd", note_descriptor) < 0) return -E_INVAL;
    for (int i = 0; i < descriptor_count; i++) {
        struct descriptor *mine = &descriptors[i];
        if (mine->kind == PIPE && mine->flags & O_WRONLY_ && join_pipe(mine)) return -E_INVAL;
    }
    for (int i = 0; i < descriptor_count; i++) {
        struct descriptor *mine = &descriptors[i];
        if (mine->kind != PIPE || mine->flags & O_WRONLY_) continue;
        if (mine->other < 0 || note_content(mine)) return -E_INVAL;
    }
    return 0;
}

static void put_at(int made, int number, int flags)
{
    check(made, "descriptor");
    check(CALL(SYS_dup3, made, number, flags & O_CLOEXEC_), "descriptor");
    CALL(SYS_close, made);
    check(CALL(SYS_fcntl, number, F_SETFL_, flags & O_NONBLOCK_), "descriptor");
}

static void make_pipe(const struct descriptor *mine)
{
    int ends[2], flags = 0;
    for (int i = 0; i < descriptor_count; i++) if (descriptors[i].number == mine->other) flags = descriptors[i].flags;
    check(CALL(SYS_pipe2, ends, O_CLOEXEC_), "pipe");
    put_at(ends[0], mine->number, mine->flags);
    put_at(ends[1], mine->other, flags);
    if (mine->count) check(CALL(SYS_write, mine->other, mine->content, mine->count), "pipe");
}

static int open_nothing(int flags)
{
    return (int)CALL(SYS_openat, AT_FDCWD_, "/dev/null", (flags & O_ACCESS) | O_CLOEXEC_, 0);
}

static void make_anew(const struct descriptor *mine)
{
    if (mine->kind == EPOLL) put_at((int)CALL(SYS_epoll_create1, EPOLL_CLOEXEC_), mine->number, mine->flags);
    if (mine->kind == COUNTER) put_at((int)CALL(SYS_eventfd2, mine->count, O_CLOEXEC_), mine->number, mine->flags);
    if (mine->kind == NOTHING) put_at(open_nothing(mine->flags), mine->number, mine->flags);
    if (mine->kind == PIPE && !(mine->flags & O_WRONLY_)) make_pipe(mine);
    if (mine->kind == GIVEN && mine->flags & O_NONBLOCK_) CALL(SYS_fcntl, mine->number, F_SETFL_, O_NONBLOCK_);
}

/* In a copy: replace all of them. Close everything else but `status`. */
static void replace_descriptors(int status)
{
    if (kept_control != kept_channel) CALL(SYS_close, kept_control);
    for (int i = 0; i < descriptor_count; i++) make_anew(&descriptors[i]);
    for (int i = 0; i < descriptor_count; i++) {
        for (int j = 0; j < descriptors[i].watches; j++) {
            struct watch *watch = &watched[descriptors[i].first_watch + j];
            struct epoll_event_ event = {watch->events, watch->data};
            check(CALL(SYS_epoll_ctl, descriptors[i].number, EPOLL_CTL_ADD_, watch->target, &event), "epoll");
        }
    }
    int last = 0;
    for (int i = 0; i < descriptor_count; i++) if (descriptors[i].number > last) last = descriptors[i].number;
    if (last + 1 < status) check(CALL(SYS_close_range, last + 1, status - 1, 0), "descriptors");
    check(CALL(SYS_close_range, status + 1, ~0U, 0), "descriptors");
}
