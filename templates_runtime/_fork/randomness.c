/* Give each copy random numbers of its own.

   V8 draws the seeds of contexts, and identity hashes, from one generator of the isolate, to which no
   interface leads. It is found by its behaviour: while an identity hash is drawn, the words of
   exactly one object to which the isolate points change as the algorithm says (`XorShift128` in
   V8's src/base/utils/random-number-generator.h). */
#include "calls.h"

enum { ISOLATE_BYTES = 128 * 1024, MOST_CANDIDATES = 16384, MOST_STEPS = 64 };
void *isolate_current(void) __asm__("_ZN2v87Isolate10GetCurrentEv");
void generator_seed(void *, long) __asm__("_ZN2v84base21RandomNumberGenerator7SetSeedEl");
int RAND_poll(void);
int RAND_bytes(u8 *, int);

static struct candidate { u64 at, state[3]; } candidates[MOST_CANDIDATES];
static int candidate_count;
static u64 generator;

/* Read words that may not be mapped. Return whether they are. */
static int read_words(int memory, u64 at, u64 *words, size_t bytes)
{
    return CALL(SYS_pread64, memory, words, bytes, at) == (long)bytes;
}

/* Keep the words at each place to which the isolate points. */
static void begin_search(void)
{
    u64 isolate = (u64)isolate_current(), words[512];
    int memory = (int)CALL(SYS_openat, AT_FDCWD_, "/proc/self/mem", O_RDONLY_ | O_CLOEXEC_, 0);
    for (u64 at = 0; at < ISOLATE_BYTES && read_words(memory, isolate + at, words, sizeof words); at += sizeof words) {
        for (int i = 0; i < 512; i++) {
            if (words[i] % 8 || words[i] < 4096 || words[i] >> 47 || candidate_count == MOST_CANDIDATES) continue;
            struct candidate *found = &candidates[candidate_count];
            found->at = words[i];
            if (read_words(memory, words[i], found->state, sizeof found->state)) candidate_count++;
        }
    }
    CALL(SYS_close, memory);
}

/* Return whether the generator makes the state `after` from `before` in a few steps. */
static int follows(const u64 *before, const u64 *after)
{
    u64 first = before[1], second = before[2];
    if (before[0] != after[0]) return 0;
    for (int i = 0; i < MOST_STEPS; i++) {
        u64 next = first, kept = second;
        next ^= next << 23;
        next ^= next >> 17;
        next ^= kept ^ (kept >> 26);
        first = kept;
        second = next;
        if (first == after[1] && second == after[2]) return first && second;
    }
    return 0;
}

/* Return whether exactly one generator was found. */
static int end_search(void)
{
    u64 now[3];
    int memory = (int)CALL(SYS_openat, AT_FDCWD_, "/proc/self/mem", O_RDONLY_ | O_CLOEXEC_, 0), others = 0;
    for (int i = 0; i < candidate_count; i++) {
        if (!read_words(memory, candidates[i].at, now, sizeof now)) continue;
        if (!follows(candidates[i].state, now)) continue;
        others += generator && generator != candidates[i].at;
        generator = candidates[i].at;
    }
    CALL(SYS_close, memory);
    return generator && !others;
}

/* In a copy: seed the generators of OpenSSL and V8. Return whether it worked. */
static int draw_anew(void)
{
    long seed;
    if (RAND_poll() != 1 || RAND_bytes((u8 *)&seed, sizeof seed) != 1) return 0;
    generator_seed((void *)generator, seed);
    return 1;
}
