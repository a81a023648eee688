"""Test database errors, retries, counts by minute; only core/database names a vendor."""

import io
import re
import sqlite3
import subprocess
import tokenize
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError

from core.database import retry
from core.database.errors import classify
from core.database.minutes import count_by_minute
from core.database.retry import retry_on_lock
from core.database.vendors import VENDORS, Trouble
from templatemgr.models import Build, Template

ROOT = Path(__file__).parents[2]
VENDOR = re.compile(r"sqlite|postgres|psycopg|mysql|sqlstate|\bpragma\b|^\.vendor$", re.IGNORECASE)
ALLOWED = ("core/database/", "webui/settings.py", "tests/")
FILE_NAME = "db.sqlite3"


def raised(error: DatabaseError | InterfaceError, code: int) -> Exception:
    cause = sqlite3.OperationalError("x")
    cause.sqlite_errorcode = code
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (raised(OperationalError("x"), sqlite3.SQLITE_BUSY_SNAPSHOT), Trouble.LOCKED),
        (raised(OperationalError("x"), sqlite3.SQLITE_LOCKED), Trouble.LOCKED),
        (raised(OperationalError("x"), sqlite3.SQLITE_PROTOCOL), Trouble.LOCKED),
        (raised(OperationalError("x"), sqlite3.SQLITE_FULL), Trouble.FULL),
        (raised(OperationalError("x"), sqlite3.SQLITE_IOERR_WRITE), Trouble.UNREACHABLE),
        (raised(InterfaceError("x"), sqlite3.SQLITE_CANTOPEN), Trouble.UNREACHABLE),
        (raised(DatabaseError("x"), sqlite3.SQLITE_CORRUPT_INDEX), Trouble.DAMAGED),
        (raised(DatabaseError("x"), sqlite3.SQLITE_NOTADB), Trouble.DAMAGED),
        (OperationalError("database is locked"), Trouble.LOCKED),
        (OperationalError("database or disk is full"), Trouble.FULL),
        (raised(OperationalError("no such table: x is locked"), sqlite3.SQLITE_ERROR), None),
        (raised(IntegrityError("x"), sqlite3.SQLITE_CONSTRAINT), None),
        (ValueError("database is locked"), None),
        (None, None),
    ],
)
def test_an_error_has_one_meaning(error: BaseException | None, trouble: Trouble | None) -> None:
    assert classify(error) is trouble


def test_a_locked_database_is_tried_again_and_other_errors_are_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(retry, "connection", type("Fake", (), {"close": staticmethod(int)}))
    outcomes: list[Exception | str] = [OperationalError("database is locked"), "done"]

    def act() -> str:
        found = outcomes.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    assert retry_on_lock(act) == "done"
    outcomes[:] = [IntegrityError("twice")]
    with pytest.raises(IntegrityError):
        retry_on_lock(act)
    outcomes[:] = [OperationalError("database is locked")] * 3
    with pytest.raises(OperationalError):
        retry_on_lock(act)
    assert outcomes == []


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (raised(OperationalError("x"), sqlite3.SQLITE_BUSY), 3),
        (raised(OperationalError("x"), sqlite3.SQLITE_PROTOCOL), 3),
        (raised(OperationalError("x"), sqlite3.SQLITE_FULL), 3),
        (raised(OperationalError("x"), sqlite3.SQLITE_CANTOPEN), 3),
        (raised(OperationalError("no such table: x"), sqlite3.SQLITE_ERROR), 1),
        (OperationalError("no such column: x"), 1),
        (raised(OperationalError("x"), sqlite3.SQLITE_CORRUPT), 1),
        (raised(InterfaceError("bad parameter"), sqlite3.SQLITE_MISUSE), 1),
    ],
)
def test_only_an_error_that_passes_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception, calls: int
) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(retry, "connection", type("Fake", (), {"close": staticmethod(int)}))
    called = []

    def act() -> None:
        called.append(1)
        raise error

    with pytest.raises(type(error)):
        retry_on_lock(act)
    assert len(called) == calls


@pytest.mark.django_db
def test_rows_are_counted_by_minute_and_columns() -> None:
    template = Template.objects.create(name="t", title="T")
    noon = datetime(2026, 11, 30, 12, tzinfo=UTC)
    for seconds, kind in ((0, "edit"), (59.999, "edit"), (59, "rebuild"), (60, "edit")):
        at = noon + timedelta(seconds=seconds)
        Build.objects.create(template=template, kind=kind, created_at=at)
    later = noon + timedelta(minutes=1)
    rows = Build.objects.all()
    assert count_by_minute(rows, "created_at") == {(): {noon: 3, later: 1}}
    assert count_by_minute(rows, "created_at", "kind") == {
        ("edit",): {noon: 2, later: 1},
        ("rebuild",): {noon: 1},
    }
    assert count_by_minute(rows.none(), "created_at") == {}


def test_every_vendor_is_under_the_name_that_django_gives_it() -> None:
    assert {name: vendor.name for name, vendor in VENDORS.items()} == {"sqlite": "sqlite"}


def test_no_code_elsewhere_names_a_vendor() -> None:
    """Comments and docstrings may name a vendor, to give the reason for portable code."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = [
        f"{name}:{line}: {text[:60]}"
        for name in listed.stdout.splitlines()
        if not name.startswith(ALLOWED) and (ROOT / name).exists()
        for line, text in code_texts((ROOT / name).read_text())
        if VENDOR.search(text.replace(FILE_NAME, ""))
    ]
    assert found == []


@pytest.mark.parametrize("source", ["kind = connection.vendor", "connections[using] .vendor"])
def test_code_that_asks_for_the_vendor_is_seen(source: str) -> None:
    assert any(VENDOR.search(text) for _line, text in code_texts(source))
    assert not any(VENDOR.search(text) for _line, text in code_texts("from x.vendors import y"))


def code_texts(source: str) -> list[tuple[int, str]]:
    """Return names (attributes with their dot) and strings, no docstrings, with their lines."""
    kinds = (tokenize.NAME, tokenize.STRING, tokenize.FSTRING_MIDDLE)
    starts = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
    found, before, dot = [], tokenize.ENCODING, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NL, tokenize.COMMENT):
            continue
        docstring = token.type == tokenize.STRING and before in starts
        if token.type in kinds and not docstring:
            found.append((token.start[0], dot + token.string))
        before, dot = token.type, "." if token.string == "." else ""
    return found
