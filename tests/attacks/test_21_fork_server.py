"""Class 21: a forked sandbox reaches neither its server, nor a sibling, nor a later one.

All other classes run in forked sandboxes, too (see conftest.py).
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from sandbox.cgroup import leases
from sandbox.errors import ConfinementError, LostError, StartupError
from sandbox.forkserver import inspection
from sandbox.forkserver.server import ForkServer
from sandbox.isolation import confinement
from sandbox.limits import MIB
from sandbox.session.outcome import State
from tests.attacks import fork_lowered, host_snapshot, testbed
from tests.attacks.attack import LIMITS, PRELUDE, Attack, call, ends, program, tries, within
from tests.attacks.conftest import Assault
from tests.attacks.fork_lowered import TABLE, Lowered
from tests.attacks.test_15_kill_timing import living
from tests.attacks.testbed import Arena
from tests.sandbox.node_tree import tree_for
from tests.timeouts import HANGS_SECONDS

HIDDEN = ("EACCES", "EPERM")
# Every mount that can be written, tried: none but those that are a sandbox's own.
WRITABLE = """
    const places = fs.readFileSync("/proc/self/mountinfo", "utf8").trim().split("\\n")
      .map((line) => line.split(" ")[4]);
    const written = ["/", "/dev", "/etc", "/usr", ...places].filter((at) => {
      try { fs.writeFileSync(at + "/x", "x"); return true; } catch { return false; }
    });
    say([...new Set(written)].sort());
"""
SEEN_BY_ALL = """
    const names = (at) => { try { return fs.readFileSync(at, "latin1"); } catch { return ""; } };
    say(processes().some((pid) => pid !== "1" && pid !== String(process.pid)
      && names(`/proc/${pid}/cmdline`).includes("_fork")));
"""
ATTACKS: tuple[Attack, ...] = (
    *(
        call(f"first_{name}", *HIDDEN)
        for name in ("memory", "descriptors", "root", "folder", "environment", "namespaces", "score")
    ),
    call("first_limits", *HIDDEN),
    call("own_score", *HIDDEN),
    call("any_descriptor", "EBADF"),
    call("clone_like_a_fork_server", "EPERM"),
    call("all_signalled", "ESRCH", "OK"),
    *(call(name, "EPERM") for name in ("trace_first", "compare", "advise_other", "setns_first")),
    program("all that can be written", WRITABLE, ["/dev/shm", "/tmp", "/workspace"]),
    program("the server among the processes", SEEN_BY_ALL, False),
    program("/proc of the server", "say(fs.readlinkSync('/proc/self') === `${process.pid}`);", True),
    program("a name of the control groups",
            "say(fs.readFileSync('/proc/self/cgroup', 'utf8').includes('stencil'));", False),
    tries("the covered folders", "cp.execFileSync('/bin/umount', ['/workspace'],"
          " { stdio: 'ignore' }) && 'OK'", *HIDDEN, "ENOENT", "Error: Command failed: /bin/umount /workspace"),
    *(fork_lowered.leaves(at) for at in (*fork_lowered.LEFT, "/workspace")),
)  # fmt: skip


@pytest.fixture
def way(arena: Arena) -> Iterator[str]:
    """Fork all sandboxes: these attacks are about clones."""
    arena.way = "forked"
    yield "forked"
    arena.way = "started"


pytestmark = pytest.mark.started  # conftest.py must not choose the way


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_nothing_is_reached_from_a_forked_sandbox(attack: Attack, assault: Assault) -> None:
    """Try each twice: the second sandbox could find what the first has left."""
    assault(attack)
    assault(attack)


# Without control groups of ours, no name of one could be seen.
NAMELESS = {"own control groups"} if leases.current_hierarchy().kind == "none" else set()


@pytest.mark.parametrize(
    "one", [one for one in TABLE if one.name not in NAMELESS], ids=lambda one: one.name
)
def test_an_attack_succeeds_when_its_protection_is_lowered(one: Lowered, arena: Arena) -> None:
    with fork_lowered.lowered(arena, one, seen=False):
        for attack in one.attacks:
            if attack.name.startswith("files left"):
                arena.run(attack)
            with (
                arena.meanwhile(one.beside)
                if one.beside is not testbed.NEIGHBOUR
                else arena.neighbour()
            ):
                fault = attack.breach(arena.run(attack))
            assert fault is not None, f"{one.name} does not stop {attack.name}"


@pytest.mark.parametrize("one", [one for one in TABLE if one.seen], ids=lambda one: one.name)
def test_the_host_refuses_a_clone_without_the_protection(one: Lowered, arena: Arena) -> None:
    with (
        patch.object(confinement, "_LOCKDOWN_SECONDS", 0.3),
        fork_lowered.lowered(arena, one, seen=True),
        pytest.raises(ConfinementError),
    ):
        arena.start(arena.native()).close()


# What a package can prepare while it is loaded: the words with which the server is refused.
PREPARED = {
    "sleeper": "child processes", "orphan": "child processes", "another_thread": "1 threads that are not parked",
    "open_file": "holds open /tmp/channel", "open_sealed": "holds open /template", "open_folder": "holds open /tmp",
    "memory_file_open": "holds open /memfd", "queue_open": "holds open /channel",
    "watch": "inotify", "timer_file": "timerfd", "signal_file": "signalfd",
    "socket_open": "3 sockets", "socket_listens": "2 sockets",
    "shared_memory": "memory", "shared_memory_unreadable": "memory", "shared_file": "memory",
    "shared_file_read_only": "memory", "segment_attached": "memory",
    "timer": "set a timer", "alarm_handled": "handles SIGALRM", "processor_alarm_handled": "handles SIGPROF",
    "processor_limit_handled": "handles SIGXCPU", "signal_of_input": "signal for input on descriptor 3",
    "another_filter": "Seccomp_filters", "patched": "changed the code", "busy": "does not wait",
    **({"elsewhere": "waits in"} if os.uname().machine == "x86_64" else {}),
}  # fmt: skip


@pytest.mark.parametrize("name", PREPARED)
def test_a_server_with_a_prepared_channel_is_refused(name: str, arena: Arena) -> None:
    with (
        patch.object(inspection, "_WAITING_SECONDS", 0.2),
        pytest.raises(ConfinementError, match=PREPARED[name]),
    ):
        testbed.start_server(arena.native(), env={"STENCIL_HOSTILE": name}).close()


def test_a_server_outside_of_the_native_part_is_refused(arena: Arena) -> None:
    """A package serves in the server's place: the same code, in a file of the package."""
    with (
        fork_lowered.edited(arena, (), folder="bin") as binary,
        pytest.raises(ConfinementError, match=r"it waits in .*bin/edited"),
    ):
        testbed.start_server(arena.native(), binary).close()


# What the host cannot see, or what a clone replaces, and the attack that would use it.
UNSEEN = {
    "segment_left": call("segment_get", "ENOENT"),
    "queue_left": call("queue_get", "ENOENT"),
    "posix_queue_left": call("posix_get", "ENOENT"),
    "streams": program("streams", """say([0, 1, 2].some((n) =>
        fs.readlinkSync(`/proc/self/fd/${n}`).includes("memfd")));""", False),
    "files_left": program("files", """say(["/tmp", "/dev/shm", "/workspace", "/workspace/src"].some(
        (at) => fs.existsSync(at + "/left")));""", False),
    **{name: call("any_descriptor", "EBADF") for name in ("pipe_open", "event", "poll_set")},
    "alarm_unhandled": program("timers", "say('alive');", "alive"),
    "moved": program("folder", "say(fs.readlinkSync('/proc/self/cwd').startsWith('/workspace'));", True),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSEEN)
def test_what_cannot_be_seen_does_not_reach_across_a_fork(name: str, arena: Arena) -> None:
    attack = UNSEEN[name]
    tree = arena.native() if attack.kind == "call" else tree_for(arena.tree, "run")
    code, args = ("x", (attack.code,)) if attack.kind == "call" else (PRELUDE + attack.code, ())
    with serving(
        arena, STENCIL_HOSTILE=name, mode=tree.command[-1], native=attack.kind == "call"
    ) as server:
        for _ in range(2):
            outcome = server.fork(LIMITS, slot="attack").deliver(arena.job(code, args=args), LIMITS)
            assert attack.breach(outcome) is None


@contextmanager
def serving(
    arena: Arena,
    *,
    native: bool = True,
    mode: str = "run",
    binary: str = "_fork/forked",
    **env: str,
) -> Iterator[ForkServer]:
    tree = arena.native() if native else tree_for(arena.tree, mode)
    server = testbed.start_server(tree, binary, env=env)
    try:
        yield server
    finally:
        server.close()


KEEPS = "        for (int i = 0; i < DESCRIPTORS; i++) CALL(SYS_close, received[i]);"


@pytest.mark.parametrize("keeps", [False, True])
def test_a_server_holds_the_same_after_a_fork(keeps: bool, arena: Arena) -> None:
    """Compare descriptors, threads and memory maps, as every test of this folder does."""
    with (
        fork_lowered.edited(arena, [(KEEPS, "")] if keeps else []) as binary,
        serving(arena, binary=binary) as server,
    ):
        before = host_snapshot.held(server._process.pid)
        server.fork(LIMITS, slot="attack").close()
        assert (host_snapshot.held(server._process.pid) != before) is keeps


SHORT = replace(LIMITS, startup_ms=500)


@pytest.mark.parametrize("lie", ["silence", "end", "no process"])
def test_a_clone_that_never_gets_ready_is_not_used(lie: str, arena: Arena) -> None:
    with serving(arena, STENCIL_LIE=lie) as server:
        for _ in range(2):
            with pytest.raises((StartupError, ConfinementError)):
                server.fork(SHORT, slot="attack")
        assert server.alive


def test_a_clone_that_announces_itself_twice_gains_nothing(arena: Arena) -> None:
    """Refuse the second announcement, or read it as a message of a run: as nothing."""
    job = arena.job("x", args=("first_memory",))
    with serving(arena, STENCIL_LIE="twice") as server, suppress(StartupError):
        outcome = server.fork(SHORT, slot="attack").deliver(job, LIMITS)
        assert outcome.report is None
        assert outcome.stdout.data == b"13\n"


ANNOUNCED = {
    "the server": ("        long made = CALL(", '        CALL(SYS_write, received[4], "a", 1);\n        long made = CALL('),
    "a grandchild": (
        'check(CALL(SYS_write, status_socket, &byte, 1), "announcement");',
        "if (CALL(SYS_clone, SIGCHLD_, 0, 0, 0, 0) == 0) { CALL(SYS_write, status_socket, &byte, 1); for (;;) {} }",
    ),
}  # fmt: skip


@pytest.mark.parametrize("who", ANNOUNCED)
def test_no_other_process_can_be_announced(who: str, arena: Arena) -> None:
    with (
        fork_lowered.edited(arena, [ANNOUNCED[who]]) as binary,
        serving(arena, binary=binary) as server,
        pytest.raises(StartupError, match="no child"),
    ):
        server.fork(SHORT, slot="attack")


BOMBS = (
    ends("memory", "const all = []; for (;;) all.push(Buffer.alloc(8e6, 1));", State.OUT_OF_MEMORY),
    Attack(name="processes", kind="call", code="forks", answers=("EAGAIN",), limits=within({"processes": 24})),
)  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
@pytest.mark.skipif(
    leases.current_hierarchy().kind == "none", reason="no control groups limit them"
)
def test_a_bomb_harms_neither_server_nor_sibling(bomb: Attack, arena: Arena) -> None:
    servers = {server._process.pid: server.memory_bytes for server in arena.servers.values()}
    with arena.meanwhile(program("sibling", "setTimeout(() => say('alive'), 300);", "alive")):
        assert bomb.breach(arena.run(bomb)) is None
    for server in arena.servers.values():
        assert server.alive
        assert server.memory_bytes < servers[server._process.pid] + 4 * MIB


def test_when_a_server_is_killed_its_sandboxes_end_with_it(arena: Arena) -> None:
    found: list[object] = []

    def deliver(session: object) -> None:
        try:
            found.append(session.deliver(arena.job(PRELUDE + "for (;;);"), LIMITS))  # type: ignore[attr-defined]
        except LostError as error:
            found.append(type(error))

    with serving(arena, native=False) as server:
        sessions = [server.fork(LIMITS, slot=slot) for slot in ("attack", "neighbour")]
        groups = [session._container.group for session in sessions]
        threads = [threading.Thread(target=deliver, args=(session,)) for session in sessions]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        assert all(group.pids() for group in groups)
        os.kill(server._process.pid, signal.SIGKILL)
        for thread in threads:
            thread.join(HANGS_SECONDS)
        assert found == [LostError, LostError]
        assert not any(group.pids() for group in groups)
        deadline = time.monotonic() + HANGS_SECONDS
        while server.alive and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not server.alive
        with pytest.raises(StartupError):
            server.fork(SHORT, slot="attack")


HOST = """
import sys, time
from pathlib import Path
from sandbox.session.sessions import Tree
from tests.attacks import testbed
from tests.attacks.attack import LIMITS
from tests.sandbox.node_tree import program, tree_for
tree = tree_for(Path(sys.argv[1]), "run")
step = sys.argv[2]
server = testbed.start_server(tree)
if step == "forking":
    print("ready", flush=True)
session = server.fork(LIMITS, slot="attack")
if step == "waiting":
    print("ready", flush=True)
    time.sleep(20)
session.deliver(program("console.log('x'); for (;;);"), LIMITS,
                on_output=lambda *_: print("ready", flush=True))
"""


@pytest.mark.parametrize("step", ["forking", "waiting", "running"])
def test_when_the_host_process_is_killed_servers_and_forks_die(step: str, arena: Arena) -> None:
    victim = subprocess.Popen(
        [sys.executable, "-c", HOST, str(arena.tree), step],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
    assert victim.stdout is not None
    with victim.stdout as said:
        assert said.readline() == b"ready\n"
        victim.kill()
        victim.wait(HANGS_SECONDS)
    names = [f"{leases.NAME_PREFIX}{slot}-{victim.pid}-" for slot in ("attack", "attack-server")]
    deadline = time.monotonic() + HANGS_SECONDS
    while any(map(living, names)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(living, names))
    for slot in ("attack", "attack-server"):
        leases.sweep(f"{slot}-{victim.pid}-")
