"""The CPU of each part of a submission under load: client, web, executor, and the rest.

The rest of the machine's CPU is that of the sandboxes, of the processes that they come from, and of
whatever else runs on the machine meanwhile.
"""

import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from benchmarks import sustained
from benchmarks.installation import Installation
from benchmarks.measures import Size
from benchmarks.table import Row, share

PARTS = ("client", "web", "executor", "sandbox and the rest")
ALONE = 20  # bare runs


def every(installation: Installation, size: Size) -> Iterator[Row]:
    """Yield a row for each part, and one for all of them together, beside a bare run's CPU."""
    for kind in (sustained.PYTHON, sustained.PYTEST):
        alone = bare_cpu_ms(installation, kind)
        clients = [partial(sustained.submit, installation, kind)] * sustained.CLIENTS[-1]
        sustained.looped(clients, min(2.0, size.sustained_seconds))  # until threads are made
        before = now(installation)
        _, answers = sustained.looped(clients, size.sustained_seconds)
        costs = each(before, now(installation), len(answers))
        for name, cost in (*costs.items(), ("all together", sum(costs.values()))):
            measure = f"CPU of a submission, {kind.name}, {len(clients)} clients: {name}"
            row = share(measure, [cost], [alone], most=0)
            yield replace(row, must="–", holds=None)


def each(before: Mapping[str, float], after: Mapping[str, float], count: int) -> dict[str, float]:
    """Return the milliseconds of each part for one of `count` submissions, from two readings."""
    used = {name: (after[name] - before[name]) / count for name in before}
    machine = used.pop("machine")
    return {**used, PARTS[-1]: max(0.0, machine - sum(used.values()))}


def now(installation: Installation) -> dict[str, float]:
    """Return the CPU milliseconds so far: of this process, web, executor and the machine."""
    return {
        "client": time.process_time() * 1000,
        **{name: installation.own_cpu_ms(name) for name in PARTS[1:3]},
        "machine": sustained.machine_cpu_ms(),
    }


def bare_cpu_ms(installation: Installation, kind: sustained.Kind) -> float:
    """Return the CPU milliseconds of one run of the bare tool; the first one is not counted."""
    with sustained.prepared(installation, kind, 1) as [workspace]:
        sustained.run_bare(kind, workspace)
        before = _children_ms()
        for _ in range(ALONE):
            sustained.run_bare(kind, workspace)
    return (_children_ms() - before) / ALONE


def _children_ms() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000
