"""Fetch and build the packages that the definition allows to be built from source.

A process that cannot start other programs downloads a source distribution. A cage without network
then unpacks it, finds the requirements of its build, and builds it. The build requirements are
installed as wheels, which are locked like all others. The metadata of the package are known only
after its build. The lock keeps its dependencies, so that a later resolution needs no build.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from templatemgr import store
from templatemgr.builders.base import Job
from templatemgr.builders.pip import pip_cage, pip_lockfile, pip_report, requirements, source_cage
from templatemgr.builders.pip.pip_lockfile import Lock, Pin, Recipe
from templatemgr.errors import BuildError

MANIFEST = "requirements.in"
REFRESH = "Refresh the lock; an edit does so only if it changes requirements.in, too."
FOLDER, TOOLS = "sources", "tools.txt"
# A name with extras, versions and a marker: one line, no address, and no character that has a
# meaning of its own in pip's requirements files.
PLAIN = re.compile(r"[A-Za-z0-9._,<>=!~*+()\[\] -]+(; [A-Za-z0-9._,<>=!~*+()'\" -]+)?")
MISSING = "No matching distribution found for "


@dataclass(frozen=True, kw_only=True)
class Source:
    """A package that is built: its version, the hash of its source distribution, and its recipe."""

    pin: Pin
    recipe: Recipe


# Decision 0011: a named package is built from source, at one exact version.
def named(job: Job) -> dict[str, str]:
    """Return the exact versions of the packages in `install_scripts`, by normalised name.

    Raises BuildError for a package to which requirements.in gives no exact version.
    """
    text = (job.tree / MANIFEST).read_text(encoding="utf-8")
    requested = {requirements.plain(item.name): item for item in requirements.wanted(text)}
    return {
        name: _exact(name, requested.get(name))
        for name in map(requirements.plain, job.definition.install_scripts)
    }


def _exact(name: str, requested: Requirement | None) -> str:
    if requested is None or not requirements.applies(requested):
        message = f"template.toml: install_scripts: {MANIFEST} does not ask for {name}."
        remedy = f"Write `{name}==` and a version there, or leave it out of `install_scripts`."
        raise BuildError(message, step="fetching", remedy=remedy)
    exact = [item.version for item in requested.specifier if item.operator == "=="]
    if len(requested.specifier) != 1 or not exact or exact[0].endswith("*"):
        message = (
            f"{MANIFEST}: {requested}: template.toml lets {name} be built from its source "
            "distribution, which needs one exact version."
        )
        remedy = f"Write `{name}==` and a version, or leave it out of `install_scripts`."
        raise BuildError(message, step="fetching", remedy=remedy)
    return exact[0]


def check(job: Job, lock: Lock) -> None:
    """Raise BuildError unless the lock has recipes for exactly those in `install_scripts`."""
    names = {requirements.plain(name) for name in job.definition.install_scripts}
    wrong = sorted(names ^ lock.recipes.keys())
    if wrong:
        message = (
            f"template.toml and requirements.lock disagree about whether {', '.join(wrong)} "
            "is built from its source distribution."
        )
        raise BuildError(message, step="fetching", remedy=REFRESH)


def gather(job: Job, lock: Lock) -> dict[str, Source]:
    """Return the packages that are built, by normalised name.

    Take a package from the lock if its version is the same there, else fetch and build it. Raises
    BuildError.
    """
    found: dict[str, Source] = {}
    for name, version in named(job).items():
        pin, recipe = lock.packages.get(name), lock.recipes.get(name)
        if pin is not None and recipe is not None and pin.version == version:
            found[name] = Source(pin=pin, recipe=recipe)
        else:
            found[name] = _learn(job, name, version)
    return found


def fetch(job: Job, pins: Mapping[str, Pin]) -> dict[str, Pin]:
    """Download source distributions, check their hashes, and return pins with the found hashes.

    A pin without hashes accepts every file that matches the index's hash. Raises BuildError, also
    if the index has no source distribution of a version.
    """
    requested = [
        {"name": name, "specifier": f"=={pin.version}", "hashes": sorted(pin.hashes)}
        for name, pin in pins.items()
    ]
    fetched: dict[str, Pin] = {}
    for (name, pin), found in zip(pins.items(), _query(job, "sources", requested), strict=True):
        if found is None:
            message = f"The index has no source distribution (.tar.gz) of {name} {pin.version}."
            remedy = (
                f"Name a version in {MANIFEST} that has one, or leave {name} out of "
                "`install_scripts`: then its wheel is taken."
            )
            raise BuildError(message, step="fetching", remedy=remedy)
        fetched[name] = Pin(version=pin.version, hashes=frozenset({found["sha256"]}))
    return fetched


def fetch_tools(job: Job, build: Mapping[str, Pin]) -> None:
    """Download the wheels that a build requires, and check their hashes. Raises BuildError."""
    (job.workspace / TOOLS).write_text(pip_lockfile.requirements(build), encoding="utf-8")
    pip_cage.download(job, f"/build/{TOOLS}")


def newest(job: Job, names: Iterable[str], *, wall_ms: int) -> dict[str, str]:
    """Return by name the newest version that has a source distribution.

    Leave out a package that has none. `wall_ms` limits the request, in milliseconds. Raises
    BuildError.
    """
    requested = [{"name": name, "specifier": "", "hashes": []} for name in names]
    found = _query(job, "look", requested, wall_ms=wall_ms) if requested else []
    return {item["name"]: item["version"] for item in found if item is not None}


def explained(job: Job, error: BuildError) -> BuildError:
    """Return an error whose remedy allows the build of the package that pip did not find.

    Return `error` itself if no such package has a source distribution. Ask the index, which can
    raise BuildError.
    """
    _, missing, rest = error.message.partition(MISSING)
    try:
        requested = (
            Requirement(rest.partition("\n")[0].partition(" (from ")[0]) if missing else None
        )
    except InvalidRequirement:
        requested = None
    if requested is None:
        return error
    wanted = {"name": requested.name, "specifier": str(requested.specifier), "hashes": []}
    [found] = _query(job, "look", [wanted])
    if found is None:
        return error
    name, version = requirements.plain(requested.name), found["version"]
    names = json.dumps(sorted({*job.definition.install_scripts, name}))
    return BuildError(
        f"{name} {version} is in the index as a source distribution only.",
        step=error.step,
        remedy=f"To let it be built here, without a network, write `install_scripts = {names}` in "
        f"template.toml and `{name}=={version}` in {MANIFEST}.",
    )


def _query(
    job: Job, task: str, requested: list[dict[str, Any]], *, wall_ms: int = pip_cage.WALL_MS
) -> list[dict[str, str] | None]:
    """Run a task of online_pip.py, "sources" or "look"; return its answers in order."""
    folder = job.workspace / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / "wanted.json").write_text(json.dumps(requested), encoding="utf-8")
    pip_cage.online(job, (f"/build/{FOLDER}",), task=task, wall_ms=wall_ms)
    answer: list[dict[str, str] | None] = json.loads((folder / "found.json").read_bytes())
    return answer


def archive(job: Job, name: str) -> Path:
    """Return the path to which `fetch` downloads a package's source distribution."""
    return job.workspace / FOLDER / f"{name}.tar.gz"


def _learn(job: Job, name: str, version: str) -> Source:
    """Fetch a source distribution and its build requirements, build it, read its dependencies."""
    [pin] = fetch(job, {name: Pin(version=version)}).values()
    declared = source_cage.declared(job, name, archive(job, name))
    build = _tools(job, name, declared)
    more = source_cage.backend_requirements(job, name, archive(job, name), build)
    if more:
        build = _tools(job, name, [*declared, *more])
    metadata = source_cage.build(job, name, version, archive(job, name), build)
    fields = Parser().parsestr(metadata, headersonly=True)
    needs = _parse_requirements(name, "needs", map(str, fields.get_all("Requires-Dist") or []))
    return Source(pin=pin, recipe=Recipe(build=build, needs=tuple(sorted(map(str, needs)))))


def _tools(job: Job, name: str, texts: Iterable[str]) -> dict[str, Pin]:
    """Resolve build requirements, download their wheels, and return pins. Raises BuildError."""
    requested = _parse_requirements(name, "asks to be built with", texts)
    wanted = [item for item in requested if requirements.applies(item)]
    if not wanted:
        return {}
    for item in wanted:
        item.marker = None  # it is true here; only a marker can have quotes
    (job.workspace / TOOLS).write_text("".join(f"{item}\n" for item in wanted), encoding="utf-8")
    try:
        found = pip_report.report(job, ("-r", f"/build/{TOOLS}"))
    except BuildError as error:
        message = f"The build requirements of {name} are not available: {error.message}"
        raise BuildError(message, step="fetching", remedy=error.remedy) from error
    if all(wheel.anywhere for wheel in found.values()):
        wheels = found.items()
        pins = {n: Pin(version=w.version, hashes=frozenset({w.digest})) for n, w in wheels}
    else:
        pins = pip_report.pins(job, found)
    fetch_tools(job, pins)
    return pins


def _parse_requirements(name: str, verb: str, texts: Iterable[str]) -> list[Requirement]:
    """Parse requirements from foreign metadata, which are written into files that pip reads.

    Raises BuildError for a requirement that is not PLAIN: an address, or an odd character.
    """
    requested = []
    for text in texts:
        try:
            item = Requirement(text)
        except InvalidRequirement:
            item = None
        if item is None or not PLAIN.fullmatch(str(item)):
            message = f"{name} {verb} {text[:200]!r}: only names of the index are accepted."
            raise BuildError(message, step="fetching", remedy=f"Take another version of {name}.")
        requested.append(item)
    return requested


def stand_ins(job: Job, sources: Mapping[str, Source]) -> str:
    """Write a wheel with only metadata for each source; return constraints with their paths."""
    folder = job.workspace / "stand-ins"
    store.remove(folder)
    folder.mkdir()
    folder.chmod(0o755)
    lines = []
    for name, source in sorted(sources.items()):
        file = source_cage.stand_in(folder, name, source.pin.version, source.recipe.needs)
        lines.append(f"{name} @ file:///build/{folder.name}/{file}\n")
    return "".join(lines)
