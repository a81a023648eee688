"""Check that installing packages leaves the earlier files of a tree unchanged.

A wheel can have files for any folder below the prefix (`.data/data`, `.data/scripts`). An install
script can write in the whole tree: it can replace the runner, the interpreter or another package.
The checks compare the tree before and after, and reject a change with the name of the package.
"""

import csv
import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

from sandbox.isolation import profile
from templatemgr.builders.base import Job
from templatemgr.builders.interpreter import SITE, STDLIB
from templatemgr.errors import BuildError

Marks = Mapping[str, tuple[str, int, str]]  # path → kind, mode, digest or link target
SHOWN = 5
REMEDY = "Do not trust this package: use another version, or remove it."
# Folders below the prefix in which wheels may put files, besides site-packages.
DATA = ("share", "etc", "include")
_STARTING = re.compile(r"(sitecustomize|usercustomize)(\.|$)")
# Python's site module decodes a .pth file in several ways, so a file of paths has only these.
_PATH = re.compile(r"[A-Za-z0-9_.+-][A-Za-z0-9_.+/ -]*")
MAX_PTH = 64 * 1024
_PROGRAM = re.compile(r"python[\d.]*|node|npm|npx|pyvenv\.cfg|.*\._pth")


def look(tree: Path, *, beside: str = "") -> Marks:
    """Return the entries of a tree that are not folders, by relative path. Follow no link.

    Skip the top folder that `beside` names.
    """
    found: dict[str, tuple[str, int, str]] = {}
    for folder, folders, names in os.walk(tree):
        if beside and folder == str(tree) and beside in folders:
            folders.remove(beside)
        linked = [name for name in folders if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114
        for name in (*names, *linked):
            path = Path(folder, name)
            info = path.lstat()
            kind, said = "other", ""
            if stat.S_ISLNK(info.st_mode):
                kind, said = "link", os.readlink(path)  # noqa: PTH115 - bytes as they are
            elif stat.S_ISREG(info.st_mode):
                with path.open("rb") as file:
                    kind, said = "file", hashlib.file_digest(file, "sha256").hexdigest()
            mode = stat.S_IMODE(info.st_mode) & 0o111  # sealing sets the other bits
            found[path.relative_to(tree).as_posix()] = (kind, mode if kind == "file" else 0, said)
    return found


def check_wheels(job: Job, before: Marks) -> None:
    """Raise BuildError if a wheel changed an earlier file or added a file that is not allowed."""
    after = look(job.tree)
    changed = sorted(path for path, mark in before.items() if after.get(path) != mark)
    if changed:
        _refuse(job.tree, changed, "replaces files that are not its own")
    fresh = sorted(after.keys() - before.keys())
    odd = [path for path in fresh if not _may_bring(path) or after[path][0] == "other"]
    if odd:
        _refuse(job.tree, odd, "has a file for a folder outside of the packages")
    led = [path for path in fresh if after[path][0] == "link" and not _leads_inside(path, after)]
    if led:
        _refuse(job.tree, led, "has a link that leaves the tree")
    _check_starts(job, fresh)


def check_scripts(job: Job, before: Marks, own: Iterable[str]) -> None:
    """Raise BuildError if install scripts changed files outside of the `own` folders."""
    after, folders = look(job.tree), tuple(f"{folder}/" for folder in own)
    changed = sorted(
        path
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path)
        and not path.startswith(folders)
        # No package can have a name with a leading dot: only tools keep files there.
        and not (path.startswith("node_modules/.") and path not in before)
        and path != "node_modules/.package-lock.json"
    )
    if changed:
        names = ", ".join(job.definition.install_scripts)
        message = f"An install script of {names} changed other files: {_listed(changed)}."
        raise BuildError(message, step="installing", remedy=REMEDY)


def check_files(job: Job, before: Marks) -> None:
    """Raise BuildError if fetching changed a file of the tree outside of node_modules."""
    after = look(job.tree, beside="node_modules")
    changed = sorted(path for path, mark in before.items() if after.get(path) != mark)
    changed += sorted(after.keys() - before.keys())
    if changed:
        message = f"Fetching changed files of the definition: {_listed(changed)}."
        raise BuildError(message, step="fetching", remedy=REMEDY)


def _may_bring(path: str) -> bool:
    """Return whether a wheel may put a file at this relative path."""
    place = PurePosixPath(path)
    if path.startswith(f"{SITE}/"):
        return True
    if place.parts[0] == "bin":
        name = place.name
        usual = len(place.parts) == 2 and not _PROGRAM.fullmatch(name)
        return usual and name not in profile.TOOLS
    if place.parts[0] == "lib":  # STDLIB precedes site-packages in sys.path
        return len(place.parts) > 2 and not path.startswith(f"{STDLIB}/")
    return place.parts[0] in DATA


def _leads_inside(path: str, after: Marks) -> bool:
    target = after[path][2]
    whole = os.path.normpath(f"{PurePosixPath(path).parent}/{target}")
    return not target.startswith("/") and not whole.startswith("..")


def _check_starts(job: Job, fresh: Iterable[str]) -> None:
    """Reject files that run code at every start of Python, except those of allowed packages."""
    allowed = {re.sub(r"[-_.]+", "-", name).lower() for name in job.start_files}
    site = job.tree / SITE
    listed = {file.name: _paths(file) for file in site.glob("*.pth")}
    roots = {PurePosixPath(), *(root for paths in listed.values() for root in paths or ())}
    for path in fresh:
        inside = path.removeprefix(f"{SITE}/")
        starting = _at_start(PurePosixPath(inside), roots) or (
            "/" not in inside and inside.endswith((".pth", ".start")) and listed.get(inside) is None
        )
        if not starting or not path.startswith(f"{SITE}/"):
            continue
        owner = _owner(job.tree, path)
        if owner in allowed:
            job.log("build", f"{owner} runs code when Python starts ({inside}): allowed.")
            continue
        message = f"{owner or 'A package'} would run code in every sandbox, before the runner: "
        remedy = (
            f"Use another version, or remove it. The operator of Stencil can allow it: "
            f"STENCIL_START_FILES={owner or 'name'}."
        )
        raise BuildError(f"{message}{inside}.", step="installing", remedy=remedy)


def _at_start(path: PurePosixPath, roots: Collection[PurePosixPath]) -> bool:
    """Return whether a file belongs to a module that Python imports at its start.

    `roots` are the folders that are searched, relative to site-packages.
    """
    return any(
        _STARTING.match(part) and PurePosixPath(*path.parts[:index]) in roots
        for index, part in enumerate(path.parts)
    )


def _paths(file: Path) -> list[PurePosixPath] | None:
    """Return the folders below its own that a .pth file names; None if it can do more than that.

    The format is that of Python's module site, which runs the lines that begin with `import`.
    """
    if file.is_symlink() or not file.is_file() or file.stat().st_size > MAX_PTH:
        return None
    try:
        text = file.read_bytes().decode("ascii")
    except UnicodeDecodeError:
        return None
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    safe = all(
        _PATH.fullmatch(line)
        and not line.startswith("import ")
        and ".." not in PurePosixPath(line).parts
        for line in lines
    )
    return [PurePosixPath(line.rstrip()) for line in lines] if safe else None


def _refuse(tree: Path, paths: list[str], what: str) -> None:
    owners = sorted(filter(None, {_owner(tree, path) for path in paths[:SHOWN]}))
    who = ", ".join(owners) or "A package"
    raise BuildError(f"{who} {what}: {_listed(paths)}.", step="installing", remedy=REMEDY)


def _listed(paths: list[str]) -> str:
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return f"{', '.join(path[:200] for path in paths[:SHOWN])}{more}"


def _owner(tree: Path, path: str) -> str:
    """Return the package whose RECORD names a file; "" if there is none."""
    for record in sorted(tree.glob(f"{SITE}/*.dist-info/RECORD")):
        with record.open(encoding="utf-8", errors="replace", newline="") as file:
            for row in csv.reader(file):
                if row and os.path.normpath(f"{SITE}/{row[0]}") == path:
                    name = record.parent.name.removesuffix(".dist-info").partition("-")[0]
                    return re.sub(r"[-_.]+", "-", name).lower()
    return ""
