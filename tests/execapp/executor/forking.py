"""A current version with fork servers, and counts of what an executor holds on this machine."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from django.conf import settings

from sandbox.cgroup import leases
from sandbox.cgroup.process_tree import tree_of
from templatemgr import version_runtimes
from templatemgr.models import Version
from templatemgr.promotion import promotions
from tests import factories, forking_template


@pytest.fixture
def current(committed: None) -> Iterator[Version]:
    """Yield version 1 of the template with fork servers, which is current."""
    made = make_version()
    promotions.promote(template="tiny", version=1, actor="ann", reason="for a test")
    yield made
    version_runtimes._kept_runtime.cache_clear()
    shutil.rmtree(Path(settings.STENCIL_DATA) / "templates", ignore_errors=True)


def make_version(number: int = 1, *, smoke_says: str = "smoke") -> Version:
    """Make a version with fork servers, which can be verified. Its smoke case prints "smoke"."""
    return factories.make_sealed_version(
        {"marker": str(number)},
        name="tiny",
        lay_out=partial(forking_template.lay_out, smoke_says=smoke_says),
    )


@dataclass(frozen=True, kw_only=True)
class Held:
    """What an executor and its descendants hold at one moment; `rss_kib` is the executor's own."""

    rss_kib: int
    descriptors: int
    threads: int
    processes: int
    zombies: int
    groups: int
    namespaces: int
    mounts: int


def held(pid: int, identity: str) -> Held:
    """Count what the executor `pid` with this identity holds."""
    status = _status(pid)
    members = [member.pid for member in tree_of(pid)]
    return Held(
        rss_kib=int(status["VmRSS"].split()[0]),
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208 - names only
        threads=int(status["Threads"]),
        processes=len(members),
        zombies=sum(_status(member).get("State", "").startswith("Z") for member in members),
        groups=len(
            set(leases._names(leases.current_hierarchy(), f"{leases.NAME_PREFIX}{identity}"))
        ),
        namespaces=len({space for member in members for space in _namespaces(member)}),
        mounts=len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines()),
    )


def _status(pid: int) -> dict[str, str]:
    found: dict[str, str] = {}
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            found[name] = value.strip()
    return found


def _namespaces(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/ns"):
            yield os.readlink(entry.path)  # noqa: PTH115 - not the target's path
