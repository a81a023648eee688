"""The periods in which versions were current, from the log of promotions. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from templatemgr.models import Promotion

WIDTH = 1000.0
LEAST = 4.0  # of WIDTH: the least width of a period, so that it can be seen
SHOWN = timedelta(days=30)
MINUTE = "%Y-%m-%d %H:%M"


@dataclass(frozen=True, kw_only=True)
class CurrentPeriod:
    """A period in which one version was current. `until` is None for the version of now."""

    promotion: Promotion
    since: datetime
    until: datetime | None
    x: float = 0.0
    width: float = 0.0

    @property
    def number(self) -> int:
        """The version."""
        return self.promotion.to_version.number

    @property
    def seconds(self) -> float | None:
        """Its length; None for the period of now."""
        return (self.until - self.since).total_seconds() if self.until else None

    @property
    def words(self) -> str:
        """The version and the exact times: "7, from 2026-07-04 09:30 to 2026-07-11 16:02 UTC"."""
        end = f" to {self.until:{MINUTE}}" if self.until else ""
        return f"{self.number}, from {self.since:{MINUTE}}{end} UTC"


def current_periods(log: Iterable[Promotion]) -> list[CurrentPeriod]:
    """Return every period, newest first. Promoting the current version begins no new period."""
    ordered = sorted(log, key=lambda entry: entry.pk)
    starts = [
        entry
        for index, entry in enumerate(ordered)
        if not index or entry.to_version_id != ordered[index - 1].to_version_id
    ]
    ends: list[datetime | None] = [after.created_at for _, after in pairwise(starts)]
    pairs = zip(starts, [*ends, None], strict=False)
    found = [
        CurrentPeriod(promotion=entry, since=entry.created_at, until=end) for entry, end in pairs
    ]
    return found[::-1]


def band(found: list[CurrentPeriod], now: datetime) -> list[CurrentPeriod]:
    """Return the periods of the last thirty days with their place in WIDTH, oldest first."""
    if not found:
        return []
    begin = max(found[-1].since, now - SHOWN)
    whole = max((now - begin).total_seconds(), 1.0)
    shown = []
    for period in reversed(found):
        if period.until is not None and period.until <= begin:
            continue
        left = max(0.0, (period.since - begin).total_seconds()) / whole * WIDTH
        right = ((period.until or now) - begin).total_seconds() / whole * WIDTH
        shown.append(
            CurrentPeriod(
                promotion=period.promotion,
                since=period.since,
                until=period.until,
                x=round(min(left, WIDTH - LEAST), 2),
                width=round(max(LEAST, right - left - 1.0), 2),
            )
        )
    return shown
