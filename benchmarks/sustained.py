"""Sustained load: many clients for a while, beside a loop of the bare tool on every core.

The spaced-out rows of the other parts meet a warm sandbox each time. These rows do not: each client
submits again as soon as it has its answer, and each submission has other files.
"""

import itertools
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks import bare
from benchmarks.installation import TICKS, Installation
from benchmarks.measures import Size
from benchmarks.table import Row, quantile, share
from sandbox.forkserver.server import ForkServer
from sandbox.limits import MIB
from sandbox.session import sessions
from templatemgr import runtimes
from templatemgr.definitions import definition_file

CORES = len(os.sched_getaffinity(0))
CLIENTS = (1, 4, 16)  # the last one has the figure that must be reached
SPACE_SECONDS = 2.0
WAITING = 5  # forked sandboxes whose memory is measured
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of submission. `files` makes those of the nth; `argv` is the bare tool's command."""

    name: str
    template: str
    mode: str
    files: Callable[[int], Mapping[str, str]]
    argv: Sequence[str]
    links: Sequence[str] = ()
    least: float = 1.0  # throughput of 16 clients beside bare
    p95: float | None = None  # of 4 clients, as a part of one bare run's time


def _vitest(number: int) -> Mapping[str, str]:
    return {
        "sum.ts": f"export const sum = (a: number, b: number) => a + b + {number} - {number};\n",
        "sum.test.ts": (
            'import { expect, it } from "vitest";\nimport { sum } from "./sum";\n'
            f'it("adds", () => {{ expect(sum({number}, 2)).toBe({number + 2}); }});\n'
        ),
    }


def _pytest(number: int, expected: int | None = None) -> Mapping[str, str]:
    result = number + 2 if expected is None else expected
    return {
        "total.py": f"# {number}\ndef total(numbers):\n    return sum(numbers)\n",
        "test_total.py": (
            "from total import total\n\n\ndef test_adds():\n"
            f"    assert total([{number}, 2]) == {result}\n"
        ),
    }


def _class_of(number: int) -> Mapping[str, str]:
    """Return the files of the nth submission of a class; every fifth one fails."""
    return _pytest(number, expected=0 if number % 5 == 0 else None)


def _python(number: int) -> Mapping[str, str]:
    return {"main.py": f"print({number})\n"}


def _pandas(number: int) -> Mapping[str, str]:
    return {"main.py": f"import pandas\nprint(pandas.Series([1, {number}]).sum())\n"}


def _node(number: int) -> Mapping[str, str]:
    return {"main.js": f"console.log({number});\n"}


PYTEST = Kind(
    name="pytest, one file",
    template="python",
    mode="test",
    files=_pytest,
    argv=("bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "src"),
    least=3,
    p95=0.7,
)
PYTHON = Kind(
    name="Python hello",
    template="python",
    mode="run",
    files=_python,
    argv=("bin/python", "-I", "src/main.py"),
)
KINDS = (
    Kind(
        name="vitest, one TypeScript file",
        template="typescript",
        mode="test",
        files=_vitest,
        argv=("bin/node", *bare.VITEST),
        links=bare.LINKS,
        least=5,
        p95=0.5,
    ),
    PYTEST,
    replace(PYTHON, name="Python with `import pandas`", files=_pandas, least=8),
    PYTHON,
    Kind(
        name="Node hello",
        template="javascript",
        mode="run",
        files=_node,
        argv=("bin/node", "src/main.js"),
    ),
)


def every(installation: Installation, size: Size) -> Iterator[Row]:
    """Yield all rows of sustained load."""
    for kind in KINDS:
        yield from throughput(installation, kind, size.sustained_seconds)
    yield of_a_class(installation, size)
    yield from sleepers(installation)
    yield spaced_out(installation, size.samples)
    for template in ("python", "typescript"):
        yield from waiting(installation, template)
    yield idle(installation, size.sustained_seconds)


def throughput(installation: Installation, kind: Kind, seconds: float) -> Iterator[Row]:
    """Measure one kind from 1, 4 and 16 clients, beside bare loops on every core."""
    with prepared(installation, kind, CORES) as workspaces:
        alone, times = looped([partial(run_bare, kind, place) for place in workspaces], seconds)
    for clients in CLIENTS:
        ours, answers = looped([partial(submit, installation, kind)] * clients, seconds)
        crowd = "1 client" if clients == 1 else f"{clients} clients"
        measure = f"sustained: {kind.name}, {crowd}, beside {CORES} bare at once"
        row = share(measure, [ours], [alone], most=0, unit="/s")
        if clients == CLIENTS[-1]:
            yield replace(row, must=f"≥ {kind.least:g}×", holds=ours / alone >= kind.least)
        else:
            yield replace(row, must="–", holds=None)
        if clients == 4 and kind.p95 is not None:
            late, usual = quantile(answers, 0.95) * 1000, statistics.median(times) * 1000
            measure = f"sustained: {kind.name}, p95 at 4 clients beside a bare run under load"
            yield share(measure, [late], [usual], most=kind.p95)


def looped(acts: Sequence[Callable[[], object]], seconds: float) -> tuple[float, list[float]]:
    """Repeat each act in its own thread; return the acts a second, and the seconds of each."""
    until = time.monotonic() + seconds
    took: list[float] = []

    def loop(act: Callable[[], object]) -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            act()
            took.append(time.monotonic() - began)

    began = time.monotonic()
    with ThreadPoolExecutor(len(acts)) as crowd:
        list(crowd.map(loop, acts))
    return len(took) / (time.monotonic() - began), took


def of_a_class(installation: Installation, size: Size) -> Row:
    """Measure a class that submits at once, up to its last result, beside as many bare runs."""
    count = size.burst
    kind = replace(PYTEST, files=_class_of)
    began = time.monotonic()
    with ThreadPoolExecutor(size.clients) as crowd:
        list(crowd.map(lambda _: submit(installation, kind), range(count)))
    ours = count / (time.monotonic() - began)
    with prepared(installation, kind, CORES) as workspaces, ThreadPoolExecutor(CORES) as crowd:
        free = list(workspaces)
        began = time.monotonic()
        list(crowd.map(lambda _: _in_turn(kind, free), range(count)))
    alone = count / (time.monotonic() - began)
    measure = f"sustained: {count} pytest submissions of a class, beside {CORES} bare at once"
    row = share(measure, [ours], [alone], most=0, unit="/s")
    return replace(row, must="≥ 4×", holds=ours / alone >= 4)


def sleepers(installation: Installation) -> Iterator[Row]:
    """Measure programs that sleep, alone and beside programs that compute."""
    sleeping = replace(PYTHON, files=lambda n: {"main.py": f"import time\ntime.sleep(1)  # {n}\n"})
    computing = replace(
        PYTHON, files=lambda n: {"main.py": f"print(sum(range(6_000_000)) + {n})\n"}
    )
    took = _all_at_once(installation, [sleeping] * 20)
    row = share("sustained: 20 programs that sleep 1 s, at once", [took], [1.0], most=0, unit="s")
    yield replace(row, must="≤ 2.5×", holds=took <= 2.5)
    alone = _all_at_once(installation, [computing] * 10)
    crowd = threading.Thread(target=_all_at_once, args=(installation, [sleeping] * 40))
    crowd.start()
    beside = _all_at_once(installation, [computing] * 10)
    crowd.join()
    measure = "sustained: 10 programs that compute, with 40 that sleep beside without them"
    yield share(measure, [beside], [alone], most=1.3, unit="s")


def spaced_out(installation: Installation, samples: int) -> Row:
    """Measure the machine's CPU for one small Python program every two seconds."""
    with prepared(installation, PYTHON, 1) as [workspace]:
        alone = _machine_cpu_each(partial(run_bare, PYTHON, workspace), samples)
    ours = _machine_cpu_each(partial(submit, installation, PYTHON), samples)
    measure = "CPU of Python hello every 2 s, warming included, beside bare"
    return share(measure, [ours], [alone], most=3)


def waiting(installation: Installation, template: str) -> Iterator[Row]:
    """Measure the memory of a test sandbox that waits: forked, beside one that loads its runner.

    The server's own memory is not counted: it is shared by all that wait and run.
    """
    home = (installation.data / "templates" / template / "current").resolve()
    runtime = runtimes.make_runtime(definition_file.read_kept(home / "inputs"), home)
    tree, limits = runtime.tree("test"), runtime.default
    if not tree.forks:
        return
    with ExitStack() as made:
        loaded = sessions.start(tree, limits, slot="bench")
        made.callback(loaded.close)
        server = ForkServer.start(tree, limits, slot="bench", tier="bare")
        made.callback(server.close)
        forked = [server.fork(limits, slot="bench") for _ in range(WAITING)]
        each = statistics.median(session.memory_bytes for session in forked) / MIB
        measure = f"memory of a waiting {template} test sandbox: forked, beside loaded"
        yield share(measure, [each], [loaded.memory_bytes / MIB], most=0.3, unit="MiB")
        for session in forked:
            session.close()


def idle(installation: Installation, seconds: float) -> Row:
    """Measure the CPU of web and executor without submissions, as a part of one core."""
    time.sleep(SPACE_SECONDS)
    before, began = installation.cpu_ms(), time.monotonic()
    time.sleep(max(seconds, 5))
    part = (installation.cpu_ms() - before) / 10 / (time.monotonic() - began)
    return Row(
        measure="CPU of an idle Stencil, of one core",
        ours=f"{part:.1f} %", other="–", ratio="–", must="–", holds=None,
    )  # fmt: skip


@contextmanager
def prepared(installation: Installation, kind: Kind, count: int) -> Iterator[list[Path]]:
    """Make workspaces for bare runs of a kind; remove them at the end."""
    tree = (installation.data / "templates" / kind.template / "current/tree").resolve()
    with tempfile.TemporaryDirectory(prefix="stencil-bench-") as folder:
        places = [Path(folder, str(number)) for number in range(count)]
        for place in places:
            (place / "src").mkdir(parents=True)
            for name in (*kind.links, "bin"):
                (place / name).symlink_to(tree / name)
        yield places


def run_bare(kind: Kind, workspace: Path) -> None:
    """Run the tree's own tool once with new files; a failing test is a result."""
    for path, content in kind.files(next(_numbers)).items():
        (workspace / "src" / path).write_text(content)
    program, *rest = kind.argv
    tree = (workspace / "bin").resolve().parent
    env = {"HOME": str(workspace), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    argv = [str(tree / program), *rest]
    done = subprocess.run(
        argv, cwd=workspace, env=env, capture_output=True, timeout=300, check=False
    )
    if done.returncode not in (0, 1):
        raise subprocess.CalledProcessError(done.returncode, argv, done.stdout, done.stderr)


def _in_turn(kind: Kind, free: list[Path]) -> None:
    workspace = free.pop()
    try:
        run_bare(kind, workspace)
    finally:
        free.append(workspace)


def submit(installation: Installation, kind: Kind) -> None:
    """Submit new files of a kind and wait for the result; a failing test is a result, too."""
    files = dict(kind.files(next(_numbers)))
    ended = ("succeeded", "failed")
    installation.submit(kind.mode, files, ended=ended, template=kind.template)


def _all_at_once(installation: Installation, kinds: Sequence[Kind]) -> float:
    """Return the seconds from the first submission until the last answer."""
    began = time.monotonic()
    with ThreadPoolExecutor(len(kinds)) as crowd:
        list(crowd.map(partial(submit, installation), kinds))
    return time.monotonic() - began


def _machine_cpu_each(act: Callable[[], object], samples: int) -> float:
    """Return the machine's CPU milliseconds for one act, above those of an idle machine."""
    seconds = SPACE_SECONDS * samples
    before = machine_cpu_ms()
    time.sleep(seconds)
    resting = machine_cpu_ms() - before
    before = machine_cpu_ms()
    until = time.monotonic() + seconds
    for _ in range(samples):
        act()
        time.sleep(SPACE_SECONDS)
    over = time.monotonic() - until
    used = machine_cpu_ms() - before - resting * (1 + max(0.0, over) / seconds)
    return max(0.1, used / samples)


def machine_cpu_ms() -> float:
    """Return the CPU time of all processes since boot: user, nice, system (see proc(5))."""
    first = Path("/proc/stat").read_text().splitlines()[0].split()
    return sum(map(int, first[1:4])) * 1000 / TICKS
