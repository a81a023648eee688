/* The fork server of Node, as an addon: `fork(control, channel, step)` returns in each sandbox. */
#include "isolate.c"
#include "text.c"
#include "threads.c"
#include "descriptors.c"
#include "memory.c"
#include "randomness.c"

typedef struct env_ *napi_env;
typedef struct value_ *napi_value;
typedef struct info_ *napi_info;
int napi_create_function(napi_env, const char *, size_t, napi_value (*)(napi_env, napi_info), void *, napi_value *);
int napi_set_named_property(napi_env, napi_value, const char *, napi_value);
int napi_get_cb_info(napi_env, napi_info, size_t *, napi_value *, napi_value *, void **);
int napi_get_value_int32(napi_env, napi_value, int *);
int napi_create_int32(napi_env, int, napi_value *);
int napi_call_function(napi_env, napi_value, napi_value, size_t, const napi_value *, napi_value *);
int napi_get_undefined(napi_env, napi_value *);
int napi_throw_error(napi_env, const char *, const char *);

static napi_value refused(napi_env env, const char *why)
{
    napi_throw_error(env, NULL, why);
    return NULL;
}

static napi_value number(napi_env env, int value)
{
    napi_value made;
    return napi_create_int32(env, value, &made) ? NULL : made;
}

static const char ready[] = "{\"type\":\"ready\"}\n";

/* Return 1 in each copy, in its second process, and 0 in the server, at its end. */
static int serve_and_become(int control, int channel)
{
    if (!stencil_fork_serve(control, channel, 1)) return 0;
    long second = clone_process(SIGCHLD_ | CLONE_CHILD_SETTID_ | CLONE_CHILD_CLEARTID_, main_number);
    check(second, "second process");
    if (second) stencil_fork_reap((int)second);
    replace_descriptors(status_socket);
    stencil_fork_begin();
    forbid_copies();
    resume_threads();
    if (!draw_anew()) fail("random numbers", 0);
    return 1;
}

static napi_value stencil_fork(napi_env env, napi_info info)
{
    size_t count = 3;
    napi_value given[3], receiver;
    int control, channel;
    if (napi_get_cb_info(env, info, &count, given, NULL, NULL)) return NULL;
    if (napi_get_value_int32(env, given[0], &control) || napi_get_value_int32(env, given[1], &channel)) return NULL;
    begin_search();
    napi_get_undefined(env, &receiver);
    if (napi_call_function(env, receiver, given[2], 0, NULL, NULL)) return NULL;
    if (!end_search()) return refused(env, "the random numbers of V8 were not found");
    /* From here on JavaScript would wait for parked threads: the process serves, or it ends. */
    check(park_threads(), "a thread cannot be parked");
    check(note_descriptors(control, channel), "a descriptor cannot be made again");
    check(allow_copies(), "the memory cannot be copied");
    check(CALL(SYS_write, control, ready, sizeof ready - 1), "the host is gone");
    if (!serve_and_become(control, channel)) CALL(SYS_exit_group, 0);
    return number(env, (int)CALL(SYS_getpid, 0));
}

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports)
{
    napi_value function;
    if (napi_create_function(env, "fork", 4, stencil_fork, NULL, &function)) return NULL;
    return napi_set_named_property(env, exports, "fork", function) ? NULL : exports;
}
