"""pip in the build cage: wheels by hash with network, then installed without it.

The tree gets a copy of the Python that runs us, and that copy runs pip, which comes read-only from
our own environment. Only wheels are taken: a source distribution runs its author's code as soon as
its dependencies are asked for.
"""

import platform
import re
from email.parser import BytesHeaderParser
from pathlib import Path

from templatemgr.builders import Job, compile_tree, pip_cage, requirements, steps
from templatemgr.builders.interpreter import SITE, VERSION
from templatemgr.builders.pip_cage import TOOLCHAIN, TREE, WHEELS_ONLY
from templatemgr.builders.pip_lock import LOCKS, MANIFEST, align, relock, update
from templatemgr.errors import BuildError
from templatemgr.lockfile import Locked

__all__ = ["LOCKS", "MANIFEST", "PACKAGE", "PROGRAMS", "align", "fetch", "install", "packages",
           "relock", "update"]  # fmt: skip
PACKAGE = re.compile(
    r"(?P<name>[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?)"
    r"(@(?P<version>(\d+!)?\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9.]+)?))?",
    re.ASCII,  # other digits are no version's
)
PROGRAMS = ("bin/python",)


def fetch(job: Job) -> None:
    """Download exactly the wheels that the lock names, each checked by its hash."""
    if not (job.tree / LOCKS[0]).is_file():
        message = f"The definition has no {LOCKS[0]}."
        raise BuildError(message, step="fetching", remedy="Start a refresh build to make one.")
    if job.definition.install_scripts:
        message = "The pip builder takes wheels only, which have no install scripts."
        raise BuildError(message, step="fetching", remedy="Leave `install_scripts` empty.")
    pip_cage.prepare(job)
    wheels = ("--require-hashes", "--no-deps", *WHEELS_ONLY, "--dest", "/build/wheels")
    pip_cage.online(job, ("download", *wheels, "-r", f"/build/tree/{LOCKS[0]}"))


def install(job: Job) -> None:
    """Install the wheels into the tree, prune, compile, make the toolchain's links."""
    _show(job.bench / "wheels")
    where = ("--no-index", "--find-links", "/wheels", "--prefix", "/build", "--ignore-installed")
    how = ("--require-hashes", "--no-deps", "--no-compile", "--no-warn-script-location")
    script = Path(compile_tree.__file__).resolve()
    pip_argv = (*pip_cage.program(TREE), "install", *where, *how, "-r", f"{TREE}/{LOCKS[0]}")
    pip_cage.offline(job, pip_argv, "pip install")
    steps.prune(job.tree, job.definition.prune)
    shown = f"{TOOLCHAIN}/{script.name}"
    python = f"{TREE}/bin/python"
    pip_cage.offline(job, (python, "-B", "-P", "-s", shown, "/build", TREE), "the compiler")
    for link, target in job.definition.toolchain.items():
        steps.link(job.tree, link, target.replace("{site}", SITE))


def _show(wheels: Path) -> None:
    """Let the cage's user read what was downloaded, whatever the umask was."""
    wheels.mkdir(exist_ok=True)
    wheels.chmod(0o755)
    for wheel in wheels.iterdir():
        wheel.chmod(0o644)


def packages(tree: Path) -> list[Locked]:
    """Return the interpreter and what is installed beside it, with what each says of itself."""
    asked = requirements.wanted((tree / MANIFEST).read_text(encoding="utf-8"))
    files = tree.glob(f"{SITE}/*.dist-info/METADATA")
    found = {file: BytesHeaderParser().parsebytes(file.read_bytes()) for file in files}
    names = {file: requirements.plain(str(fields["Name"])) for file, fields in found.items()}
    needed = {names[file]: requirements.needs(fields) for file, fields in found.items()}
    chains = requirements.chains(asked, needed)
    direct = {requirements.plain(requirement.name) for requirement in asked}
    installed = [
        Locked(
            name=str(fields["Name"]),
            version=str(fields["Version"]),
            direct=names[file] in direct,
            path=file.parent.relative_to(tree).as_posix(),
            chain=chains.get(names[file], ()),
            licence=requirements.licence(fields),
            deprecated=requirements.deprecated(fields),
        )
        for file, fields in found.items()
    ]
    return sorted([_interpreter(), *installed], key=lambda item: (item.name.lower(), item.version))


def _interpreter() -> Locked:
    return Locked(
        name="python",
        version=platform.python_version(),
        direct=True,
        path=f"bin/{VERSION}",
        chain=("python",),
        licence="PSF-2.0",
    )
