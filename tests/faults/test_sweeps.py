"""Test that sweeps, reapers and collectors delete nothing that is not ours, and follow no link."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from templatemgr import downloads
from templatemgr.build import builds
from templatemgr.integrity import compile_caches
from templatemgr.models import Template
from tests.faults import damage, installation
from tests.faults.installation import Installation
from tests.templatemgr.test_downloads import wanted

Do = Callable[[Installation], object]


def thesis(place: Installation) -> None:
    """Put files of somebody else outside, under every name that a sweep might look for."""
    for path in (
        "thesis/a.txt", "versions/mine/a.txt", "staging/mine/a.txt", "refills/a.txt", "current",
        "xx/yy", f"ab/ab{'0' * 62}", f"sha256/{'0' * 64}/mine.whl", "mine.txt",
    ):  # fmt: skip
        (place.outside / path).parent.mkdir(parents=True, exist_ok=True)
        (place.outside / path).write_text("the work of years")


def linked(path: str) -> Do:
    """Put a link to the folder outside in the place of a folder of ours."""

    def do(place: Installation) -> None:
        entry = place.data / path
        shutil.rmtree(entry, ignore_errors=True)
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.symlink_to(place.outside)

    return do


def mounted(path: str) -> Do:
    def do(place: Installation) -> None:
        (place.data / path).mkdir(parents=True, exist_ok=True)
        damage.mount(place, place.outside, place.data / path)

    return do


def trim(place: Installation) -> None:
    for builder in ("npm", "pip"):
        kept = place.data / "cache" / builder
        downloads.keep(kept, [wanted(b"x")], [], {})
        downloads.trim(kept, 0)


LINKS: dict[str, Do] = {
    "staging is a link": linked("templates/fake/staging"),
    "versions of a template that has none": lambda h: (
        Template.objects.create(name="new"), linked("templates/new/versions")(h)),
    "a template is a link": lambda h: (
        Template.objects.create(name="work"), linked("templates/work")(h)),
    "a link beside the templates": linked("templates/work"),
    "refills is a link": linked("refills"),
    "objects is a link": linked("objects"),
    "objects/ab is a link": linked("objects/ab"),
    "downloads are a link": linked("cache/npm"),
    "all downloads are a link": linked("cache"),
    "the files of a digest are a link": linked(f"cache/npm/sha256/{'0' * 64}"),
    "a link in staging": linked("templates/fake/staging/mine"),
    "a link in versions": linked("templates/fake/versions/mine"),
    "a link in refills": linked("refills/mine"),
    "a mount on staging": mounted("templates/fake/staging"),
    "a mount on refills": mounted("refills"),
    "a mount on objects/ab": mounted("objects/ab"),
    "a mount on downloads": mounted("cache/npm"),
}  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
def test_nothing_outside_is_deleted(place: Installation, name: str) -> None:
    thesis(place)
    before = list(place.outside.rglob("*"))
    LINKS[name](place)
    place.doctor()
    builds.reap()
    compile_caches.sweep()
    trim(place)
    place.doctor()
    assert set(before) <= set(place.outside.rglob("*"))
    assert (place.outside / "canary").read_bytes() == installation.CANARY


def test_an_alias_of_a_template_leaves_its_versions(place: Installation) -> None:
    (place.data / "templates/alias").symlink_to("fake")
    builds.reap()
    place.doctor()
    assert place.whole()
    assert installation.others_are_whole()
    assert place.submit() == 201


@pytest.mark.parametrize(
    "path",
    [
        "objects/mine/notes.txt", "objects/notes.txt", "objects/ab/notes.txt",
        f"objects/ab/cd{'0' * 62}", "templates/mine/versions/a/b", "templates/mine/staging/a/b",
        "cache/npm/sha256/notes.txt", "refill/a",
    ],
)  # fmt: skip
def test_a_foreign_file_beside_ours_is_left(place: Installation, path: str) -> None:
    file = place.data / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x")
    place.doctor()
    builds.reap()
    compile_caches.sweep()
    trim(place)
    assert file.read_text() == "x"


def test_leftovers_are_still_removed(place: Installation) -> None:
    home = place.home.parents[1]
    objects = place.data / "objects"
    lonely = objects / "ab" / f"ab{'0' * 62}"
    for path in (home / "staging/dead/a", home / "versions/0009-x/a", lonely,
                 place.data / "refills/a/b"):  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    compile_caches.sweep()
    note = place.doctor()["disk"]
    assert note.level == "ok"
    assert "staging/dead removed" in note.detail
    left = [home / "staging/dead", home / "versions/0009-x", lonely, place.data / "refills/a"]
    assert [path for path in left if path.exists()] == []


def test_doctor_tells_of_a_leftover_that_cannot_be_removed(place: Installation) -> None:
    stuck = place.home.parents[1] / "staging/dead/a"
    stuck.mkdir(parents=True)
    damage.mount_empty(place, stuck)
    note = place.doctor()["disk"]
    assert note.level == "weaker"
    assert "staging/dead cannot be removed" in note.detail


def test_an_immutable_leftover_is_removed(place: Installation) -> None:
    leftover = place.home.parents[1] / "staging/dead/a"
    leftover.mkdir(parents=True)
    Path(leftover / "b").write_text("x")
    damage.fixed(leftover / "b")
    damage.fixed(leftover)
    assert place.doctor()["disk"].level == "ok"
    assert not leftover.exists()
