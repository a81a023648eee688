"""Test the periods in which each version was current."""

from datetime import timedelta

from django.utils import timezone

from templatemgr.models import Promotion
from tests.factories import make_promotion_row, make_template_row, make_version_row
from webui.catalog import promotion_history
from webui.templatetags.stencil import lasted


def promoted(*turns: tuple[int, float]) -> list[Promotion]:
    """Make promotions of (version, days ago), oldest first."""
    template = make_template_row()
    numbers = {number for number, _ in turns}
    versions = {number: make_version_row(template, number) for number in sorted(numbers)}
    return [
        make_promotion_row(versions[number], created_at=timezone.now() - timedelta(days=days))
        for number, days in turns
    ]


def test_each_stretch_ends_where_the_next_begins(db: None) -> None:
    log = promoted((1, 9), (2, 4), (1, 1))
    now, before, first = promotion_history.current_periods(log)
    assert (now.number, now.until, now.seconds) == (1, None, None)
    assert (before.number, before.until) == (2, log[2].created_at)
    assert first.seconds is not None
    assert round(first.seconds / 86_400) == 5


def test_promoting_the_current_version_begins_no_new_period(db: None) -> None:
    assert len(promotion_history.current_periods(promoted((1, 9), (1, 4), (2, 1)))) == 2


def test_the_band_shows_thirty_days_in_proportion(db: None) -> None:
    found = promotion_history.current_periods(promoted((1, 90), (2, 60), (3, 15)))
    older, newest = promotion_history.band(found, timezone.now())
    assert [older.number, newest.number] == [2, 3]  # the first ended before
    assert older.x == 0
    assert abs(newest.x - 500) < 2
    assert newest.x + newest.width <= promotion_history.WIDTH


def test_nothing_promoted_draws_nothing() -> None:
    assert promotion_history.band(promotion_history.current_periods([]), timezone.now()) == []


def test_lengths_have_one_unit() -> None:
    assert [lasted(s) for s in (12, 90, 7200, 100_000, 9 * 86_400)] == [
        "12 s", "2 min", "2 h", "28 h", "9 days",
    ]  # fmt: skip
    assert lasted(None) == ""
