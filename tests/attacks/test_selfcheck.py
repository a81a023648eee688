"""Test `doctor --attack`: all attacks fail here, and each reports a lowered protection."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from unittest.mock import patch

import pytest

from sandbox import selfcheck
from sandbox.cgroup import leases
from sandbox.isolation import profile
from sandbox.isolation.launch import starts_as_root
from tests.attacks.testbed import Arena

pytestmark = pytest.mark.started

Lower = Callable[[], AbstractContextManager[object]]


def named(title: str) -> selfcheck.Attack:
    return next(each for each in selfcheck.ATTACKS if each.title == title)


def test_all_protections_hold_here(arena: Arena) -> None:
    found = selfcheck.verdicts()
    assert len(found) == len(selfcheck.ATTACKS)
    not_held = {verdict.title: verdict.level for verdict in found if verdict.level != "ok"}
    watched = ["filling the memory"] if leases.current_hierarchy().kind == "none" else []
    if watched and starts_as_root():
        watched.append("starting processes without end")
    assert not_held == dict.fromkeys(watched, "weaker")


def without(gone: str) -> Lower:
    """Return a patch that removes this option of bubblewrap."""
    real = profile._namespaces
    return lambda: patch.object(
        profile, "_namespaces", lambda *given: tuple(each for each in real(*given) if each != gone)
    )


LOWERED: dict[str, Lower] = {
    "reaching the host's network": without("--unshare-net"),
    "seeing the host's processes": without("--unshare-pid"),
    "reading the host's files": lambda: patch.object(
        profile, "_sealing", lambda: ("--dir", "/home", "--perms", "0755", "--dir", "/var")
    ),
}


@pytest.mark.parametrize("title", LOWERED)
def test_a_missing_protection_is_reported(title: str, arena: Arena) -> None:
    with LOWERED[title](), selfcheck._target() as target:
        verdict = selfcheck._try(named(title), target)
    assert verdict.level == "missing"
    assert verdict.remedy


LIMITS = {
    "filling the memory": {"scratch_bytes": 64 << 20, "memory_bytes": 512 << 20},
    "starting processes without end": {"processes": 400},
}


@pytest.mark.parametrize("title", LIMITS)
def test_a_missing_limit_is_reported(title: str, arena: Arena) -> None:
    lowered = replace(named(title), changes=LIMITS[title])
    with selfcheck._target() as target:
        assert selfcheck._try(lowered, target).level != "ok"


def test_a_program_that_was_not_stopped_is_reported(arena: Arena) -> None:
    lowered = replace(named("refusing to end"), line="exit 0")
    with selfcheck._target() as target:
        assert selfcheck._try(lowered, target).level != "ok"
