"""Test the classification of database errors, and that only core/database names a vendor."""

import io
import re
import sqlite3
import subprocess
import tokenize
from pathlib import Path

import pytest
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError

from core.database import retry
from core.database.errors import classify
from core.database.retry import retry_on_lock
from core.database.vendors import VENDORS, Trouble

ROOT = Path(__file__).parents[2]
VENDOR = re.compile(r"sqlite|postgres|psycopg|mysql|sqlstate|\bpragma\b", re.IGNORECASE)
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


def test_every_vendor_is_under_the_name_that_django_gives_it() -> None:
    assert {name: vendor.name for name, vendor in VENDORS.items()} == {"sqlite": "sqlite"}


def test_no_code_elsewhere_names_a_vendor() -> None:
    """Comments and docstrings may name a vendor, to give the reason for portable code."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = [
        f"{name}:{token.start[0]}: {token.string[:60]}"
        for name in listed.stdout.splitlines()
        if not name.startswith(ALLOWED) and (ROOT / name).exists()
        for token in code_tokens((ROOT / name).read_text())
        if VENDOR.search(token.string.replace(FILE_NAME, ""))
    ]
    assert found == []


def code_tokens(source: str) -> list[tokenize.TokenInfo]:
    """Return the names and the strings of a source, without its docstrings."""
    kinds = (tokenize.NAME, tokenize.STRING, tokenize.FSTRING_MIDDLE)
    starts = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
    found, before = [], tokenize.ENCODING
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NL, tokenize.COMMENT):
            continue
        docstring = token.type == tokenize.STRING and before in starts
        if token.type in kinds and not docstring:
            found.append(token)
        before = token.type
    return found
