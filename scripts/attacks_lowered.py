"""Lower each wall in turn and show which attacks of tests/attacks then succeed.

An attack that fails with every wall up proves little unless it can succeed. What is run here is
bounded: with any one wall down, the machine that runs this is not harmed. Prints a Markdown table;
exit status 1 if a wall that was lowered stopped nothing, because then nothing tests it.
"""

import ctypes
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402 - the settings must be named first

django.setup()

from sandbox import groups, process, profile, seccomp, verdict  # noqa: E402
from sandbox.errors import SandboxError  # noqa: E402
from sandbox.launch import starts_as_root  # noqa: E402
from sandbox.limits import MIB, Limits  # noqa: E402
from tests.attacks import (  # noqa: E402
    host,
    test_01_planted_links,
    test_03_reach,
    test_05_sight,
    test_07_sharing,
    test_08_daemons,
    test_09_system_calls,
    test_10_bombs,
    test_11_forgery,
    test_12_poisoning,
)
from tests.attacks.arena import SECRET, Arena, arena  # noqa: E402
from tests.attacks.attack import Attack, call  # noqa: E402

Lower = Callable[[Arena], AbstractContextManager[object]]

ALLOW_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)  # BPF: return SECCOMP_RET_ALLOW
IPC_KEY = "0x57e9c11"


@dataclass(frozen=True, kw_only=True)
class Wall:
    """What is taken away, how, and what is tried then. `limits` are given instead of a patch."""

    name: str
    attacks: Sequence[Attack]
    lower: Lower = lambda _: nullcontext()
    limits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tried:
    """How one attack went without a wall; `breach` is None where another wall held."""

    name: str
    breach: str | None


def named(attacks: Sequence[Attack], *names: str) -> list[Attack]:
    """Some of a table, by name; KeyError for one that is not in it."""
    table = {attack.name: attack for attack in attacks}
    return [table[name] for name in names]


def without_options(*gone: str) -> Lower:
    """bubblewrap without these options."""
    spaces = profile._namespaces
    return lambda _: patch.object(
        profile,
        "_namespaces",
        lambda *given: tuple(item for item in spaces(*given) if item not in gone),
    )


def other_profile(change: Callable[[profile.Profile, Arena], profile.Profile]) -> Lower:
    """A sandbox that sees something else."""
    real = profile.bubblewrap

    def lower(made: Arena) -> AbstractContextManager[object]:
        return patch.object(
            profile,
            "bubblewrap",
            lambda given, inside, numbers: real(given, change(inside, made), numbers),
        )

    return lower


def with_network(inside: profile.Profile, _: Arena) -> profile.Profile:
    return replace(inside, network=True)


def with_host(inside: profile.Profile, made: Arena) -> profile.Profile:
    return replace(inside, binds=(*inside.binds, (str(made.root), str(made.root), True)))


def writable_template(inside: profile.Profile, _: Arena) -> profile.Profile:
    return replace(inside, binds=tuple((source, place, True) for source, place, _ in inside.binds))


def shared_tmp(inside: profile.Profile, made: Arena) -> profile.Profile:
    kept = tuple(one for one in inside.tmpfs if one.at not in ("/tmp", "/dev/shm"))  # noqa: S108
    return replace(
        inside,
        tmpfs=kept,
        binds=(*inside.binds, (str(made.root / "shared"), "/tmp", True)),  # noqa: S108 - inside
    )


@contextmanager
def inherited_environment(_: Arena) -> Iterator[None]:
    """The service's own environment is handed down."""
    spawn, given = process.spawn, profile._environment
    with (
        patch.dict(os.environ, {"STENCIL_SECRET_KEY": SECRET}),
        patch.object(
            process, "spawn", lambda argv, numbers, _: spawn(argv, numbers, dict(os.environ))
        ),
        patch.object(profile, "_environment", lambda inside: given(inside)[1:]),
    ):
        yield


@contextmanager
def inherited_descriptors(made: Arena) -> Iterator[None]:
    """A folder of the host is left open and inheritable, and nobody closes it."""
    leak = os.open(made.canaries, os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        with patch.object(process, "_open_from", lambda _: []):
            yield
    finally:
        os.close(leak)


@contextmanager
def daemons_live(made: Arena) -> Iterator[None]:
    """Neither the pid namespace nor the control group ends with the run."""
    with (
        without_options("--unshare-pid")(made),
        patch.object(groups._Folders, "kill", lambda _: None),
    ):
        yield


def walls() -> list[Wall]:
    """Every wall with the attacks that it is there for."""
    calls, sight, reach = test_09_system_calls.ATTACKS, test_05_sight.ATTACKS, test_03_reach.ATTACKS
    links, sharing = test_01_planted_links.ATTACKS, test_07_sharing.ATTACKS
    bombs = test_10_bombs.ATTACKS
    identity = "become_root become_root_group become_all file_root more_groups one_capability"
    hidden = ("the canary", "the canary by our own root", "the canary by dots")
    found = [
        Wall(
            name="system-call filter",
            attacks=calls,
            lower=lambda _: patch.object(seccomp, "program", lambda: ALLOW_ALL),
        ),
        Wall(
            name="network namespace",
            attacks=named(
                reach,
                "the host's loopback",
                "the host's loopback, another address of it",
                "the host's loopback by zero",
                "the host's loopback, mapped",
                "the host's own address",
                "an abstract socket of the host",
                "interfaces",
                "names of the host's sockets",
                "routes of the host",
                "connections of the host",
                "bash's own network",
            ),
            lower=other_profile(with_network),
        ),
        Wall(
            name="pid namespace",
            attacks=[
                *named(
                    sight,
                    "processes of others",
                    "signals to a host process",
                    "read a host process",
                    "command lines",
                ),
                call("signal_host", "ESRCH"),
            ],
            lower=without_options("--unshare-pid"),
        ),
        Wall(
            name="pid namespace, and the end of the control group",
            attacks=test_08_daemons.ATTACKS[:9],
            lower=daemons_live,
        ),
        Wall(
            name="ipc namespace",
            attacks=named(sharing, "segment_get", "queue_get", "semaphore_get", "posix_get"),
            lower=without_options("--unshare-ipc"),
        ),
        Wall(
            name="only what is needed is mounted",
            attacks=[
                *named(sight, *(f"read {name}" for name in hidden)),
                *named(reach, "a Unix socket of the host"),
                *links,
            ],
            lower=other_profile(with_host),
        ),
        Wall(
            name="read-only template",
            attacks=test_12_poisoning.ATTACKS[:21],
            lower=other_profile(writable_template),
        ),
        Wall(
            name="own /tmp and /dev/shm",
            attacks=named(sharing, "folders are empty"),
            lower=other_profile(shared_tmp),
        ),
        Wall(
            name="cleared environment",
            attacks=named(sight, "printenv"),
            lower=inherited_environment,
        ),
        Wall(
            name="closed descriptors",
            attacks=named(sight, "descriptors left open", "a working folder by a descriptor"),
            lower=inherited_descriptors,
        ),
        Wall(
            name="memory limit",
            attacks=named(
                bombs,
                "buffers",
                "a child's buffers",
                "a private map",
                "a shared anonymous map",
                "a file in memory",
                "a System V segment",
                "memory of many children",
                "tmpfs of all places",
            ),
            limits={"memory_bytes": 2048 * MIB},
        ),
        Wall(
            name="limit of processes",
            attacks=named(bombs, "forks", "threads", "children by the hundred"),
            limits={"processes": 1000},
        ),
        Wall(
            name="output cap",
            attacks=named(bombs, "three megabytes to each"),
            limits={"output_bytes": 16 * MIB},
        ),
        Wall(
            name="wall-clock limit",
            attacks=named(bombs, "it sleeps longer than it may", "busy handlers of signals"),
            limits={"wall_ms": 20_000},
        ),
        Wall(
            name="limit of CPU time",
            attacks=named(bombs, "it spins longer than it may", "CPU time in children"),
            limits={"cpu_ms": 20_000},
        ),
        Wall(
            name="limit of a file's size",
            attacks=named(bombs, "sparse"),
            limits={"file_bytes": 2**50},
        ),
        Wall(
            name="limit of open files",
            attacks=named(bombs, "descriptors", "sockets without end"),
            limits={"open_files": 8192},
        ),
        Wall(
            name="reports that must agree with the exit status",
            attacks=test_11_forgery.ATTACKS,
            lower=lambda _: patch.object(verdict, "_disagreement", lambda *_: None),
        ),
    ]
    if starts_as_root():
        found.insert(
            1,
            Wall(
                name="dropped rights (setpriv)",
                attacks=[
                    *named(calls, *identity.split()),
                    *named(sight, "the first process's environment"),
                ],
                lower=lambda _: patch.object(profile, "_drop", lambda _: ()),
            ),
        )
    return found


def try_all(wall: Wall) -> list[Tried]:
    """Every attack on a wall that is down, each time on a host that is whole."""
    tried: list[Tried] = []
    waiting = list(wall.attacks)
    while waiting:
        with tempfile.TemporaryDirectory() as folder, arena(Path(folder)) as made:
            (made.root / "shared").mkdir()
            (made.root / "shared/left").write_text("left")
            made.root.chmod(0o755)
            while waiting:
                before = host.snapshot(made)
                result = attempt(wall, waiting.pop(0), made)
                tried.append(result)
                if result.breach is not None:
                    repair(before)
                    break  # a new arena: this one may be damaged
    return tried


def attempt(wall: Wall, attack: Attack, made: Arena) -> Tried:
    """One attack. It succeeded if it says so, or if the host is not what it was."""
    attack = replace(attack, limits=relaxed(attack.limits, wall.limits))
    before = host.snapshot(made)
    try:
        with wall.lower(made):
            breach = attack.breach(made.run(attack))
            found = host.changes(before, made, patience=0.3)
    except (SandboxError, AssertionError) as error:
        return Tried(name=attack.name, breach=f"the sandbox was damaged: {error}")
    if breach is None and found:
        breach = f"the host was changed: {', '.join(found)}"
    return Tried(name=attack.name, breach=breach)


def relaxed(limits: Limits, changes: Mapping[str, int]) -> Limits:
    given: dict[str, Any] = dict(changes)
    return replace(limits, **given)


def repair(before: host.Snapshot) -> None:
    """End what outlived its run, and remove what it left in the ipc namespace."""
    for pid in set(host.own_processes()) - set(cast("list[int]", before["processes"])):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if ipcrm := shutil.which("ipcrm"):
        argv = [ipcrm, "-M", IPC_KEY, "-Q", IPC_KEY, "-S", IPC_KEY]
        subprocess.run(argv, check=False, capture_output=True)
    ctypes.CDLL(None).mq_unlink(b"/stencil-attack")


def row(wall: Wall, tried: Sequence[Tried]) -> str:
    """A line of the table."""
    won = [one.name for one in tried if one.breach is not None]
    shown = ", ".join(won[:12]) + (f" and {len(won) - 12} more" if len(won) > 12 else "")
    return f"| {wall.name} | {len(tried)} | {len(won)} | {shown or '–'} |"


def main() -> int:
    """Print the table. With arguments: only the walls whose names hold one of them."""
    print("| wall that is lowered | attacks tried | succeed | which |")
    print("|---|---:|---:|---|", flush=True)
    untested = 0
    for wall in walls():
        if sys.argv[1:] and not any(word in wall.name for word in sys.argv[1:]):
            continue
        tried = try_all(wall)
        untested += not any(one.breach for one in tried)
        print(row(wall, tried), flush=True)
        if os.environ.get("VERBOSE"):
            for one in tried:
                print(f"    {one.name}: {one.breach or 'held'}"[:160], file=sys.stderr)
    return 1 if untested else 0


if __name__ == "__main__":
    sys.exit(main())
