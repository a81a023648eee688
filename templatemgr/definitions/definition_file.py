"""Strict reader of definitions: `template.toml` and the files beside it.

Unknown keys, missing files and paths that leave the folder raise `DefinitionError`, with file,
line, key, reason and remedy. `read` is for definitions before a build: it also checks each file
that a tool reads with the strict reader of its format. `read_kept` is for the inputs of existing
versions, which are not screened again.
"""

import re
from collections.abc import Collection
from pathlib import Path

from sandbox.limits import Limits
from templatemgr.definitions import native, screening, smoke, variables
from templatemgr.definitions.definition import BUILDERS, LIMITS, Definition, Mode
from templatemgr.definitions.readers import Rules
from templatemgr.definitions.smoke import SmokeCase
from templatemgr.definitions.source_files import FILE, check_sizes, explained, include, locate
from templatemgr.definitions.toml import MAX_BYTES, Table, TomlError, load

FORMAT = 1
MODES = smoke.MODES
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")


def read(root: Path, rules: Rules | None = None, *, without: Collection[str] = ()) -> Definition:
    """Read and check a definition before a build. Raises DefinitionError.

    `rules` are set by the operator; by default only the registry is allowed. `without` names locks
    that the build writes again before any tool reads them: their content is not checked.
    """
    check_sizes(root)
    definition = _load(root, MAX_BYTES)
    screening.check(definition, rules or Rules(), without=without)
    return definition


def read_kept(root: Path) -> Definition:
    """Read the kept inputs of an existing version. Raises DefinitionError if they are incomplete.

    The additional checks of `read` apply only when a build starts from these inputs.
    """
    return _load(root, None)


def _load(root: Path, largest: int | None) -> Definition:
    try:
        return _read(root, load(root / FILE, largest), largest)
    except TomlError as error:
        raise explained(root, error) from error


def _read(root: Path, table: Table, largest: int | None) -> Definition:
    if table.number("format") != FORMAT:
        table.fail("format", f"this release reads format {FORMAT}")
    name = table.text("name")
    if not NAME.fullmatch(name):
        table.fail("name", "use lower-case letters, digits and '-', beginning with a letter")
    if root.name not in (name, "inputs"):
        table.fail("name", f"must be the folder's name, {root.name!r}")
    default, maximum = _limits(table)
    cases = smoke.read(root, table, largest)
    files = _files(root, table)
    modes = _modes(table)
    definition = Definition(
        root=root,
        name=name,
        title=table.text("title"),
        builder=table.choice("builder", BUILDERS),
        summary=table.text("summary", ""),
        links=_links(table),
        files=files,
        install_scripts=table.texts("install_scripts", ()),
        prune=table.paths("prune", ()),
        toolchain=_toolchain(table),
        native=native.read(table, files),
        env=_env(table),
        variables=variables.read(table),
        modes=modes,
        forks=_forks(table, modes),
        default=default,
        maximum=maximum,
        cache_submissions=_cache_submissions(table, cases),
        smoke=cases,
    )
    table.done()
    return definition


def _files(root: Path, table: Table) -> tuple[str, ...]:
    """Return the listed files, then every file of the included folders."""
    files, included = table.paths("files"), include(root, table)
    for file in files:
        if not (root / file).is_file():
            table.fail("files", f"{file!r} is missing")
        if (root / file).is_symlink():
            table.fail("files", f"{file!r} is a link")
        if file.split("/")[0] in included:
            table.fail("files", f"{file!r} is included already")
    known = locate(root)
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


def _forks(table: Table, modes: Collection[str]) -> tuple[str, ...]:
    part = table.table("fork")
    if part is None:
        return ()
    forks = part.texts("modes")
    for name in forks:
        if name not in modes:
            part.fail("modes", f"this definition has no mode {name!r}")
    part.done()
    return forks


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


def _cache_submissions(table: Table, cases: tuple[SmokeCase, ...]) -> tuple[str, ...]:
    part = table.table("cache")
    if part is None:
        return ()
    wanted = part.texts("submissions", ())
    known = {case.name for case in cases}
    for name in wanted:
        if name not in known:
            part.fail("submissions", f"there is no smoke case {name!r}")
    part.done()
    return wanted
