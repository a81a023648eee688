"""Smoke cases: submissions with expected outcomes, which every build runs before it publishes."""

from dataclasses import dataclass
from pathlib import Path

from sandbox.session.outcome import Outcome, State
from sandbox.session.runner_messages import TestReport
from sandbox.session.sessions import SourceFile, Submission
from templatemgr.definitions.toml import Table, load
from templatemgr.trees import foreign

MODES = ("run", "test")
MAX_SOURCE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """The expected outcome of a smoke case. A field that is None is not compared."""

    state: str
    exit_code: int | None = None
    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    stdout: str | None = None

    def mismatches(self, outcome: Outcome) -> list[str]:
        """Return one sentence for each field that differs; an empty list if all fields match."""
        counts = outcome.report or TestReport(cases=(), errors=(), complete=False)
        pairs: tuple[tuple[str, object, object], ...] = (
            ("state", self.state, str(outcome.state)),
            ("exit_code", self.exit_code, outcome.exit_code),
            ("passed", self.passed, counts.passed),
            ("failed", self.failed, counts.failed),
            ("skipped", self.skipped, counts.skipped),
            ("stdout", self.stdout, outcome.stdout.data.decode("utf-8", "replace")),
        )
        return [
            f"{key}: expected {wanted!r}, got {got!r}"
            for key, wanted, got in pairs
            if wanted is not None and wanted != got
        ]


@dataclass(frozen=True, kw_only=True)
class SmokeCase:
    """A submission whose outcome every build must match before its version is published.

    A case with a title is also an example: the pages offer it to new users.
    """

    name: str
    title: str | None
    submission: Submission
    expect: Expectation


def read(root: Path, table: Table, largest: int | None = None) -> tuple[SmokeCase, ...]:
    """Return the smoke cases of the definition at `root`, sorted by name.

    `largest` is the maximum size of a `case.toml` in bytes (see `toml.load`). Raises TomlError.
    """
    folder = root / "smoke"
    folders = sorted(path for path in folder.iterdir()) if folder.is_dir() else []
    if not folders:
        table.fail("", "needs at least one smoke case: smoke/<case>/case.toml and its src/")
    return tuple(_case(path, largest) for path in folders)


def _case(folder: Path, largest: int | None) -> SmokeCase:
    table = load(folder / "case.toml", largest)
    mode = table.choice("mode", MODES)
    expect = table.table("expect")
    if expect is None:
        table.fail("expect", "is missing")
    submission = Submission(
        mode=mode,
        files=_sources(folder, table),
        entry=_entry(table),
        args=table.texts("args", ()),
        stdin=(table.text("stdin", "") or "").encode(),
    )
    case = SmokeCase(
        name=folder.name,
        title=table.text("title", None),
        submission=submission,
        expect=_expectation(expect),
    )
    table.done()
    return case


def _entry(table: Table) -> str | None:
    entry = table.text("entry", None)
    if entry is not None:
        table.check_path("entry", entry)
    return entry


def _sources(folder: Path, table: Table) -> tuple[SourceFile, ...]:
    root = folder / "src"
    if not root.is_dir():
        table.fail("", "needs a folder src/ beside it")
    found = sorted(path for path in root.rglob("*") if path.is_file())
    if not found:
        table.fail("", "needs at least one file under src/")
    return tuple(
        SourceFile(path=path.relative_to(root).as_posix(), content=_content(path, table))
        for path in found
    )


def _content(file: Path, table: Table) -> bytes:
    try:
        return foreign.read_file(file, most=MAX_SOURCE_BYTES)
    except (OSError, ValueError) as error:
        table.fail("", f"src/{file.name} cannot be read: {foreign.reason(error)}")


def _expectation(table: Table) -> Expectation:
    expectation = Expectation(
        state=table.choice("state", tuple(str(state) for state in State)),
        exit_code=table.number("exit_code", None),
        passed=table.number("passed", None),
        failed=table.number("failed", None),
        skipped=table.number("skipped", None),
        stdout=table.text("stdout", None),
    )
    table.done()
    return expectation
