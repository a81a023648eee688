"""Definitions: `template.toml` and the files beside it, read strictly.

An unknown key, a missing file, a path that leaves the folder: `DefinitionError`, which names the
file, the key and the reason. The same reader serves the definition folder and the inputs that
each version keeps.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.limits import Limits, Outcome, State
from sandbox.reports import TestReport
from sandbox.runner import SourceFile, Submission
from sandbox.variables import Variables
from templatemgr import variables
from templatemgr.errors import TemplateError
from templatemgr.toml import Table, TomlError, load

FORMAT = 1
FILE = "template.toml"
BUILDERS = ("npm", "pip")
MODES = ("run", "test")
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
SHARED = re.compile(r"_[a-z][a-z0-9-]{0,62}")
LIMITS = ("wall_ms", "cpu_ms", "memory_bytes", "disk_bytes", "output_bytes", "processes")


class DefinitionError(TemplateError):
    """A definition is wrong."""

    code = "invalid_definition"

    def __init__(self, file: str, key: str, reason: str) -> None:
        message = f"{file}: {key}: {reason}" if key else f"{file}: {reason}"
        super().__init__(message, file=file, key=key, reason=reason)
        self.file, self.key, self.reason = file, key, reason


@dataclass(frozen=True, kw_only=True)
class Mode:
    """How a mode starts: a command relative to the tree, and what it looks for."""

    command: tuple[str, ...]
    entry: str | None = None
    pattern: str | None = None


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What a smoke case must come to. None: not looked at."""

    state: str
    exit_code: int | None = None
    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    stdout: str | None = None

    def mismatches(self, outcome: Outcome) -> list[str]:
        """Return a sentence for each way the outcome differs; none when it is as expected."""
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
    """A submission that every build must run as expected before its version exists.

    One with a title is an example, too: it is offered to people who begin.
    """

    name: str
    title: str | None
    submission: Submission
    expect: Expectation


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A whole definition, checked. Paths are relative to `root`, or to the tree made from it."""

    root: Path
    name: str
    title: str
    builder: str
    summary: str
    links: tuple[str, ...]
    files: tuple[str, ...]
    install_scripts: tuple[str, ...]
    prune: tuple[str, ...]
    toolchain: Mapping[str, str]
    env: Mapping[str, str]
    variables: Variables
    modes: Mapping[str, Mode]
    default: Limits
    maximum: Limits
    cache_submissions: tuple[str, ...]
    smoke: tuple[SmokeCase, ...]


def read(root: Path) -> Definition:
    """Read and check the definition in a folder. Raises DefinitionError."""
    try:
        return _read(root, load(root / FILE))
    except TomlError as error:
        raise DefinitionError(_shown(root, error.file), error.key, error.reason) from error


def names(folder: Path) -> list[str]:
    """Return the names of the definitions in a folder, sorted. A missing folder has none.

    A folder whose name begins with `_` is shared by definitions and is none itself.
    """
    if not folder.is_dir():
        return []
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith("_"))
    return sorted(entry.name for entry in entries if (entry / FILE).is_file())


def digest(root: Path) -> str:
    """Return the hex SHA-256 over every file of a definition: path, size and bytes.

    Names beginning with `.` count, `__pycache__` and the like do not occur: folders are data.
    """
    total = hashlib.sha256(b"stencil-definition-1\n")
    for path, file in sources(root).items():
        content = file.read_bytes()
        total.update(f"{len(path.encode())}:{path}:{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()


def input_files(root: Path) -> list[str]:
    """Return the relative paths of every file of a definition, sorted by bytes.

    Raises DefinitionError for a link or a special file: inputs are copied, never followed.
    """
    return list(sources(root))


def sources(root: Path) -> dict[str, Path]:
    """Return where each file of a definition lies, by its relative path, sorted by bytes.

    What a definition includes lies in a folder beside it, under the same name; or inside of it, as
    in the inputs that a version keeps, which need nothing else. Raises DefinitionError.
    """
    found = _below(root)
    for name in _included(root):
        if not (root / name).is_dir():
            folder = root.parent / name
            found |= {f"{name}/{path}": file for path, file in _below(folder, name).items()}
    return dict(sorted(found.items(), key=lambda item: item[0].encode()))


def _below(folder: Path, shown: str = "") -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in folder.rglob("*"):
        relative = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            place = Path(shown, relative).as_posix()
            raise DefinitionError(place, "", "only plain files and folders are allowed")
        if path.is_file() and not _ignored(relative):
            found[relative] = path
    return found


def _included(root: Path) -> tuple[str, ...]:
    """Return the shared folders that a definition names. Raises DefinitionError."""
    try:
        return _include(root, load(root / FILE))
    except TomlError as error:
        raise DefinitionError(_shown(root, error.file), error.key, error.reason) from error


def _include(root: Path, table: Table) -> tuple[str, ...]:
    names = table.texts("include", ())
    for name in names:
        if not SHARED.fullmatch(name):
            table.fail("include", f"{name!r} is not the name of a shared folder, like '_node'")
        place = next((p / name for p in (root, root.parent) if (p / name).is_dir()), None)
        if place is None:
            table.fail("include", f"there is no folder {name!r} beside the definition")
        if place.is_symlink():
            table.fail("include", f"{name!r} is a link")
        if not any(place.iterdir()):
            table.fail("include", f"{name!r} is empty")
        if names.count(name) > 1:
            table.fail("include", f"{name!r} is listed twice")
    return names


def _ignored(path: str) -> bool:
    """Whether a path is what a tool leaves in a checkout, and no part of the definition."""
    return path.split("/")[0] == "node_modules"


def _shown(root: Path, file: Path) -> str:
    return file.relative_to(root.parent).as_posix()


def _read(root: Path, table: Table) -> Definition:
    if table.number("format") != FORMAT:
        table.fail("format", f"this release reads format {FORMAT}")
    name = table.text("name")
    if not NAME.fullmatch(name):
        table.fail("name", "use lower-case letters, digits and '-', beginning with a letter")
    if root.name not in (name, "inputs"):
        table.fail("name", f"must be the folder's name, {root.name!r}")
    default, maximum = _limits(table)
    smoke = _smoke(root, table)
    definition = Definition(
        root=root,
        name=name,
        title=table.text("title"),
        builder=table.choice("builder", BUILDERS),
        summary=table.text("summary", ""),
        links=_links(table),
        files=_files(root, table),
        install_scripts=table.texts("install_scripts", ()),
        prune=table.paths("prune", ()),
        toolchain=_toolchain(table),
        env=_env(table),
        variables=variables.read(table),
        modes=_modes(table),
        default=default,
        maximum=maximum,
        cache_submissions=_cache_submissions(table, smoke),
        smoke=smoke,
    )
    table.done()
    return definition


def _files(root: Path, table: Table) -> tuple[str, ...]:
    """Return what is listed, and all that is included."""
    files, included = table.paths("files"), _include(root, table)
    for file in files:
        if not (root / file).is_file():
            table.fail("files", f"{file!r} is missing")
        if (root / file).is_symlink():
            table.fail("files", f"{file!r} is a link")
        if file.split("/")[0] in included:
            table.fail("files", f"{file!r} is included already")
    known = sources(root)
    return (*files, *(path for path in known if path.split("/")[0] in included))


def _links(table: Table) -> tuple[str, ...]:
    links = table.paths("links")
    if any(link.split("/")[0] == "src" for link in links):
        table.fail("links", "'src' is where the submission's own files go")
    return links


def _env(table: Table) -> dict[str, str]:
    env = table.mapping("env")
    for name in env:
        if not name or "=" in name:
            table.fail("env", f"{name!r} cannot be the name of a variable")
    return env


def _toolchain(table: Table) -> dict[str, str]:
    toolchain = table.mapping("toolchain")
    for link, target in toolchain.items():
        table.check_path("toolchain", link)
        table.check_path("toolchain", target)
    return toolchain


def _modes(table: Table) -> dict[str, Mode]:
    modes: dict[str, Mode] = {}
    for name in MODES:
        part = table.table(name)
        if part is None:
            continue
        command = part.texts("command")
        if not command:
            part.fail("command", "must not be empty")
        part.check_path("command", command[0])
        if command[-1] != name:
            part.fail("command", f"must end with the mode, {name!r}")
        entry = part.text("entry", None) if name == "run" else None
        pattern = part.text("pattern", None) if name == "test" else None
        if entry is not None:
            part.check_path("entry", entry)
        modes[name] = Mode(command=command, entry=entry, pattern=pattern)
        part.done()
    if not modes:
        table.fail("run", "give [run], [test] or both")
    return modes


def _limits(table: Table) -> tuple[Limits, Limits]:
    part = table.table("limits")
    if part is None:
        table.fail("limits", "is missing")
    default, maximum = _limit_set(part, "default"), _limit_set(part, "maximum")
    part.done()
    for key in LIMITS:
        if default[key] > maximum[key]:
            part.fail(f"default.{key}", f"{default[key]} is over the maximum, {maximum[key]}")
    return Limits(**default), Limits(**maximum)


def _limit_set(part: Table, name: str) -> dict[str, int]:
    table = part.table(name)
    if table is None:
        part.fail(name, "is missing")
    values = {key: table.number(key, least=1) for key in LIMITS}
    table.done()
    return values


def _cache_submissions(table: Table, smoke: tuple[SmokeCase, ...]) -> tuple[str, ...]:
    part = table.table("cache")
    if part is None:
        return ()
    wanted = part.texts("submissions", ())
    known = {case.name for case in smoke}
    for name in wanted:
        if name not in known:
            part.fail("submissions", f"there is no smoke case {name!r}")
    part.done()
    return wanted


def _smoke(root: Path, table: Table) -> tuple[SmokeCase, ...]:
    folder = root / "smoke"
    folders = sorted(path for path in folder.iterdir()) if folder.is_dir() else []
    if not folders:
        table.fail("", "needs at least one smoke case: smoke/<case>/case.toml and its src/")
    return tuple(_case(path) for path in folders)


def _case(folder: Path) -> SmokeCase:
    table = load(folder / "case.toml")
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
        SourceFile(path=path.relative_to(root).as_posix(), content=path.read_bytes())
        for path in found
    )


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
