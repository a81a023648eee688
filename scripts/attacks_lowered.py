"""Lower each protection in turn and show which attacks of tests/attacks then succeed.

An attack that fails with every protection in force proves little unless it can succeed. The attacks
are bounded: without any one protection, the machine that runs this script is not harmed. Print a
Markdown table. The exit status is 1 if a lowered protection stopped nothing: nothing tests it then.
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
from tests.attacks.protections import Protection, protections  # noqa: E402
from tests.attacks.testbed import Arena, arena  # noqa: E402

IPC_KEY = "0x57e9c11"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """The result of one attack without a protection; `breach` is None if another one held."""

    name: str
    breach: str | None


def try_all(protection: Protection) -> list[Tried]:
    """Try every attack of a lowered protection, each time on an undamaged host."""
    tried: list[Tried] = []
    waiting = list(protection.attacks)
    while waiting:
        with tempfile.TemporaryDirectory() as folder, arena(Path(folder)) as made:
            (made.root / "shared").mkdir()
            (made.root / "shared/left").write_text("left")
            made.root.chmod(0o755)
            while waiting:
                before = host_snapshot.snapshot(made)
                result = attempt(protection, waiting.pop(0), made)
                tried.append(result)
                if result.breach is not None:
                    repair(before)
                    break  # a new arena: this one may be damaged
    return tried


def attempt(protection: Protection, attack: Attack | Trial, made: Arena) -> Tried:
    """Try one attack. It succeeded if it reports so, or if it changed the host."""
    before = host_snapshot.snapshot(made)
    try:
        with protection.lower(made):
            breach = breached(protection, attack, made)
            found = host_snapshot.changes(before, made, settle_seconds=0.3)
    except (SandboxError, AssertionError) as error:
        return Tried(name=attack.name, breach=f"the sandbox was damaged: {error}")
    if breach is None and found:
        breach = f"the host was changed: {', '.join(found)}"
    return Tried(name=attack.name, breach=breach)


def breached(protection: Protection, attack: Attack | Trial, made: Arena) -> str | None:
    """Return how the attack succeeded, or None."""
    if isinstance(attack, Trial):
        return attack.go(made)
    attack = replace(attack, limits=relaxed(attack.limits, protection.limits))
    return attack.breach(made.run(attack))


def relaxed(limits: Limits, changes: Mapping[str, int]) -> Limits:
    """Return the limits with the changes of a lowered protection."""
    given: dict[str, Any] = dict(changes)
    return replace(limits, **given)


def repair(before: host_snapshot.Snapshot) -> None:
    """End processes that outlived their run, and remove their ipc objects."""
    for pid in set(host_snapshot.own_processes()) - set(cast("list[int]", before["processes"])):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if ipcrm := shutil.which("ipcrm"):
        argv = [ipcrm, "-M", IPC_KEY, "-Q", IPC_KEY, "-S", IPC_KEY]
        subprocess.run(argv, check=False, capture_output=True)
    ctypes.CDLL(None).mq_unlink(b"/stencil-attack")


def row(protection: Protection, tried: Sequence[Tried]) -> str:
    """Return a line of the table."""
    won = [one.name for one in tried if one.breach is not None]
    shown = ", ".join(won[:12]) + (f" and {len(won) - 12} more" if len(won) > 12 else "")
    return f"| {protection.name} | {len(tried)} | {len(won)} | {shown or '–'} |"


def main() -> int:
    """Print the table. With arguments: only the protections whose names contain one of them."""
    print("| lowered protection | attacks tried | succeed | which |")
    print("|---|---:|---:|---|", flush=True)
    untested = 0
    for protection in protections():
        if sys.argv[1:] and not any(word in protection.name for word in sys.argv[1:]):
            continue
        tried = try_all(protection)
        untested += not any(one.breach for one in tried)
        print(row(protection, tried), flush=True)
        if os.environ.get("VERBOSE"):
            for one in tried:
                print(f"    {one.name}: {one.breach or 'held'}"[:160], file=sys.stderr)
    return 1 if untested else 0


if __name__ == "__main__":
    sys.exit(main())
