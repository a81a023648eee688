"""Test that the reason of a failed repair is shown everywhere, and that any name can be shown."""

import contextlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from execapp.services import health, probes
from templatemgr.models import Build, Verification
from tests.faults import damage
from tests.faults.installation import Installation

ODD = os.fsdecode(b"\xff\xfe")


def latest(place: Installation) -> Verification:
    rows = Verification.objects.filter(version=place.version).order_by("-created_at", "-pk")
    return rows[0]


def test_a_queued_rebuild_and_the_reason_for_it_are_shown_everywhere(place: Installation) -> None:
    damage.BY_NAME["a byte in place"].do(place)
    place.verify(heal=True)
    build = Build.objects.get(template__name="fake", options__heal=2)
    doctor = place.doctor()["fake current"].detail
    shown = (place.health.message, place.shown()["message"], latest(place).message, doctor)
    for text in shown:
        assert "lib/a.js: no copy of its content exists" in text
        assert str(build.pk) in text
    assert "no copy of its content exists" in place.page()


def test_the_reason_of_what_stays_not_provable_is_shown_everywhere(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_args: object, **_more: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    place.object_of("lib/a.js").unlink()
    monkeypatch.setattr("templatemgr.integrity.supplies.restoring.share_or_copy", refused)
    place.verify(heal=True)
    assert place.submit() == 201
    doctor = place.doctor()["fake current"].detail
    for text in (place.health.message, place.shown()["message"], latest(place).message, doctor):
        assert "Operation not permitted" in text
    assert "Operation not permitted" in place.page()
    monkeypatch.undo()
    place.let_time_pass()
    assert (place.health.message, place.shown()["severity"]) == ("", "none")


def lose_inputs(place: Installation) -> None:
    """Damage every copy of the inputs, and edit the definition since."""
    shutil.rmtree(place.data / "spares")
    for home in place.home.parent.iterdir():
        damage.write_in_place(home / "inputs/said.txt", b"J")
    (place.data.parent / "definitions/fake/said.txt").write_text("a new text\n")


def test_a_version_that_nobody_can_run_any_more_is_told_so_everywhere(place: Installation) -> None:
    before = place.tree.stat().st_ino
    lose_inputs(place)
    place.verify(heal=True)
    place.let_time_pass()
    probes.forget()
    ready = {one.name: one for one in health.readiness()}["fake"]
    shown = place.shown()
    assert (place.submit(), ready.ok, shown["severity"]) == (503, False, "unsafe")
    assert "quarantined" in ready.detail
    assert "is quarantined and is not served" in place.page()
    for text in (str(shown["findings"]), place.health.message, latest(place).message, place.page()):
        assert "restore them from a backup" in text
    assert place.doctor()["fake current"].level == "missing"
    assert place.health.retry_at is not None
    assert place.tree.stat().st_ino == before  # the sound tree was left alone
    for home in place.home.parent.iterdir():
        damage.write_in_place(home / "inputs/said.txt", b"h")
    place.let_time_pass()
    assert (place.submit(), place.shown()["severity"]) == (201, "none")


def test_ready_tells_lost_inputs_before_a_verification_found_them(place: Installation) -> None:
    damage.BY_NAME["inputs byte"].do(place)
    place.verify(heal=False)
    assert {one.name: one.ok for one in health.readiness()}["fake"]
    lose_inputs(place)
    assert place.submit() == 503
    ready = {one.name: one for one in health.readiness()}["fake"]
    assert not ready.ok
    assert "no sound copy" in ready.detail


def into(folder: str, make: Callable[[Path], object] = Path.mkdir) -> Callable[[Path], object]:
    def do(data: Path) -> None:
        (data / folder).mkdir(parents=True, exist_ok=True)
        make(data / folder / ODD)

    return do


def readable_file(path: Path) -> None:
    path.touch()
    path.chmod(0o644)


def current_leads_there(data: Path) -> None:
    link = data / "templates/fake/current"
    link.unlink()
    link.symlink_to(ODD)


PLACES = {
    "versions": into("templates/fake/versions"),
    "staging": into("templates/fake/staging"),
    "templates": into("templates"),
    "data": into("."),
    "a readable file in data": into(".", readable_file),
    "aside": into("aside"),
    "objects": into("objects/zz", Path.touch),
    "spares": into("spares", Path.touch),
    "current": current_leads_there,
}


@pytest.mark.parametrize("name", PLACES)
def test_a_name_that_is_no_text_ends_no_command_and_no_page(place: Installation, name: str) -> None:
    PLACES[name](place.data)
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.suppress(CommandError):  # the machine may lack what it needs
        call_command("doctor", stdout=written, stderr=written)
    written.flush()
    place.verify(heal=True)
    assert place.shown()["severity"] == "none"
    assert "match the manifest" in place.page()
    assert place.submit() == 201


@pytest.mark.parametrize("name", ["aside", "current"])
def test_doctor_shows_such_a_name_escaped(place: Installation, name: str) -> None:
    PLACES[name](place.data)
    title = {"aside": "set aside", "current": "fake link"}[name]
    assert r"\udcff\udcfe" in place.doctor()[title].detail
