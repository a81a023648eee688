"""Test lookups of newer packages with the real npm and a real registry."""

import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from templatemgr import data_paths
from templatemgr.build import lookups
from templatemgr.builders import registry
from templatemgr.builders.npm import npm_outdated
from templatemgr.definitions import source_files
from templatemgr.errors import BuildError, InvalidBuildError, UnknownVersionError
from templatemgr.models import Lookup
from tests.templatemgr.conftest import run_build
from tests.tiny_definition import write_definition


def answer(lookup: Lookup, *, cancel: threading.Event | None = None) -> Lookup:
    """Let one worker claim the lookup and run it."""
    claimed = lookups.claim(worker="here")
    assert claimed is not None
    assert claimed.pk == lookup.pk
    return lookups.run(lookup=claimed, cancel=cancel or threading.Event())


def ask(from_version: int | None = None) -> Lookup:
    return lookups.request(template="tiny", from_version=from_version, actor="ada")


def test_a_lookup_lists_packages_newer_than_the_lock(tiny: Path) -> None:
    write_definition(tiny, pin="6.0.0")
    lookup = answer(ask())
    assert (lookup.state, lookup.message) == ("done", "")
    (candidate,) = lookups.answered(lookup)
    assert (candidate.name, candidate.installed, candidate.direct) == ("is-number", "6.0.0", True)
    assert candidate.wanted == "6.0.0"  # package.json names only this package
    assert candidate.latest == "7.0.0"
    assert lookup.finished_at is not None
    assert list((data_paths.data() / "lookups").iterdir()) == []


def test_a_range_allows_the_newest_version_inside_it(tiny: Path) -> None:
    write_definition(tiny, pin="6.0.0")
    for name in ("package.json", "package-lock.json"):
        text = (tiny / name).read_text()
        (tiny / name).write_text(text.replace('"is-number": "6.0.0"', '"is-number": ">=6.0.0"'))
    (candidate,) = lookups.answered(answer(ask()))
    assert (candidate.installed, candidate.wanted) == ("6.0.0", "7.0.0")


def test_a_package_that_is_up_to_date_is_reported_as_such(tiny: Path) -> None:
    (candidate,) = lookups.answered(answer(ask()))
    assert {candidate.installed, candidate.wanted, candidate.latest} == {"7.0.0"}


def test_a_lookup_can_use_the_inputs_of_a_version(tiny: Path) -> None:
    write_definition(tiny, pin="6.0.0")
    run_build()
    write_definition(tiny)  # the definition's folder has changed since
    (candidate,) = lookups.answered(answer(ask(1)))
    assert candidate.installed == "6.0.0"
    with pytest.raises(UnknownVersionError):
        ask(9)


def test_an_open_lookup_is_not_queued_twice_and_an_answer_replaces_the_older(tiny: Path) -> None:
    first = ask()
    assert ask().pk == first.pk
    answer(first)
    second = ask()
    assert second.pk != first.pk
    digest = source_files.digest(tiny)
    assert lookups.newest(template="tiny", digest=digest) == second
    assert Lookup.objects.count() == 2  # the old answer stays while the new lookup is open
    answer(second)
    assert list(Lookup.objects.all()) == [second]


def test_a_lookup_fails_if_its_inputs_changed_after_the_request(tiny: Path) -> None:
    lookup = ask()
    write_definition(tiny, pin="6.0.0")
    assert "The inputs changed after" in answer(lookup).message


def test_an_unreadable_lock_fails_the_lookup_with_a_remedy(tiny: Path) -> None:
    (tiny / "package-lock.json").write_text("{}")
    lookup = answer(ask())
    assert lookup.state == "failed"
    assert "Refresh it first." in lookup.message


def test_a_lock_cannot_lead_out_of_the_workspace(tiny: Path) -> None:
    lock = json.loads((tiny / "package-lock.json").read_text())
    lock["packages"]["node_modules/../../../planted"] = {"version": "1.0.0"}
    (tiny / "package-lock.json").write_text(json.dumps(lock))
    lookup = answer(ask())
    assert "outside of node_modules" in lookup.message
    assert not list(data_paths.data().rglob("planted"))


def test_a_cancelled_lookup_ends(tiny: Path) -> None:
    stop = threading.Event()
    stop.set()
    assert answer(ask(), cancel=stop).state == "failed"


def test_a_lookup_of_a_dead_process_is_ended(tiny: Path) -> None:
    ask()
    held = lookups.claim(worker="gone")
    assert held is not None
    assert lookups.reap() == 0  # the lease has not expired
    Lookup.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert lookups.reap() == 1
    assert Lookup.objects.get().message == lookups.INTERRUPTED
    lookups.run(lookup=held, cancel=threading.Event())  # too late: the lease is lost
    assert Lookup.objects.get().state == "failed"


def test_the_lookups_of_a_dead_worker_are_ended(tiny: Path) -> None:
    ask()
    lookups.claim(worker="gone")
    assert lookups.take_over(worker="other") == 0
    assert lookups.take_over(worker="gone") == 1


def test_a_builder_without_lookups_refuses_one(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "update_finder", {}.get)
    with pytest.raises(InvalidBuildError, match="The builder npm"):
        ask()


def test_several_dependents_allow_only_versions_in_all_of_their_ranges() -> None:
    rows = [
        {"current": "1.0.0", "wanted": "1.9.0", "latest": "2.0.0"},
        {"current": "1.0.0", "wanted": "1.10.0", "latest": "2.0.0"},
        {"wanted": "3.0.0", "latest": "3.0.0"},  # not installed
    ]
    assert npm_outdated.read(json.dumps({"a": rows})) == {("a", "1.0.0"): ("1.9.0", "2.0.0")}


@pytest.mark.parametrize("text", ["npm ERR!", "[]"])
def test_an_answer_that_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(BuildError, match="is not JSON"):
        npm_outdated.read(text)


@pytest.mark.parametrize(
    ("entry", "here"),
    [
        ({}, True),
        ({"os": ["darwin"]}, False),
        ({"os": ["!win32"]}, True),
        ({"cpu": ["none-such"]}, False),
        ({"link": True}, False),
    ],
)
def test_packages_for_other_platforms_are_not_asked_about(entry: object, here: bool) -> None:
    assert npm_outdated._belongs(entry) is here  # type: ignore[arg-type]
