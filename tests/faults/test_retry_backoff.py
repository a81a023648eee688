"""Test the retries of healing: longer pauses, across restarts and changes of the clock."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from templatemgr import data_paths
from templatemgr.integrity import backoff
from templatemgr.maintenance import retrying
from templatemgr.models import Build, Verification, VersionHealth
from tests.faults import damage
from tests.faults.installation import Installation


def lose(place: Installation) -> None:
    """Damage a file whose right bytes are on no disk, and verify it with healing."""
    damage.BY_NAME["appended"].do(place)
    place.verify(heal=True)


def test_the_pauses_grow_from_seconds_to_an_hour() -> None:
    waits = [backoff.delay(tries).total_seconds() for tries in range(40)]
    assert waits[:4] == [5, 10, 20, 40]
    assert waits == sorted(waits)
    assert waits[-1] == 3600


def test_each_try_is_on_record_and_the_next_is_later(place: Installation) -> None:
    lose(place)
    Build.objects.filter(options__heal=2).update(
        state="failed", step="fetching", message="The registry did not answer."
    )
    first = place.health.retry_at
    assert first is not None
    assert [found.requested_by for found in retrying.due(now=first)] == ["schedule"]
    place.work()
    second = place.health.retry_at
    assert second is not None
    assert second > first
    assert place.health.tries == 2
    shown = place.api.get("/templates/fake/versions/2")
    assert len(shown["healing"]) == 2
    assert shown["health"]["retry"]["tries"] == 2
    assert shown["healing"][0]["build"] is not None
    page = place.page()
    assert "Try now" in page
    assert "The registry did not answer." in page
    # A passing reason: the rebuild was asked for again.
    assert Build.objects.filter(options__heal=2).count() == 2


def test_a_failed_rebuild_is_not_repeated_every_hour_without_a_request(
    place: Installation,
) -> None:
    lose(place)
    message = "The rebuild did not reproduce version 2: its files differ."
    Build.objects.filter(options__heal=2).update(state="failed", step="smoke", message=message)
    place.let_time_pass()
    assert Build.objects.filter(options__heal=2).count() == 1
    assert "its files differ" in place.health.message
    answer = place.api.call("POST", "/templates/fake/versions/2/heal", {})
    assert answer.status_code == 202
    place.work()
    assert Build.objects.filter(options__heal=2).count() == 2


def test_no_try_is_queued_twice_nor_beside_its_rebuild(place: Installation) -> None:
    lose(place)
    late = timezone.now() + timedelta(hours=2)
    Build.objects.filter(options__heal=2).update(state="fetching")
    assert retrying.due(now=late) == []
    Build.objects.update(state="interrupted")
    VersionHealth.objects.filter(version=place.version).update(retry_at=timezone.now())
    assert len(retrying.due()) == 1
    assert retrying.due() == []


def test_a_clock_that_went_back_does_not_put_the_next_try_off(place: Installation) -> None:
    lose(place)
    Build.objects.update(state="interrupted")
    later = timezone.now() + timedelta(days=30)
    VersionHealth.objects.filter(version=place.version).update(retry_at=later)
    assert len(retrying.due()) == 1


def test_a_version_quarantined_before_retries_existed_is_retried(place: Installation) -> None:
    lose(place)
    Build.objects.update(state="interrupted")
    long_ago = timezone.now() - timedelta(days=1)
    VersionHealth.objects.filter(version=place.version).update(retry_at=None, checked_at=long_ago)
    assert len(retrying.due()) == 1


def test_healing_that_is_off_is_off(place: Installation, settings: Settings) -> None:
    lose(place)
    Build.objects.update(state="interrupted")
    settings.STENCIL_HEAL = False
    assert retrying.due(now=timezone.now() + timedelta(days=1)) == []


def test_as_soon_as_the_bytes_are_back_it_is(place: Installation) -> None:
    lose(place)
    Build.objects.update(state="failed", step="fetching")
    stored = place.object_of("own")
    stored.unlink()
    stored.write_text("fake 2")
    stored.chmod(0o444)
    place.let_time_pass(times=1)
    assert place.health.state == "verified"
    assert place.health.retry_at is None
    assert place.whole()


@pytest.mark.parametrize("part", ["tree", "cache"])
def test_a_try_is_a_verification_with_its_end(place: Installation, part: str) -> None:
    name = "missing file" if part == "tree" else "cache byte"
    damage.BY_NAME[name].do(place)
    place.verify(heal=False)
    place.let_time_pass(times=1)
    last = Verification.objects.filter(version=place.version).order_by("-created_at").first()
    assert last is not None
    assert (last.state, last.heal, last.requested_by) == ("healed", True, "schedule")
    assert data_paths.version(place.version).is_dir()
