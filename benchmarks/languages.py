"""Each language, warm and cold over HTTP, beside its bare tool, in turns."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks import bare
from benchmarks.installation import Installation
from benchmarks.measures import COLD, Size, pairs, warm
from benchmarks.table import Row, faster, share

JAVASCRIPT = {
    "sum.js": "export const sum = (a, b) => a + b;\n",
    "sum.test.js": (
        'import { expect, it } from "vitest";\nimport { sum } from "./sum";\n'
        'it("adds", () => { expect(sum(1, 2)).toBe(3); });\n'
        'it("adds again", () => { expect(sum(2, 2)).toBe(4); });\n'
    ),
}
PYTHON = {
    "total.py": "def total(numbers):\n    return sum(numbers)\n",
    "test_total.py": (
        "from total import total\n\n\ndef test_adds():\n    assert total([1, 2]) == 3\n\n\n"
        "def test_adds_again():\n    assert total([2, 2]) == 4\n"
    ),
}
PANDAS = "import pandas\nprint(pandas.Series([1, 2]).sum())\n"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One submission, and the command that does the same in a folder with its files in `src/`."""

    name: str
    template: str
    mode: str
    files: Mapping[str, str]
    argv: Sequence[str]
    links: Sequence[str] = ()
    least: float | None = None  # times faster than bare; None: use `most` instead
    most: float = 1.0  # part of bare's time


CASES = (
    Case(
        name="JavaScript's template: a program over HTTP, {} `node main.js`",
        template="javascript",
        mode="run",
        files={"main.js": "console.log(1 + 1);\n"},
        argv=("bin/node", "src/main.js"),
    ),
    Case(
        name="JavaScript's template: tests over HTTP, {} `vitest run`",
        template="javascript",
        mode="test",
        files=JAVASCRIPT,
        argv=("bin/node", "node_modules/.bin/vitest", "run"),
        links=("node_modules", "vitest.config.mjs"),
        least=10,
    ),
    Case(
        name="Python: a program over HTTP, {} `python -I main.py`",
        template="python",
        mode="run",
        files={"main.py": "print(1 + 1)\n"},
        argv=("bin/python", "-I", "src/main.py"),
    ),
    Case(
        name="Python: one with `import pandas`, {} `python -I main.py`",
        template="python",
        mode="run",
        files={"main.py": PANDAS},
        argv=("bin/python", "-I", "src/main.py"),
        least=5,
    ),
    Case(
        name="Python: tests over HTTP, {} `pytest`",
        template="python",
        mode="test",
        files=PYTHON,
        argv=("bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "src"),
        least=4,
    ),
)


def every(installation: Installation, size: Size) -> Iterator[Row]:
    """Yield the rows of all languages but TypeScript, which the other measures use."""
    for case in CASES:
        other = partial(
            alone, installation.data / "templates" / case.template / "current/tree", case
        )
        files = dict(case.files)
        ours = partial(warm, installation, case.mode, files, template=case.template)
        yield _warm(case, *pairs(size.samples, ours, other))
        cold = partial(_cold, installation, case)
        row = share(case.name.format("cold, beside"), *pairs(size.samples, cold, other), most=0)
        yield replace(row, must="–", holds=None)


def _warm(case: Case, ours: Sequence[float], other: Sequence[float]) -> Row:
    name = case.name.format("warm, beside")
    if case.least is not None:
        return faster(name, ours, other, least=case.least)
    return share(name, ours, other, most=case.most)


def _cold(installation: Installation, case: Case) -> float:
    files = dict(case.files)
    return installation.submit(case.mode, files, template=case.template, **COLD)[0]


def alone(tree: Path, case: Case) -> float:
    """Return the milliseconds of the same tree's bare tool, in a prepared workspace."""
    tree = tree.resolve()
    with tempfile.TemporaryDirectory(prefix="stencil-bench-") as folder:
        workspace = Path(folder)
        for name in case.links:
            (workspace / name).symlink_to(tree / name)
        (workspace / "src").mkdir()
        for path, content in case.files.items():
            (workspace / "src" / path).write_text(content)
        program, *rest = case.argv
        env = {"HOME": folder, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        return bare.timed([str(tree / program), *rest], workspace, env)
