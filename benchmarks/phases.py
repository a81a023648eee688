"""The phases of a submission, from the timings of executions."""

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.installation import Installation
from benchmarks.measures import COLD, PROGRAMS, REFILL_SECONDS, SUITE, Size

COLUMNS = ("around it", "queued", "set-up", "run", "collect", "record", "total")


def breakdown(installation: Installation, size: Size) -> str:
    """Return the median of each phase for each kind of submission, as a Markdown table."""
    lines = [
        f"| milliseconds, median | {' | '.join(COLUMNS)} |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    kinds: list[tuple[str, str, dict[str, str], dict[str, Any]]] = [
        ("vitest, warm", "test", SUITE, {}),
        ("vitest, cold", "test", SUITE, COLD),
    ]
    for language, (name, text) in PROGRAMS.items():
        kinds.append((f"{language}, warm", "run", {name: text}, {"entry": name}))
    for kind, mode, files, more in kinds:
        samples = []
        for _ in range(size.samples):
            time.sleep(REFILL_SECONDS)
            took, reply = installation.submit(mode, files, **more)
            samples.append(parts(took, reply["timings"]))
        middle = [f"{statistics.median(column):.1f}" for column in zip(*samples, strict=True)]
        lines.append(f"| {kind} | {' | '.join(middle)} |")
    return "\n".join(lines)


def parts(took_ms: float, timings: Mapping[str, float]) -> Sequence[float]:
    """Return the columns of one submission; they add up to its time over HTTP."""
    known = [timings[f"{name}_ms"] for name in ("queued", "setup", "run", "collect")]
    total = timings["total_ms"]
    return (took_ms - total, *known, total - sum(known), total)
