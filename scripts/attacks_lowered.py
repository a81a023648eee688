"""Lower each wall in turn and show which attacks of tests/attacks then succeed.

An attack that fails with every wall up proves little unless it can succeed. What is run here is
bounded: with any one wall down, the machine that runs this is not harmed. Prints a Markdown table;
exit status 1 if a wall that was lowered stopped nothing, because then nothing tests it.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402 - the settings must be named first

django.setup()

from sandbox.errors import SandboxError  # noqa: E402
from sandbox.limits import Limits  # noqa: E402
from tests.attacks import host_snapshot  # noqa: E402
from tests.attacks.attack import Attack  # noqa: E402
from tests.attacks.host_trials import Trial  # noqa: E402
from tests.attacks.testbed import Arena, arena  # noqa: E402
from tests.attacks.walls import Wall, walls  # noqa: E402

IPC_KEY = "0x57e9c11"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """How one attack went without a wall; `breach` is None where another wall held."""

    name: str
    breach: str | None


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
                before = host_snapshot.snapshot(made)
                result = attempt(wall, waiting.pop(0), made)
                tried.append(result)
                if result.breach is not None:
                    repair(before)
                    break  # a new arena: this one may be damaged
    return tried


def attempt(wall: Wall, attack: Attack | Trial, made: Arena) -> Tried:
    """One attack. It succeeded if it says so, or if the host is not what it was."""
    before = host_snapshot.snapshot(made)
    try:
        with wall.lower(made):
            breach = breached(wall, attack, made)
            found = host_snapshot.changes(before, made, settle_seconds=0.3)
    except (SandboxError, AssertionError) as error:
        return Tried(name=attack.name, breach=f"the sandbox was damaged: {error}")
    if breach is None and found:
        breach = f"the host was changed: {', '.join(found)}"
    return Tried(name=attack.name, breach=breach)


def breached(wall: Wall, attack: Attack | Trial, made: Arena) -> str | None:
    """Return how the attack succeeded, or None."""
    if isinstance(attack, Trial):
        return attack.go(made)
    attack = replace(attack, limits=relaxed(attack.limits, wall.limits))
    return attack.breach(made.run(attack))


def relaxed(limits: Limits, changes: Mapping[str, int]) -> Limits:
    """Return the limits with the changes of a lowered wall."""
    given: dict[str, Any] = dict(changes)
    return replace(limits, **given)


def repair(before: host_snapshot.Snapshot) -> None:
    """End what outlived its run, and remove what it left in the ipc namespace."""
    for pid in set(host_snapshot.own_processes()) - set(cast("list[int]", before["processes"])):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if ipcrm := shutil.which("ipcrm"):
        argv = [ipcrm, "-M", IPC_KEY, "-Q", IPC_KEY, "-S", IPC_KEY]
        subprocess.run(argv, check=False, capture_output=True)
    ctypes.CDLL(None).mq_unlink(b"/stencil-attack")


def row(wall: Wall, tried: Sequence[Tried]) -> str:
    """Return a line of the table."""
    won = [one.name for one in tried if one.breach is not None]
    shown = ", ".join(won[:12]) + (f" and {len(won) - 12} more" if len(won) > 12 else "")
    return f"| {wall.name} | {len(tried)} | {len(won)} | {shown or '–'} |"


def main() -> int:
    """Print the table. With arguments: only the walls whose names hold one of them."""
    print("| lowered protection | attacks tried | succeed | which |")
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
