"""Test odd values in the rows of versions: each is a finding of its own and hurts no other."""

from collections.abc import Callable

import pytest
from django.db import connection

from core.database import triggers
from templatemgr.build import builds
from templatemgr.integrity import checking
from templatemgr.models import Version, VersionHealth
from tests.faults import damage
from tests.faults.installation import Installation, others_are_whole

FINDING = '[{"path": "x"}]'
ODD_HEALTH = {
    "state weird": ("state", "weird"),
    "state empty": ("state", ""),
    "state in capitals": ("state", "Verified"),
    "doubts without a part": ("doubts", FINDING),
    "doubts of an unknown part": ("doubts", '[{"part":"x","path":"x","problem":"x"}]'),
    "doubts null": ("doubts", "null"),
    "doubts an object": ("doubts", '{"a": 1}'),
    "doubts of numbers": ("doubts", "[1, 2]"),
    "problems of numbers": ("problems", "[1, 2]"),
    "checked at no time": ("checked_at", "yesterday"),
}


def set_health(version: Version, column: str, value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE templatemgr_versionhealth SET {column} = %s WHERE version_id = %s",  # noqa: S608
            [value, version.pk],
        )


def set_directory(version: Version, value: str) -> None:
    triggers.remove(connection)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE templatemgr_version SET directory = %s WHERE id = %s", [value, version.pk]
        )
    triggers.install(connection)


def lose_health(version: Version) -> None:
    VersionHealth.objects.filter(version=version).delete()


def of(name: str, number: int) -> Version:
    return Version.objects.get(template__name=name, number=number)


@pytest.mark.parametrize("name", ODD_HEALTH)
def test_an_odd_health_row_is_shown_and_read_again(place: Installation, name: str) -> None:
    column, value = ODD_HEALTH[name]
    set_health(place.version, column, value)
    served = place.submit() == 201
    shown = place.shown()
    assert served is (shown["state"] == "verified")
    assert (shown["severity"] == "none") is (column in ("problems", "checked_at"))
    assert place.page()
    assert place.doctor()["fake versions"]
    place.let_time_pass()
    place.verify(heal=True)
    assert (place.health.state, place.health.doubts) == ("verified", [])
    assert place.submit() == 201
    assert place.whole()


@pytest.mark.parametrize("name", ODD_HEALTH)
def test_an_odd_health_row_keeps_no_damaged_version_down(place: Installation, name: str) -> None:
    damage.BY_NAME["missing file"].do(place)
    set_health(place.version, *ODD_HEALTH[name])
    place.let_time_pass()
    place.verify(heal=True)
    assert (place.health.state, place.submit()) == ("verified", 201)
    assert place.whole()


def test_a_lost_health_row_is_made_again_and_the_version_read(place: Installation) -> None:
    lose_health(place.version)
    assert place.submit() == 503
    place.let_time_pass()
    assert (place.health.state, place.submit()) == ("verified", 201)


@pytest.mark.parametrize("value", ["versions/a\0b", "", "/etc", "../..", "sibling"])
def test_a_row_that_names_another_folder_is_quarantined_and_writes_nowhere(
    place: Installation, value: str
) -> None:
    sibling = of("fake", 1)
    set_directory(place.version, sibling.directory if value == "sibling" else value)
    damage.BY_NAME["missing file"].do(place)
    place.verify(heal=True)
    assert place.submit() == 503
    assert "names another folder" in place.health.message
    assert "names another folder" in place.doctor()["fake current"].detail
    assert "names another folder" in place.page()
    place.let_time_pass()
    builds.reap()
    assert others_are_whole()
    assert place.home.is_dir()
    set_directory(place.version, place.version.folder)
    place.let_time_pass()
    assert (place.health.state, place.submit()) == ("verified", 201)
    assert place.whole()


SHARERS: dict[str, Callable[[Version], object]] = {
    "no health row": lose_health,
    "a folder with NUL": lambda version: set_directory(version, "versions/a\0b"),
    "the sibling's folder": lambda version: set_directory(version, of("fake", 1).directory),
    "odd doubts": lambda version: set_health(version, "doubts", FINDING),
    "an odd state": lambda version: set_health(version, "state", "weird"),
}


@pytest.mark.parametrize("name", SHARERS)
def test_another_version_s_row_fails_no_check_of_this_one(place: Installation, name: str) -> None:
    SHARERS[name](of("other", 1))
    damage.BY_NAME["a byte in place"].do(place)
    place.verify(heal=False)
    assert [problem["path"] for problem in place.health.problems] == ["lib/a.js"]
    # Every version that holds the bad file is found, also the one with the odd row.
    for version in (of("fake", 1), of("other", 1)):
        assert version.health.state == "quarantined"
        assert "lib/a.js" in [problem["path"] for problem in version.health.problems]


def test_a_sharer_that_cannot_be_searched_has_a_finding_of_its_own(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checking._shared_paths

    def fails(version: Version, bad: object) -> object:
        if version.template.name == "other":
            message = "embedded null character"
            raise ValueError(message)
        return real(version, bad)  # type: ignore[arg-type]

    monkeypatch.setattr(checking, "_shared_paths", fails)
    damage.BY_NAME["a byte in place"].do(place)
    place.verify(heal=False)
    assert [problem["path"] for problem in place.health.problems] == ["lib/a.js"]
    assert "embedded null" in str(of("other", 1).health.problems)
    assert of("fake", 1).health.state == "quarantined"
