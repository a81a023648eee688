"""A safe selection of attacks, tried on this machine with its own sh and bash only.

Each attack is bounded, so that it does no harm if it succeeds. All attacks are in tests/attacks.
"""

import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sandbox import cage, probe
from sandbox.cage import Cage
from sandbox.cgroup import leases
from sandbox.errors import CageStoppedError, SandboxError
from sandbox.isolation.launch import starts_as_root
from sandbox.limits import MIB

_WON = "the attack succeeded"
_QUICK = 4.0  # seconds within which a process that ends or is killed must be gone


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A line for sh that tries to read or do something forbidden.

    `stopped` names the expected reason of a kill ("wall", "memory"); None if it ends by itself.
    """

    title: str
    line: str
    changes: dict[str, int] = field(default_factory=dict)
    stopped: str | None = None
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`ok` if the attack failed; `weaker` where it needs control groups, which are missing here."""

    title: str
    level: probe.Level
    detail: str
    remedy: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Target:
    """The targets that the host offers during the check."""

    folder: Path
    secret: Path
    port: int


_MOUNTS = "Report this: the sandbox shows or opens files that it must not."
_USER = "Start as root, or allow user namespaces (see the findings above)."
ATTACKS = (
    Attack(
        title="writing to the system",
        line="for at in /usr/x /usr/bin/sh /etc/passwd /x /dev/x /proc/sys/kernel/core_pattern; do"
        " (echo x >> $at) 2>/dev/null && echo @WON@; done; exit 0",
        remedy=_MOUNTS,
    ),
    Attack(
        title="reading the host's files",
        line="for at in @SECRET_FILE@ /proc/1/root@SECRET_FILE@ /etc/shadow /etc/machine-id; do"
        " cat $at >/dev/null 2>&1 && echo @WON@; done;"
        " for at in /home /root /var /sys; do ls $at >/dev/null 2>&1 && echo @WON@; done; exit 0",
        remedy=_MOUNTS,
    ),
    Attack(
        title="reading the service's environment",
        line="(env; cat /proc/*/environ 2>/dev/null) | while read -r text; do"
        " case $text in *STENCIL_*|*SECRET*|*TOKEN=*) echo @WON@;; esac; done; exit 0",
        remedy=_MOUNTS,
    ),
    Attack(
        title="seeing the host's processes",
        line="n=0; for at in /proc/[0-9]*; do n=$((n+1)); done; [ $n -lt 6 ] || echo @WON@",
        remedy=_USER,
    ),
    Attack(
        title="gaining rights",
        line="setpriv --reuid 0 --clear-groups true 2>/dev/null && echo @WON@;"
        " while read -r key value; do case $key$value in CapEff:0000000000000000|"
        "CapBnd:0000000000000000|NoNewPrivs:1|Seccomp:2) n=$((n+1));; esac;"
        " done </proc/self/status; [ $n = 4 ] || echo @WON@",
        remedy="Report this: capabilities are left, or the system-call filter is not in force.",
    ),
    Attack(
        title="reaching the host's network",
        line="bash -c 'exec 4<>/dev/tcp/127.0.0.1/@PORT@' 2>/dev/null && echo @WON@; exit 0",
        remedy="Report this: the network namespace is shared.",
    ),
    Attack(
        title="filling the disk",
        line="cat /dev/zero >/tmp/x 2>/dev/null && echo @WON@; exit 0",
        changes={"scratch_bytes": 4 * MIB, "wall_ms": 3_000},
        remedy="Report this: tmpfs is not limited.",
    ),
    Attack(
        title="filling the memory",
        line="cat /dev/zero >/tmp/x 2>/dev/null; echo @WON@",
        changes={"scratch_bytes": 256 * MIB, "memory_bytes": 48 * MIB},
        stopped="memory",
        remedy="Delegate a cgroup (see the findings above): files in memory are not counted else.",
    ),
    Attack(
        title="starting processes without end",
        line="n=0; while [ $n -lt 120 ]; do sleep 2 & n=$((n+1)); done 2>/dev/null; echo @WON@",
        changes={"processes": 24},
        remedy="Delegate a cgroup with the pids controller (see the findings above).",
    ),
    Attack(
        title="refusing to end",
        line="trap '' TERM INT HUP; for n in 1 2 3; do (while :; do :; done) & done; wait",
        changes={"wall_ms": 400},
        stopped="wall",
        remedy="Report this: the pid namespace did not end.",
    ),
    Attack(
        title="leaving a daemon behind",
        line="(trap '' TERM HUP; sleep 9) & exit 0",
        remedy="Report this: the pid namespace did not end.",
    ),
    Attack(
        title="leaving files to the next",
        line="for at in /tmp /dev/shm; do [ -e $at/left ] && echo @WON@; echo x >$at/left; done;"
        " exit 0",
        remedy="Report this: a folder is shared between executions.",
    ),
)


def verdicts(on_verdict: Callable[[Verdict], None] = lambda _: None) -> tuple[Verdict, ...]:
    """Try all attacks; yield each verdict as it is known. Takes a few seconds."""
    found = []
    with _target() as target:
        for attack in ATTACKS:
            verdict = _try(attack, target)
            on_verdict(verdict)
            found.append(verdict)
    return tuple(found)


@contextmanager
def _target() -> Iterator[_Target]:
    with (
        tempfile.TemporaryDirectory(prefix="stencil-check-") as folder,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        secret = Path(folder) / "secret"
        secret.write_text("a secret of the host")
        yield _Target(folder=Path(folder), secret=secret, port=server.getsockname()[1])


def _try(attack: Attack, target: _Target) -> Verdict:
    """Try an attack twice: one attack looks for remains of its first run."""
    detail = None
    try:
        for _turn in range(2):
            detail = detail or _breach(attack, target)
    except SandboxError as error:
        return _open(attack, f"it could not be tried: {error}", _remedy())
    if detail is None:
        return Verdict(title=attack.title, level="ok", detail="held")
    return _open(attack, detail, attack.remedy)


def _open(attack: Attack, detail: str, remedy: str) -> Verdict:
    level: probe.Level = "weaker" if _is_watched(attack) else "missing"
    return Verdict(title=attack.title, level=level, detail=detail, remedy=remedy)


def _is_watched(attack: Attack) -> bool:
    """Return whether only control groups stop the attack, and there are none."""
    if leases.current_hierarchy().kind != "none":
        return False
    return attack.stopped == "memory" or ("processes" in attack.changes and starts_as_root())


def _breach(attack: Attack, target: _Target) -> str | None:
    said: list[str] = []
    folder = Path(tempfile.mkdtemp(dir=target.folder))
    jail = replace(_jail(folder), **attack.changes)  # type: ignore[arg-type]
    began = time.monotonic()
    stopped = None
    argv = ["/bin/sh", "-c", _filled(attack.line, target)]
    try:
        cage.run(jail, argv, lambda _, text: said.append(text))
    except CageStoppedError as error:
        stopped = error.reason
    if attack.stopped is not None and stopped != attack.stopped:
        return f"it was not stopped for {attack.stopped}"
    if attack.stopped is None and _WON in said:
        return _WON
    if time.monotonic() - began > _QUICK:
        return "it ended late"
    return None


def _jail(folder: Path) -> Cage:
    return Cage(
        writable=folder,
        wall_ms=5_000,
        memory_bytes=128 * MIB,
        processes=64,
        scratch_bytes=16 * MIB,
    )


def _filled(line: str, target: _Target) -> str:
    return (
        line.replace("@WON@", f"'{_WON}'")
        .replace("@SECRET_FILE@", str(target.secret))
        .replace("@PORT@", str(target.port))
    )


def _remedy() -> str:
    """Return the remedy that `probe` gives for the lack."""
    advice = [each.remedy for each in probe.findings() if each.level == "missing" and each.remedy]
    return " ".join(advice) or "See the log for the cause."
