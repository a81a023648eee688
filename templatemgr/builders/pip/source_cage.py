"""Build one source distribution in a cage without network, and check the files that it leaves.

The cage has a folder for this package alone, the archive, and the wheels that the build requires.
Each task gets a new folder, so that a build from a lock sees the same files as the first build. The
author's code writes in that folder, so its files are not trusted: only regular files are read, and
answers only up to MAX_ANSWER bytes.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from templatemgr import store
from templatemgr.builders.base import Job
from templatemgr.builders.pip import build_source, pip_cage, pip_lockfile
from templatemgr.builders.pip.pip_lockfile import Pin
from templatemgr.errors import BuildError

ARCHIVE, ENV, TOOLS = "/source.tar.gz", "/build/env", "tools.txt"
MAX_ANSWER = 1 << 20
WALL_MS = pip_cage.WALL_MS
EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
COMPILED = (
    "It has parts in C or another compiled language, and there is no compiler in a build: take a "
    "version that has wheels."
)
REMEDIES = {
    r"Python\.h|(command|directory:) '[^' ]*(cc|\+\+|clang)'": COMPILED,
    r"(?i)compiler  … (?i)not found|cannot be found|unknown": COMPILED,
    r"ModuleNotFoundError|BackendUnavailable": "Its pyproject.toml does not name all that its "
    "build imports: take another version, or one that has wheels.",
    r"Network is unreachable|Temporary failure in name resolution|Connection refused|URLError": "A "
    "build has no network, and this one needs it: use another version, or one that has wheels.",
    r"Read-only file system": "Its build writes outside of its own folder: take another version, "
    "or one that has wheels.",
    **pip_cage.REMEDIES,
}


def declared(job: Job, name: str, archive: Path) -> list[str]:
    """Return the build requirements in the archive's pyproject.toml; run no code of the archive.

    Raises BuildError.
    """
    return _answer(name, _run(job, name, archive, "declared", _fresh(job, name)))


def backend_requirements(job: Job, name: str, archive: Path, build: Mapping[str, Pin]) -> list[str]:
    """Return the further build requirements of the backend (PEP 517: get_requires_for_build_wheel).

    Run the backend with the wheels of `build`. Raises BuildError.
    """
    return _answer(name, _run(job, name, archive, "backend", _equipped(job, name, build)))


def build(job: Job, name: str, version: str, archive: Path, tools: Mapping[str, Pin]) -> str:
    """Build the wheel, copy it into the folder of wheels, and return the text of its METADATA.

    `tools` are the packages that the build requires. Raises BuildError.
    """
    job.log("build", f"Building {name} {version} from its source distribution, without a network.")
    folder = _run(job, name, archive, "wheel", _equipped(job, name, tools))
    left = _built(name, version, folder)
    with _opened(name, left) as source:
        target = job.workspace / "wheels" / left.name
        with target.open("wb") as file:
            shutil.copyfileobj(source, file)
        target.chmod(0o644)
    return _text(name, folder / "metadata.txt")


def wheel(job: Job, name: str, version: str) -> Pin:
    """Return the pin of the wheel that `build` made. Raises BuildError if there is none."""
    for path in (job.workspace / "wheels").glob("*.whl"):
        if _is(path.name, name, version):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Pin(version=version, hashes=frozenset({digest}))
    raise _trouble(name, "its wheel is gone")


def stand_in(folder: Path, name: str, version: str, needs: tuple[str, ...]) -> str:
    """Write a wheel that has only a package's metadata into a folder; return its file name."""
    stem = f"{name.replace('-', '_')}-{Version(version)}"
    extras = sorted({extra for text in needs for extra in EXTRA.findall(text)})
    fields = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    fields += [f"Provides-Extra: {extra}" for extra in extras]
    fields += [f"Requires-Dist: {text}" for text in needs]
    tags = ("Wheel-Version: 1.0", "Root-Is-Purelib: true", "Tag: py3-none-any")
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(f"{stem}.dist-info/METADATA", "\n".join([*fields, ""]))
        packed.writestr(f"{stem}.dist-info/WHEEL", "\n".join([*tags, ""]))
        packed.writestr(f"{stem}.dist-info/RECORD", "")
    path.chmod(0o644)
    return path.name


def _fresh(job: Job, name: str) -> Path:
    """Return a new, empty folder for a task of this package."""
    folder = job.workspace / "building" / name
    store.remove(folder)
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    return folder


def _equipped(job: Job, name: str, tools: Mapping[str, Pin]) -> Path:
    """Return a new folder in which pip has installed the build requirements, without their code."""
    folder = _fresh(job, name)
    (pip_cage.show(job) / TOOLS).write_text(pip_lockfile.requirements(tools), encoding="utf-8")
    where = ("--no-index", "--find-links", "/wheels", "--target", ENV)
    how = ("--require-hashes", "--no-deps", "--no-compile", "--no-warn-script-location")
    argv = (*pip_cage.program(pip_cage.TREE), "install", *where, *how, "-r", f"/wheels/{TOOLS}")
    if tools:
        pip_cage.offline(job, argv, f"installing the build requirements of {name}", writable=folder)
    return folder


def _run(job: Job, name: str, archive: Path, task: str, folder: Path) -> Path:
    """Run a task of build_source.py in a cage; return the folder. Raises BuildError."""
    archive.chmod(0o644)
    script = Path(build_source.__file__).resolve()
    shown = f"{pip_cage.TOOLCHAIN}/{script.name}"
    python = (f"{pip_cage.TREE}/bin/python", "-B", "-P", "-s")
    pip_cage.offline(
        job,
        (*python, shown, task, "/build", ARCHIVE),
        f"the build of {name}",
        writable=folder,
        shown=((archive, ARCHIVE), (script, shown)),
        env={"PYTHONPATH": ENV, "PATH": f"{pip_cage.TREE}/bin:{ENV}/bin:/usr/bin:/bin"},
        remedies=REMEDIES,
        wall_ms=WALL_MS,
    )
    return folder


def _answer(name: str, folder: Path) -> list[str]:
    """Read requirements.json. Raises BuildError unless it is a list of strings."""
    try:
        found = json.loads(_text(name, folder / "requirements.json"))
    except ValueError as error:
        raise _trouble(name, f"its answer is not JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise _trouble(name, "its answer is not a list of texts")
    return found


def _built(name: str, version: str, folder: Path) -> Path:
    """Return the only file in `out`. Raises BuildError unless it is named as this wheel."""
    out = folder / "out"
    if out.is_symlink() or not out.is_dir():
        raise _trouble(name, "it left no folder of wheels")
    found = sorted(path.name for path in out.iterdir())
    if len(found) != 1 or not _is(found[0], name, version):
        left = ", ".join(found) or "nothing"
        raise _trouble(name, f"it should leave a wheel of {name} {version} and left {left}")
    return out / found[0]


def _is(file: str, name: str, version: str) -> bool:
    """Return whether a file name is that of a wheel of this package and version."""
    try:
        found = parse_wheel_filename(file)
        return found[0] == name and found[1] == Version(version)
    except (InvalidWheelFilename, InvalidVersion):
        return False


def _opened(name: str, path: Path) -> BinaryIO:
    """Open a file that foreign code left. Raises BuildError unless it is a regular file.

    Follow no link, and do not wait for the other end of a pipe.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _trouble(name, f"{path.name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _trouble(name, f"{path.name} is not a file")
    return os.fdopen(descriptor, "rb")


def _text(name: str, path: Path) -> str:
    """Read a file that foreign code left. Raises BuildError above MAX_ANSWER bytes."""
    with _opened(name, path) as file:
        content = file.read(MAX_ANSWER + 1)
    if len(content) > MAX_ANSWER:
        raise _trouble(name, f"{path.name} is larger than {MAX_ANSWER} bytes")
    return content.decode("utf-8", "replace")


def _trouble(name: str, what: str) -> BuildError:
    return BuildError(f"The result of building {name} is refused: {what}.", step="installing")
