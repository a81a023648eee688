"""Class 10: an execution over a limit is stopped, reports the limit, and disturbs no other."""

import time

import pytest

from sandbox.cgroup import leases
from sandbox.isolation.launch import starts_as_root
from sandbox.limits import MIB
from sandbox.session.outcome import State
from tests.attacks.attack import Attack, bomb, call, ends, tries, within
from tests.attacks.conftest import Assault
from tests.attacks.testbed import Arena
from tests.timeouts import HANGS_SECONDS

# Without control groups, memory outside of processes is not counted: `doctor` says "weaker".
WATCHED = leases.current_hierarchy().kind == "none"
# There, RLIMIT_NPROC limits the processes; it counts by user, so under root all share one count.
CROWDED = WATCHED and starts_as_root()
KILLED = (State.OUT_OF_MEMORY,)
UNSEEN = (*KILLED, State.SUCCEEDED) if WATCHED else KILLED
OUT, TIME, FLOOD = State.OUT_OF_MEMORY, State.TIMED_OUT, State.OUTPUT_LIMIT
SIGNALS = (
    "for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2']) process.on(name, () => {});"
)
# At the memory limit the kernel drops the pages of the program's own file and reads them again,
# sometimes for seconds, before it kills: that must not end at the CPU limit, which others test.
BIG = {
    "disk_bytes": 96 * MIB, "memory_bytes": 128 * MIB, "wall_ms": 60_000, "cpu_ms": 60_000,
}  # fmt: skip

MEMORY: tuple[Attack, ...] = (
    ends("heap of the engine", "const all = []; for (;;) all.push({ x: 'y'.repeat(9) +"
     " all.length });",
         OUT, State.CRASHED, wall_ms=60_000, cpu_ms=60_000),
    ends("buffers", "const all = []; for (let n = 0; n < 60; n++) all.push(Buffer.alloc(8e6, 1));",
         OUT),
    ends("one giant string", "let s = 'x'; for (;;) { s += s; Buffer.from(s); }", OUT, State.FAILED,
         State.CRASHED),
    ends("a child's buffers", "cp.spawnSync(process.execPath, ['-e',"
         " 'let a = []; for (let n = 0; n < 60; n++) a.push(Buffer.alloc(8e6, 1))']);", OUT),
    bomb("a private map", "map_private", *KILLED),
    bomb("a shared anonymous map", "map_anonymous_shared", *UNSEEN),
    bomb("a file in memory", "memory_file", *UNSEEN, file_bytes=512 * MIB),
    bomb("a System V segment", "system_five", *UNSEEN),
    bomb("memory of many children", "memory_of_children", *KILLED),
    bomb("locked memory", "lock_all", *UNSEEN, State.SUCCEEDED),
    Attack(name="tmpfs of all places", kind="program", states=UNSEEN, limits=within(BIG), code="""
        for (const at of ["/workspace", "/tmp", "/dev/shm"]) for (let n = 0; n < 60; n++)
          fs.writeFileSync(`${at}/${n}`, Buffer.alloc(1 << 20, 1));"""),
    Attack(name="buffers of pipes", kind="call", code="pipes", limits=within({"open_files": 1024}),
           answers=("OK", "EMFILE", "EPERM"), states=(State.SUCCEEDED, OUT)),
    Attack(name="inodes", kind="call", code="inodes",
           answers=("ENOSPC", "ENOMEM", *(["OK"] if WATCHED else [])),
           states=(State.SUCCEEDED, OUT), limits=within({"memory_bytes": 96 * MIB})),
    Attack(name="folders in folders", kind="call", code="deep", states=(State.SUCCEEDED, OUT),
           answers=("ENOSPC", "ENOMEM", "OK")),
    call("timers", "EAGAIN", "ENOMEM", "OK"),
    call("queued_signals", "EAGAIN"),
)  # fmt: skip
CROWDS: tuple[Attack, ...] = (
    call("forks", "EAGAIN", *(["OK"] if CROWDED else [])),
    call("threads", "EAGAIN", *(["OK"] if CROWDED else [])),
    ends("a fork bomb of the shell", """
        cp.spawn("/bin/sh", ["-c", "f() { f | f & }; f; while :; do :; done"], { stdio: "ignore" });
        setInterval(() => {}, 1000);""", TIME, State.CRASHED, State.FAILED, wall_ms=700,
             processes=32),
    ends("worker threads", """const { Worker } = await import("node:worker_threads");
        for (let n = 0; n < 30; n++) new Worker("setInterval(() => {}, 9)", { eval: true })
          .on("error", () => {}); setInterval(() => {}, 1000);""",
         TIME, OUT, State.FAILED, State.CRASHED, wall_ms=900, processes=24),
    Attack(name="children by the hundred", kind="program", answers=(True,),
           states=(State.SUCCEEDED, *([OUT] if CROWDED else [])), code="""let failed = 0;
        for (let n = 0; n < 100; n++) cp.spawn("/bin/sleep", ["9"], { stdio: "ignore" })
          .on("error", () => { failed += 1; });
        setTimeout(() => { say(failed > 50); process.exit(0); }, 200);"""),
)  # fmt: skip
DISKS: tuple[Attack, ...] = (
    *(
        tries(f"{at} is filled", f"(() => {{ for (let n = 0; ; n++) fs.writeFileSync('{at}/' + n,"
              " Buffer.alloc(1 << 20, 1)); })()", "ENOSPC")
        for at in ("/workspace/src", "/tmp", "/dev/shm")
    ),
    tries("a giant file", "(() => { const fd = fs.openSync('/tmp/a', 'w'); for (;;)"
          " fs.writeSync(fd, Buffer.alloc(1 << 20, 1)); })()", "EFBIG", file_bytes=4 * MIB),
    call("sparse", "EFBIG"),
    call("allocate", "EFBIG", "ENOSPC"),
    bomb("allocated but not written", "allocate_some", State.SUCCEEDED),
    call("descriptors", "EMFILE"),
    tries("sockets without end", "(() => { for (let n = 0; n < 5000; n++)"
     " fs.openSync('/dev/zero'); })()",
          "EMFILE"),
    tries("arguments without end", "cp.execFileSync('/bin/true', ['x'.repeat(4e6)])", "E2BIG"),
)  # fmt: skip
OUTPUT: tuple[Attack, ...] = (
    ends("stdout is flooded", "for (;;) fs.writeSync(1, 'x'.repeat(999) + '\\n');", FLOOD),
    ends("stderr is flooded", "for (;;) fs.writeSync(2, 'x'.repeat(999) + '\\n');", FLOOD),
    ends("three megabytes to each", "for (let n = 0; n < 3000; n++) for (const fd of [1, 2])"
         " fs.writeSync(fd, 'x'.repeat(1000));", FLOOD),
    ends("both are flooded", "for (;;) { fs.writeSync(1, 'x'); fs.writeSync(2, 'x'.repeat(99)); }",
         FLOOD),
    ends("a line of a gigabyte", "const much = Buffer.alloc(1 << 20, 120);"
         " for (let n = 0; n < 1024; n++) fs.writeSync(1, much);", FLOOD),
    ends("binary", "const much = Buffer.alloc(9999, 255); for (;;) fs.writeSync(1, much);", FLOOD),
    ends("a terminal's escapes", "fs.writeSync(1, '\\x1b]0;x\\x07\\x1b[2J\\x1b[6n');",
         State.SUCCEEDED),
    ends("NUL and halves of characters", "fs.writeSync(1, Buffer.from([0, 0xed, 0xa0, 0x80,"
     " 0xff]));",
         State.SUCCEEDED),
    ends("a child floods", "cp.spawnSync('/bin/sh', ['-c', 'while :; do echo xxxxxxxxxxxx; done'],"
         " { stdio: 'inherit' });", FLOOD),
    ends("stdout is closed", "fs.closeSync(1); fs.closeSync(2); setTimeout(() => {}, 50);",
         State.SUCCEEDED),
    ends("stdout is closed, then time passes", "fs.closeSync(1); fs.closeSync(2);"
         " setInterval(() => {}, 99);", TIME, wall_ms=300),
    ends("a flood to descriptor 3", "try { for (;;) fs.writeSync(3, 'x'.repeat(9999)); }"
         " catch { process.exit(0); }", State.SUCCEEDED),
)  # fmt: skip
TIMES: tuple[Attack, ...] = (
    ends("it sleeps for ever", "setInterval(() => {}, 1e6);", TIME, wall_ms=300),
    ends("sleep beyond the wall-clock limit", "setTimeout(() => {}, 1500);", TIME, wall_ms=300),
    ends("busy loop beyond the CPU limit", "for (const end = Date.now() + 1500; Date.now() < end;);",
         TIME, cpu_ms=300),
    ends("it spins for ever", "for (;;);", TIME, wall_ms=300),
    ends("the shortest wall-clock limit", "for (;;);", TIME, wall_ms=20),
    ends("SIGTERM is ignored", SIGNALS + "for (;;);", TIME, wall_ms=300),
    ends("SIGTERM is ignored in a child", SIGNALS + "cp.spawnSync('/bin/sh', ['-c',"
         " \"trap '' TERM INT HUP; while :; do :; done\"]);", TIME, wall_ms=400),
    ends("CPU time", "for (;;);", TIME, cpu_ms=200),
    bomb("CPU time in children", "burning_children", TIME, cpu_ms=500, processes=64),
    bomb("busy handlers of signals", "handlers", TIME, wall_ms=400),
    bomb("it stops itself", "stop_self", TIME, wall_ms=300),
    ends("a pause that cannot be interrupted",
         "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);", TIME, wall_ms=300),
    ends("it reads what never comes", "cp.spawnSync('/bin/cat', ['/dev/zero'], { stdio: ['ignore',"
         " 'ignore', 'ignore'], timeout: 0 });", TIME, wall_ms=400),
    ends("an endless regular expression", "/^(a+)+$/.test('a'.repeat(60) + 'b');", TIME,
         wall_ms=300),
)  # fmt: skip
ATTACKS = (*MEMORY, *CROWDS, *DISKS, *OUTPUT, *TIMES)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_bomb_is_stopped(attack: Attack, assault: Assault) -> None:
    began = time.monotonic()
    assault(attack)
    assert time.monotonic() - began < attack.limits.wall_ms / 1000 + HANGS_SECONDS


@pytest.mark.parametrize("wall_ms", [1, 50, 500])
def test_the_wall_time_limit_is_precise(wall_ms: int, arena: Arena) -> None:
    late = []
    for _ in range(20):  # a busy machine is late now and then; a broken limit is always late
        outcome = arena.run(ends("spin", "for (;;);", TIME, wall_ms=wall_ms))
        assert outcome.state == TIME
        assert wall_ms <= outcome.run_ms
        if outcome.run_ms < wall_ms + 400:
            return
        late.append(outcome.run_ms)
    pytest.fail(f"always late: {late} ms")


def test_output_before_the_stop_is_kept(arena: Arena) -> None:
    outcome = arena.run(ends("partial", "fs.writeSync(1, 'so far'); for (;;);", TIME, wall_ms=300))
    assert (outcome.state, outcome.stdout.data) == (TIME, b"so far")
