"""The measures, each a row or two. Both sides of a comparison are sampled in turns."""

import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import bare
from benchmarks.installation import Installation
from benchmarks.table import Row, faster, share
from sandbox.isolation.launch import Shares, bubblewrap_path, launch, parking_key
from sandbox.isolation.parking import ParkedPool
from sandbox.isolation.profile import Profile
from sandbox.limits import Limits
from sandbox.session.sessions import SourceFile, Submission, Tree, start, tree_profile
from templatemgr import runtimes
from templatemgr.definitions import definition_file

SUITE = {
    "sum.ts": "export const sum = (a: number, b: number) => a + b;\n",
    "sum.test.ts": (
        'import { expect, it } from "vitest";\nimport { sum } from "./sum";\n'
        'it("adds", () => { expect(sum(1, 2)).toBe(3); });\n'
        'it("adds again", () => { expect(sum(2, 2)).toBe(4); });\n'
    ),
}
PROGRAMS = {
    "JavaScript": ("main.js", "console.log(1 + 1);\n"),
    "TypeScript": ("main.ts", "const sum: number = 1 + 1;\nconsole.log(sum);\n"),
}
UNPARKED = "cold set-up with no bubblewrap parked, beside `cp -a node_modules`"
REFILL_SECONDS = 0.8  # the time in which a warm sandbox is replaced
# The runtimes read this variable at their start, so no loaded one can run the submission.
COLD: dict[str, Any] = {"env": {"TZ": "UTC"}}


@dataclass(frozen=True, kw_only=True)
class Size:
    """The numbers of samples and the sizes of trees."""

    samples: int
    burst: int
    clients: int
    files: tuple[int, int]
    disk: int  # executions after which the files are counted
    sustained_seconds: float  # of each row of sustained load


SHORT = Size(samples=5, burst=24, clients=8, files=(1_000, 5_000), disk=40, sustained_seconds=2)
FULL = Size(
    samples=21, burst=200, clients=16, files=(1_000, 50_000), disk=1_000, sustained_seconds=20
)
# A runner that takes its job and ends: the measured time is that of the installation alone.
IDLE = """
const { readSync, writeSync } = require("node:fs");
writeSync(3, '{"type":"ready"}\\n');
readSync(3, Buffer.alloc(65536));
"""


def every(installation: Installation, size: Size) -> Iterator[Row]:
    """Yield all rows in the order of the table."""
    yield from set_up_by_size(installation, size)
    yield from set_up_against_copies(installation, size)
    yield from vitest(installation, size)
    yield from programs(installation, size)
    yield from burst(installation, size)
    yield disk(installation, size)
    yield from isolation(size)


def set_up(version: Path, root: Path | None = None, parked_pool: ParkedPool | None = None) -> float:
    """Return the milliseconds until a sandbox of this tree is mounted, limited and released.

    With `parked_pool` a bubblewrap waits parked, as in an executor; the next one is parked here,
    before anything else is measured.
    """
    profile = replace(tree_profile(_tree(version, root), Limits()), command=("/usr/bin/true",))
    key = parking_key(profile, channel=True)
    began = time.perf_counter()
    container = launch(
        profile,
        _shares(),
        slot="adhoc-bench",
        startup_ms=Limits().startup_ms,
        channel=True,
        parked=None if parked_pool is None else parked_pool.take(key),
    )
    took = (time.perf_counter() - began) * 1000
    container.close()
    if parked_pool is not None:
        _refilled(parked_pool)
    return took


def _refilled(parked_pool: ParkedPool) -> None:
    parked_pool.refill()
    for _ in range(1000):
        if parked_pool.count():
            return
        time.sleep(0.01)
    raise RuntimeError("no bubblewrap was parked in 10 s")


@contextmanager
def parked() -> Iterator[ParkedPool]:
    """Keep parked sandboxes, as an executor does, until the block ends."""
    parked_pool = ParkedPool(slot="adhoc-bench-parked")
    parked_pool.start()
    try:
        yield parked_pool
    finally:
        parked_pool.close()


def delivery(version: Path, root: Path) -> float:
    """Return the milliseconds from the claim of a warm sandbox until its job is delivered."""
    session = start(_tree(version, root), Limits(), slot="adhoc-bench")
    submission = Submission(mode="run", files=(), entry="main.js")
    return session.deliver(submission, Limits()).setup_ms


def _tree(version: Path, root: Path | None) -> Tree:
    return Tree(
        root=root or version / "tree",
        cache=version / "cache",
        links=bare.LINKS,
        command=("bin/node", "-e", IDLE),
        env={},
    )


def sandboxed(profile: Profile) -> float:
    """Return the milliseconds of a sandbox until its program has ended."""
    began = time.perf_counter()
    container = launch(
        profile, _shares(), slot="adhoc-bench", startup_ms=Limits().startup_ms, channel=False
    )
    container.child.dead(10)
    took = (time.perf_counter() - began) * 1000
    container.close()
    return took


def _shares() -> Shares:
    limits = Limits()
    return Shares(memory_bytes=limits.memory_bytes, processes=limits.processes)


def pairs(
    count: int, ours: Callable[[], float], other: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Return `count` samples of each, taken in turns, after one of each that is not counted."""
    both = [(ours(), other()) for _ in range(count + 1)][1:]
    return [mine for mine, _ in both], [theirs for _, theirs in both]


def set_up_by_size(installation: Installation, size: Size) -> Iterator[Row]:
    """Measure set-up with a large template beside a small one."""
    with (
        tempfile.TemporaryDirectory(dir=installation.data, prefix="bench-") as folder,
        parked() as parked_pool,
    ):
        cold = partial(set_up, parked_pool=parked_pool)
        roots = [
            _tree_of(installation.version, Path(folder, str(count)), count) for count in size.files
        ]
        trees = f"a tree of {size.files[1]:,} files beside one of {size.files[0]:,}"
        for name, measured in (("warm set-up", delivery), ("cold set-up", cold)):
            small, large = (partial(measured, installation.version, root) for root in roots)
            samples = pairs(size.samples, large, small)
            yield share(f"{name}, {trees}", *samples, most=1.2)


def _tree_of(version: Path, root: Path, count: int) -> Path:
    """Make a tree with the template's Node and `count` files in folders of 100."""
    (root / "bin").mkdir(parents=True)
    (root / "bin/node").hardlink_to((version / "tree/bin/node").resolve())
    for number in range(count - 1):
        path = root / f"node_modules/p{number // 100}/{number % 100}.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return root


def set_up_against_copies(installation: Installation, size: Size) -> Iterator[Row]:
    """Measure set-up beside a copy and an installation, which it replaces."""
    version = installation.version

    def ours(parked_pool: ParkedPool | None) -> float:
        os.sync()  # do not measure the writes that the earlier copy left
        return set_up(version, parked_pool=parked_pool)

    def copied() -> float:
        return bare.copied(version / "tree")

    count = min(size.samples, 5)
    with parked() as parked_pool, tempfile.TemporaryDirectory(prefix="stencil-bench-npm-") as cache:
        samples = pairs(count, partial(ours, parked_pool), copied)
        yield faster("cold set-up beside `cp -a node_modules`", *samples, least=20)
        installed = partial(bare.installed, version, Path(cache))
        samples = pairs(min(size.samples, 3), partial(ours, parked_pool), installed)
        yield faster("cold set-up beside `npm ci`, full cache", *samples, least=500)
    row = faster(UNPARKED, *pairs(count, partial(ours, None), copied), least=0)
    yield replace(row, must="–", holds=None)


def vitest(installation: Installation, size: Size) -> Iterator[Row]:
    """Measure one client's tests over HTTP, warm and cold, beside bare vitest."""

    def other() -> float:
        return bare.node(installation.version / "tree", SUITE, bare.VITEST)

    samples = pairs(size.samples, lambda: warm(installation, "test", SUITE), other)
    yield faster("vitest over HTTP, warm, beside `vitest run`", *samples, least=10)
    samples = pairs(size.samples, lambda: installation.submit("test", SUITE, **COLD)[0], other)
    yield share("the same, cold", *samples, most=0.9)


def warm(installation: Installation, mode: str, files: dict[str, str], **more: str) -> float:
    """Return the milliseconds of one submission that got a warm sandbox."""
    for _ in range(20):
        time.sleep(REFILL_SECONDS)
        took, reply = installation.submit(mode, files, **more)
        if reply["timings"]["warm"]:
            return took
    raise RuntimeError("no warm sandbox in 20 tries")


def programs(installation: Installation, size: Size) -> Iterator[Row]:
    """Measure programs over HTTP beside bare Node."""
    for (language, (name, text)), most in zip(PROGRAMS.items(), (1.0, 0.4), strict=True):
        samples = pairs(
            size.samples,
            partial(warm, installation, "run", {name: text}, entry=name),
            partial(bare.node, installation.version / "tree", {name: text}, (f"src/{name}",)),
        )
        yield share(f"{language} over HTTP beside `node {name}`", *samples, most=most)


def burst(installation: Installation, size: Size) -> Iterator[Row]:
    """Measure throughput and CPU of many submissions at a time."""
    count, cores = size.burst, len(os.sched_getaffinity(0))
    cpu = installation.cpu_ms()
    began = time.perf_counter()
    with ThreadPoolExecutor(size.clients) as crowd:
        list(crowd.map(lambda _: installation.submit("test", SUITE), range(count)))
    ours = count / (time.perf_counter() - began)
    time.sleep(3)  # used warm sandboxes are replaced: their CPU time counts
    our_cpu = (installation.cpu_ms() - cpu) / count + sandbox_cpu(
        installation, min(size.samples, 5)
    )
    began, cpu = time.perf_counter(), _children_ms()
    with ThreadPoolExecutor(cores) as crowd:
        tree = installation.version / "tree"
        list(crowd.map(lambda _: bare.node(tree, SUITE, bare.VITEST), range(count)))
    other, other_cpu = count / (time.perf_counter() - began), (_children_ms() - cpu) / count
    measure = f"{count} vitest submissions from {size.clients} clients, beside {cores} bare at once"
    yield _throughput(measure, ours, other)
    yield share("CPU of one of them, warming included", [our_cpu], [other_cpu], most=0.8)


def disk(installation: Installation, size: Size) -> Row:
    """Count the files that many executions leave on the disk."""
    name, text = PROGRAMS["JavaScript"]
    before = left(installation.data)
    with ThreadPoolExecutor(size.clients) as crowd:
        list(
            crowd.map(
                lambda _: installation.submit("run", {name: text}, entry=name), range(size.disk)
            )
        )
    more = left(installation.data) - before
    return Row(
        measure=f"files left by {size.disk:,} executions, beyond their rows",
        ours=str(more),
        other="–",
        ratio="–",
        must="0",
        holds=more <= 0,
    )


def sandbox_cpu(installation: Installation, samples: int) -> float:
    """Return the CPU milliseconds of one warm sandbox and its job, from its control group.

    bubblewrap does not wait for its sandbox, so the CPU time counts for no parent.
    """
    inputs = definition_file.read_kept(installation.version / "inputs")
    runtime = runtimes.make_runtime(inputs, installation.version)
    files = tuple(SourceFile(path=path, content=text.encode()) for path, text in SUITE.items())
    submission = Submission(mode="test", files=files, pattern=runtime.pattern)
    used = []
    for _ in range(samples):
        session = start(runtime.tree("test"), runtime.default, slot="adhoc-bench")
        outcome = session.deliver(submission, runtime.default)
        used.append(session.setup_cpu_ms + outcome.usage.cpu_ms)
    return statistics.median(used)


def _throughput(measure: str, ours: float, other: float) -> Row:
    row = share(measure, [ours], [other], most=0, unit="/s")
    return replace(row, must="≥ 1.2×", holds=ours / other >= 1.2)


def _children_ms() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def left(data: Path) -> int:
    """Return the number of files and folders in the data directory, without the database."""
    return sum(1 for path in data.rglob("*") if not path.name.startswith("db.sqlite3"))


def isolation(size: Size) -> Iterator[Row]:
    """Measure the cost of isolation with the smallest program."""
    inside = Profile(command=("/usr/bin/true",), directory="/", environment={})
    alone = [bubblewrap_path(), "--ro-bind", "/", "/", "--unshare-all", "/usr/bin/true"]
    here = Path("/")
    for name, argv in (("bare", ["true"]), ("bubblewrap alone", alone)):
        samples = pairs(
            size.samples,
            lambda: sandboxed(inside),
            partial(bare.timed, argv, here),
        )
        row = share(f"`true` in a complete sandbox, beside {name}", *samples, most=0)
        yield replace(row, must="–", holds=None)
