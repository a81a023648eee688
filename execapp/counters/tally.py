"""Counts of this process in memory, and the rows that hold the counts of all processes.

Each process adds its counts to the rows, so that every web process reads the same sums and a
restart loses none. A process that is killed loses the counts of its last second.
"""

import json
import threading
from collections import defaultdict
from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone

from execapp.counters.families import FAMILIES, MOST_SERIES, SUM, Family
from execapp.models import CounterRow

KEPT = timedelta(days=31)  # a row without a new count is deleted after it
FORGET_SECONDS = 3600

type Series = tuple[str, tuple[str, ...]]  # the family's name, and the values of its labels
type Counts = defaultdict[Series, float]

# Both databases that Stencil may use know this statement; Django's `bulk_create` cannot add.
_ADD = (
    "INSERT INTO execapp_counterrow (family, labels, value, updated_at) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (family, labels) DO UPDATE SET "
    "value = execapp_counterrow.value + excluded.value, updated_at = excluded.updated_at"
)


class Tally:
    """The counts that are not in the rows yet. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._counts: Counts = defaultdict(float)
        self._known: set[Series] = set()

    def add(self, family: Family, *values: str, count: int = 1) -> None:
        """Count an event; `values` are those of the labels, in the family's order."""
        with self._lock:
            self._counts[family.name, values] += count

    def observe(self, family: Family, *values: str, seconds: float) -> None:
        """Count a duration in a histogram."""
        bucket = (family.name, (*values, family.bucket(seconds)))
        with self._lock:
            self._counts[bucket] += 1
            self._counts[family.name, (*values, SUM)] += seconds

    def flush(self) -> None:
        """Add the counts to the rows. If that fails, keep them and raise the error."""
        with self._flushing:
            with self._lock:
                taken, self._counts = self._counts, defaultdict(float)
            if not taken:
                return
            try:
                self._write(taken)
            except BaseException:
                with self._lock:
                    for series, count in taken.items():
                        self._counts[series] += count
                raise

    def clear(self) -> None:
        """Forget the counts and the known series. For tests."""
        with self._flushing, self._lock:
            self._counts.clear()
            self._known.clear()

    def _write(self, taken: Counts) -> None:
        now = timezone.now()
        with transaction.atomic():
            folded = self._folded(taken)
            field = CounterRow._meta.get_field("updated_at")
            at = field.get_db_prep_save(now, connection)
            rows = [(name, _text(values), n, at) for (name, values), n in folded.items()]
            with connection.cursor() as cursor:
                cursor.executemany(_ADD, rows)
        self._known.update(folded)

    def _folded(self, taken: Counts) -> Counts:
        """Return the counts; new series of a full family are folded."""
        full: dict[str, bool] = {}
        found: Counts = defaultdict(float)
        for (name, values), count in taken.items():
            series = (name, values)
            if series not in self._known and name not in full:
                full[name] = CounterRow.objects.filter(family=name).count() >= MOST_SERIES
            if series not in self._known and full[name] and not _exists(series):
                series = (name, FAMILIES[name].fold(values))
            found[series] += count
        return found


def forget() -> None:
    """Delete the rows that have not changed for a month."""
    CounterRow.objects.filter(updated_at__lt=timezone.now() - KEPT).delete()


def read() -> dict[str, dict[tuple[str, ...], float]]:
    """Return the counts of all processes by family and labels; one query."""
    found: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in FAMILIES}
    for name, labels, value in CounterRow.objects.values_list("family", "labels", "value"):
        if name in found:
            found[name][tuple(json.loads(labels))] = value
    return found


def _exists(series: Series) -> bool:
    name, values = series
    return CounterRow.objects.filter(family=name, labels=_text(values)).exists()


def _text(values: tuple[str, ...]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


TALLY = Tally()  # of this process
