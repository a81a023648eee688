"""Read pip's report of the packages that it would install, with network and no foreign code."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from templatemgr.builders.base import Job
from templatemgr.builders.pip import pip_cage, requirements
from templatemgr.builders.pip.pip_lockfile import Pin
from templatemgr.errors import BuildError

REPORT, PINS = "report.json", "pins.txt"
# A lock has the wheels for these targets, and for the machine that makes the lock.
PYTHONS = ("3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
GLIBCS = ("2_17", "2_24", "2_26", "2_27", "2_28")
ANYWHERE = "-none-any.whl"


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """The wheel that pip would install for a package."""

    version: str
    digest: str  # SHA-256
    anywhere: bool  # one wheel for all Pythons and machines


Found = Mapping[str, Wheel]  # by normalised name


def report(job: Job, argv: tuple[str, ...], *, wall_ms: int = pip_cage.WALL_MS) -> Found:
    """Return the wheels that `pip install` with these arguments would install.

    `wall_ms` limits the run, in milliseconds. Raises BuildError, BuildCancelledError.
    """
    written = job.workspace / REPORT
    quiet = (
        "--dry-run",
        "--ignore-installed",
        "--report",
        f"/build/{REPORT}",
        *pip_cage.WHEELS_ONLY,
    )
    pip_cage.online(job, ("install", *quiet, *argv), wall_ms=wall_ms)
    items = json.loads(written.read_bytes())["install"]
    written.unlink()
    return {requirements.plain(item["metadata"]["name"]): _wheel(item) for item in items}


def pins(job: Job, found: Found) -> dict[str, Pin]:
    """Return the pins of the found wheels, with the hashes of the wheels for other targets.

    Leave out, and log, a target for which a package has no wheel.
    """
    hashes = {name: {wheel.digest} for name, wheel in found.items()}
    versions = {name: wheel.version for name, wheel in found.items()}
    (job.workspace / PINS).write_text(lines(versions), encoding="utf-8")
    for target in _targets():
        for name, wheel in _elsewhere(job, target).items():
            hashes[name].add(wheel.digest)
    return {
        name: Pin(version=version, hashes=frozenset(hashes[name]))
        for name, version in versions.items()
    }


def lines(versions: Mapping[str, str]) -> str:
    """Return exact versions as the text of a requirements or constraints file."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(versions.items()))


def _targets() -> list[tuple[str, str]]:
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [(python, machine) for python in sorted({*PYTHONS, running}) for machine in MACHINES]


def _elsewhere(job: Job, target: tuple[str, str]) -> Found:
    """Return the pinned versions' wheels for a Python and machine; {} if any package has none."""
    python, machine = target
    platforms = [f"manylinux_{glibc}_{machine}" for glibc in GLIBCS]
    options = ["--no-deps", "--implementation", "cp", "--python-version", python]
    options += [item for name in platforms for item in ("--platform", name)]
    try:
        return report(job, (*options, "--target", "/tmp/none", "-r", f"/build/{PINS}"))  # noqa: S108 - inside the cage
    except BuildError:
        job.log("build", f"Not locked for Python {python} on {machine}: not all have wheels.")
        return {}


def _wheel(item: Mapping[str, Any]) -> Wheel:
    source = item["download_info"]
    digest = source.get("archive_info", {}).get("hashes", {}).get("sha256")
    if digest is None:
        message = f"The index gives no SHA-256 for {item['metadata']['name']}."
        raise BuildError(message, step="fetching")
    version, address = item["metadata"]["version"], source["url"].partition("#")[0]
    return Wheel(version=version, digest=digest, anywhere=address.endswith(ANYWHERE))
