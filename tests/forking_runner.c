/* A runner that can be a fork server: it runs the first submitted file with the shell of the sandbox.

   It is linked with `templates_runtime/_fork/isolate.c`. As a fork server it has loaded nothing, so
   that tests of the service can make many sandboxes in little time. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int stencil_fork_serve(int control, int channel, int keep);
void stencil_fork_begin(void);
void stencil_fork_reap(int second);

enum { CHANNEL = 3, MOST_BYTES = 1 << 20 };
static char job[MOST_BYTES], source[MOST_BYTES];

static void say_ready(void)
{
    static const char line[] = "{\"type\":\"ready\"}\n";
    if (write(CHANNEL, line, sizeof line - 1) < 0) _exit(1);
}

static void receive(void)
{
    size_t length = 0;
    while (!length || job[length - 1] != '\n') {
        ssize_t got = read(CHANNEL, job + length, sizeof job - 1 - length);
        if (got <= 0) _exit(0);
        length += (size_t)got;
    }
}

/* Copy the text of the first file, with the escapes of JSON that ASCII text needs. */
static void decode(void)
{
    const char *from = strstr(job, "\"content\":\"");
    char *to = source;
    if (!from) _exit(2);
    for (from += 11; *from != '"'; from++) {
        if (*from != '\\') *to++ = *from;
        else *to++ = *++from == 'n' ? '\n' : *from == 't' ? '\t' : *from;
    }
}

int main(void)
{
    int serves = getenv("STENCIL_FORK") != NULL;
    say_ready();
    if (serves) {
        if (!stencil_fork_serve(CHANNEL, CHANNEL, 0)) return 0;
        pid_t second = fork();
        if (second) stencil_fork_reap(second);
        stencil_fork_begin();
        say_ready();
    }
    receive();
    decode();
    close(CHANNEL);
    execl("/bin/sh", "sh", "-c", source, (char *)NULL);
    return 127;
}
