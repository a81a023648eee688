/* Let memory that the runtime keeps from forks be copied: V8 advises MADV_DONTFORK for its heap. */
#include "calls.h"

enum { MOST_RANGES = 2048 };
static struct range { u64 start, end; } kept_back[MOST_RANGES];
static int range_count;

static int advise(int advice)
{
    for (int i = 0; i < range_count; i++) {
        const struct range *range = &kept_back[i];
        if (CALL(SYS_madvise, range->start, range->end - range->start, advice) < 0) return -E_INVAL;
    }
    return 0;
}

/* Find all ranges with that advice, and withdraw it. Return 0, or minus an error number. */
static int allow_copies(void)
{
    struct reader reader;
    char line[512];
    u64 start = 0, end = 0;
    if (open_reader(&reader, "/proc/self/smaps") < 0) return -E_INVAL;
    while (next_line(&reader, line, sizeof line)) {
        const char *at = line;
        if ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f')) {
            start = number_at(&at, 16);
            at++;
            end = number_at(&at, 16);
        }
        if (!begins_with(line, "VmFlags:") || !contains(line, " dc")) continue;
        if (range_count && kept_back[range_count - 1].end == start) {
            kept_back[range_count - 1].end = end;
            continue;
        }
        if (range_count == MOST_RANGES) return -E_INVAL;
        kept_back[range_count++] = (struct range){start, end};
    }
    close_reader(&reader);
    return advise(MADV_DOFORK_);
}

/* In a copy: give the advice again, so that its own child processes start quickly. */
static void forbid_copies(void)
{
    check(advise(MADV_DONTFORK_), "memory");
}
