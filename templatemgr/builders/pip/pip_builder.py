"""The builder for pip: download wheels by hash with network, then install them without network.

The tree gets a copy of the Python that runs Stencil. The copy runs pip, which is mounted read-only
from Stencil's own environment. Only wheels are installed, because a source distribution runs code
of its author. A source distribution that the definition names is first built without network.
"""

import platform
import re
from email.parser import BytesHeaderParser
from pathlib import Path

from templatemgr.builders import placed, steps
from templatemgr.builders.base import Job
from templatemgr.builders.interpreter import SITE, VERSION
from templatemgr.builders.pip import (
    compile_tree,
    pip_cage,
    pip_contents,
    pip_lockfile,
    pip_sources,
    requirements,
    source_cage,
)
from templatemgr.builders.pip.pip_cage import TOOLCHAIN, TREE
from templatemgr.builders.pip.pip_contents import came_from, contents, fetched
from templatemgr.builders.pip.pip_lock import LOCKS, MANIFEST, align, relock, update
from templatemgr.builders.pip.pip_lockfile import Lock
from templatemgr.errors import BuildError
from templatemgr.lockfile import Locked

__all__ = ["LOCKS", "MANIFEST", "PACKAGE", "PROGRAMS", "align", "came_from", "contents", "fetch",
           "fetched", "install", "packages", "relock", "update"]  # fmt: skip
PACKAGE = re.compile(
    r"(?P<name>[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?)"
    r"(@(?P<version>(\d+!)?\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9.]+)?))?",
    re.ASCII,  # versions contain only ASCII digits
)
PROGRAMS = ("bin/python",)
WHEELS, MISSING = "wheels.txt", "missing.txt"


def fetch(job: Job) -> None:
    """Download exactly the files that the lock names, and check their hashes.

    Raises BuildError if there is no lock, if it does not match the definition, or if a download
    fails.
    """
    if not (job.tree / LOCKS[0]).is_file():
        message = f"The definition has no {LOCKS[0]}."
        raise BuildError(message, step="fetching", remedy="Start a refresh build to make one.")
    text = (job.tree / LOCKS[0]).read_text(encoding="utf-8")
    lock = pip_lockfile.read(text)
    pip_sources.check(job, lock)
    pip_cage.prepare(job)
    (job.workspace / WHEELS).write_text(pip_lockfile.wheels(text, lock.recipes), encoding="utf-8")
    there = pip_contents.reuse(job)
    missing = pip_lockfile.wheels(text, {*lock.recipes, *there})
    if missing.strip() or not there:
        (job.workspace / MISSING).write_text(missing, encoding="utf-8")
        pip_cage.download(job, f"/build/{MISSING}")
    if lock.recipes:
        pip_sources.fetch(job, {name: lock.packages[name] for name in sorted(lock.recipes)})
    for recipe in lock.recipes.values():
        pip_sources.fetch_tools(job, recipe.build)


def install(job: Job) -> None:
    """Build the named packages, install all packages, prune, compile, and link the toolchain.

    Run without network. Raises BuildError.
    """
    before = placed.look(job.tree)
    _install(job, pip_lockfile.read((job.tree / LOCKS[0]).read_text(encoding="utf-8")))
    placed.check_wheels(job, before)
    steps.prune(job.tree, job.definition.prune)
    script = Path(compile_tree.__file__).resolve()
    shown = f"{TOOLCHAIN}/{script.name}"
    # -S skips the module `site`: a .pth file of an installed package could run code there.
    argv = (f"{TREE}/bin/python", "-I", "-S", "-B", shown, "/build", TREE)
    pip_cage.offline(job, argv, "the compiler", shown=((script, shown),))
    for link, target in job.definition.toolchain.items():
        steps.link(job.tree, link.replace("{site}", SITE), target.replace("{site}", SITE))


def _install(job: Job, lock: Lock) -> None:
    """Build the packages with a recipe, then install all wheels by hash and without an index."""
    text = (job.workspace / WHEELS).read_text(encoding="utf-8")
    for name, recipe in sorted(lock.recipes.items()):
        version = lock.packages[name].version
        source_cage.build(job, name, version, pip_sources.archive(job, name), recipe.build)
        text += pip_lockfile.requirements({name: source_cage.wheel(job, name, version)})
    (pip_cage.show(job) / WHEELS).write_text(text, encoding="utf-8")
    where = ("--no-index", "--find-links", "/wheels", "--prefix", "/build", "--ignore-installed")
    how = ("--require-hashes", "--no-deps", "--no-compile", "--no-warn-script-location")
    argv = (*pip_cage.program(TREE), "install", *where, *how, "-r", f"/wheels/{WHEELS}")
    pip_cage.offline(job, argv, "pip install")


def packages(tree: Path) -> list[Locked]:
    """Return the interpreter and the installed packages with their metadata, sorted by name."""
    requested = requirements.wanted((tree / MANIFEST).read_text(encoding="utf-8"))
    files = tree.glob(f"{SITE}/*.dist-info/METADATA")
    found = {file: BytesHeaderParser().parsebytes(file.read_bytes()) for file in files}
    names = {file: requirements.plain(str(fields["Name"])) for file, fields in found.items()}
    needed = {names[file]: requirements.needs(fields) for file, fields in found.items()}
    chains = requirements.chains(requested, needed)
    direct = {requirements.plain(requirement.name) for requirement in requested}
    built = pip_lockfile.read((tree / LOCKS[0]).read_text(encoding="utf-8")).recipes
    installed = [
        Locked(
            name=str(fields["Name"]),
            version=str(fields["Version"]),
            direct=names[file] in direct,
            path=file.parent.relative_to(tree).as_posix(),
            chain=chains.get(names[file], ()),
            licence=requirements.licence(fields),
            deprecated=requirements.deprecated(fields),
            built=names[file] in built,
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
