/* Read the text files of /proc, without a C library. */
#include "calls.h"

struct reader { int file; int at, end, over; char buffer[4096]; };

static int open_reader(struct reader *reader, const char *path)
{
    reader->file = (int)CALL(SYS_openat, AT_FDCWD_, path, O_RDONLY_ | O_CLOEXEC_, 0);
    reader->at = reader->end = reader->over = 0;
    return reader->file < 0 ? reader->file : 0;
}

static void close_reader(struct reader *reader)
{
    CALL(SYS_close, reader->file);
}

/* Read one line, cut at `size`, without its newline. Return whether there was one. */
static int next_line(struct reader *reader, char *line, int size)
{
    int length = 0;
    for (;;) {
        if (reader->at == reader->end) {
            long got = CALL(SYS_read, reader->file, reader->buffer, sizeof reader->buffer);
            if (got == -E_INTR) continue;
            if (got <= 0) {
                line[length] = 0;
                return length > 0;
            }
            reader->at = 0;
            reader->end = (int)got;
        }
        char c = reader->buffer[reader->at++];
        if (c == '\n') {
            line[length] = 0;
            return 1;
        }
        if (length < size - 1) line[length++] = c;
    }
}

static int begins_with(const char *text, const char *start)
{
    while (*start) if (*text++ != *start++) return 0;
    return 1;
}

static int contains(const char *text, const char *part)
{
    for (; *text; text++) if (begins_with(text, part)) return 1;
    return 0;
}

/* Read a number in this base behind any blanks, and move `*text` behind it. */
static u64 number_at(const char **text, int base)
{
    u64 number = 0;
    while (**text == ' ' || **text == '\t') ++*text;
    for (;; ++*text) {
        char c = **text;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
        if (digit >= base) return number;
        number = number * (u64)base + (u64)digit;
    }
}

/* Write `start`, a decimal number and `end` into `path`. */
static void make_path(char *path, const char *start, u64 number, const char *end)
{
    int length = 0;
    while (*start) path[length++] = *start++;
    length = decimal(path, length, number);
    while (*end) path[length++] = *end++;
    path[length] = 0;
}

/* Call `each` for every number that names an entry of a folder of /proc; stop when it returns below zero. */
static int for_numbers(const char *folder, int (*each)(int))
{
    char buffer[2048];
    long result = 0, directory = CALL(SYS_openat, AT_FDCWD_, folder, O_RDONLY_ | O_CLOEXEC_, 0);
    if (directory < 0) return (int)directory;
    for (;;) {
        long got = CALL(SYS_getdents64, directory, buffer, sizeof buffer);
        if (got <= 0 || result < 0) break;
        for (long at = 0; at < got && result >= 0; at += *(u16 *)(buffer + at + 16)) {
            const char *name = buffer + at + 19;
            if (*name < '0' || *name > '9') continue;
            int number = (int)number_at(&name, 10);
            if (number != directory) result = each(number);
        }
    }
    CALL(SYS_close, directory);
    return (int)result;
}
