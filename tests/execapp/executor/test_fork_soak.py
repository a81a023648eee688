"""Run many executions through one executor: what it holds on this machine must not grow.

`make test-fork-soak` runs 20,000; an ordinary run a short form.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from subprocess import Popen

from django.conf import settings

from execapp.models import FINAL_STATES, Execution
from execapp.requests import SubmissionRequest
from execapp.services import health, submissions
from templatemgr.models import Version
from tests.execapp.conftest import until
from tests.execapp.executor.forking import Held, current, held
from tests.timeouts import HANGS_SECONDS

__all__ = ["current"]
EXECUTIONS = int(os.environ.get("STENCIL_SOAK", "200"))
WARM_UP = max(60, EXECUTIONS // 10)
OPEN_AT_ONCE = 12  # submissions that wait or run
# The allocator of the executor, and SQLite's caches, settle after thousands of executions.
GROWTH_KIB = 12 * 1024
# Used again: those of a second server while the first one ends, and that of the idle trial.
RENEWAL_GROUPS = 4


def script(number: int) -> tuple[str, dict[str, int], tuple[str, int | None, str]]:
    """Return one of the kinds of programs, its limits, and its state, exit code and output."""
    said = f"{number}\n"
    if number % 50 == 1:
        return f"echo {number}; sleep 300", {"wall_ms": 200}, ("timed_out", None, said)
    if number % 25 == 2:
        return f"echo {number}; kill -9 $$", {}, ("crashed", None, said)
    if number % 25 == 3:
        return f"sleep 300 & echo {number}", {}, ("succeeded", 0, said)
    if number % 25 == 4:
        return f"echo {number} > /tmp/x; cat /tmp/x; (exit 3)", {}, ("failed", 3, said)
    return f"echo {number}", {}, ("succeeded", 0, said)


def submit(number: int) -> None:
    source, limits, _ = script(number)
    request = SubmissionRequest(
        client="soak",
        template="tiny",
        mode="run",
        files=[{"path": "main.sh", "content": source, "encoding": "utf8"}],
        limits=limits,
        labels={"number": str(number)},
    )
    submissions.submit(request)


def run(numbers: range) -> None:
    """Submit these numbers, a few at a time, and check every result."""
    waiting = Execution.objects.exclude(state__in=FINAL_STATES)
    for number in numbers:
        until(lambda: waiting.count() < OPEN_AT_ONCE)
        submit(number)
    until(lambda: not waiting.exists())
    rows = Execution.objects.filter(client="soak").order_by("-created_at")[: len(numbers)]
    for row in rows.iterator():
        number = int(row.labels["number"])
        assert (row.state, row.exit_code, bytes(row.stdout).decode()) == script(number)[2], (
            number,
            row.message,
        )
        assert row.attempt == 1


def settled(executor: Popen[str], identity: str, before: Held | None = None) -> Held:
    """Return what the executor holds, once that is constant, or not more than `before`."""
    deadline = time.monotonic() + HANGS_SECONDS
    last = held(executor.pid, identity)
    while time.monotonic() < deadline:
        time.sleep(1)
        now = held(executor.pid, identity)
        enough = counts(now) == counts(last) if before is None else not grown(before, now)
        if enough:
            return now
        last = now
    return last


def counts(one: Held) -> dict[str, int]:
    return {name: count for name, count in asdict(one).items() if name != "rss_kib"}


def grown(before: Held, after: Held) -> dict[str, tuple[int, int]]:
    pairs = {name: (count, counts(after)[name]) for name, count in counts(before).items()}
    spare = {"groups": RENEWAL_GROUPS}
    return {name: pair for name, pair in pairs.items() if pair[1] > pair[0] + spare.get(name, 0)}


def test_many_executions_leave_nothing(
    current: Version, executor_process: Callable[..., Popen[str]]
) -> None:
    executor = executor_process("--slots", "2", "--warm", "1")
    identity = json.loads((Path(settings.STENCIL_DATA) / "executor.lock").read_text())["identity"]
    until(lambda: [group.serving for group in health.snapshot().groups if group.tier] == [True])
    run(range(WARM_UP))
    before = settled(executor, identity)
    began = time.monotonic()
    run(range(WARM_UP, WARM_UP + EXECUTIONS))
    rate = EXECUTIONS / (time.monotonic() - began)
    after = settled(executor, identity, before)
    print(f"{EXECUTIONS} executions, {rate:.1f} a second\nbefore {before}\nafter  {after}")
    assert grown(before, after) == {}
    assert after.zombies == 0
    assert after.rss_kib - before.rss_kib <= GROWTH_KIB
    started = Execution.objects.filter(client="soak", timings__start="fork").count()
    assert started >= 0.9 * EXECUTIONS
