"""Test the error pages: they name the real cause, and run no query."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from pytest_django import DjangoDbBlocker, Settings

from tests import factories

PIN = "/templates/typescript/pin"


class Shape(HTMLParser):
    """Collect titles, links and everything that a strict policy would block."""

    def __init__(self) -> None:
        super().__init__()
        self.titles = 0
        self.links: list[str] = []
        self.blocked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.titles += tag == "h1"
        if tag == "a":
            self.links.append(given.get("href") or "")
        if tag == "style" or (tag == "script" and "src" not in given):
            self.blocked.append(tag)
        self.blocked += [name for name in given if name == "style" or name.startswith("on")]


def assert_designed(answer: Any, status: int, *words: str) -> Shape:
    """Assert a whole page in our layout with these words, which no cache may store."""
    text = re.sub(r"\s+", " ", answer.content.decode())
    assert answer.status_code == status, text
    for each in words:
        assert each in text
    shape = Shape()
    shape.feed(text)
    assert shape.titles == 1
    assert shape.blocked == []
    assert "/" in shape.links
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert "no-store" in answer["Cache-Control"]
    return shape


@pytest.fixture
def stranger() -> Client:
    """Return a browser with an old session's cookie. Any query fails without a fixture `db`."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.cookies["sessionid"] = "x" * 32
    return client


@pytest.fixture
def calm(admin: Client) -> Client:
    """Return a browser that gets the page of an exception instead of the exception."""
    admin.raise_request_exception = False
    return admin


def test_404_needs_no_database(stranger: Client) -> None:
    assert_designed(stranger.get("/nowhere"), 404, "There is nothing here", "No page has this")


def test_404_names_the_missing_object(calm: Client) -> None:
    assert_designed(calm.get("/templates/ruby"), 404, "There is nothing here", "ruby")


def test_form_without_its_key_says_to_load_it_again(stranger: Client) -> None:
    answer = stranger.post(PIN, headers={"Referer": "http://testserver/templates/typescript?a=b"})
    shape = assert_designed(answer, 403, "This form is out of date", "Load the form again")
    assert shape.links[0] == "/templates/typescript?a=b"


def test_form_from_elsewhere_leads_nowhere_else(stranger: Client) -> None:
    headers = {"Referer": "https://elsewhere.example/form", "Origin": "https://elsewhere.example"}
    answer = stranger.post(PIN, headers=headers)
    shape = assert_designed(answer, 403, "This form is out of date", "STENCIL_TRUSTED_ORIGINS")
    assert shape.links == ["/", "/"]


def test_403_names_the_role(viewer: Client) -> None:
    assert_designed(viewer.get("/users"), 403, "not allowed to do this", "needs the role admin")


def test_405_says_that_a_button_belongs_to_it(stranger: Client) -> None:
    answer = stranger.get(PIN, headers={"Referer": "http://testserver/templates/typescript"})
    shape = assert_designed(answer, 405, "This address is not a page")
    assert answer["Allow"] == "POST"
    assert shape.links[0] == "/templates/typescript"


def test_name_that_is_not_ours(stranger: Client, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["stencil.example"]
    answer = stranger.get("/", headers={"Host": "elsewhere.example"})
    shape = assert_designed(answer, 400, "could not be read", "STENCIL_ALLOWED_HOSTS")
    assert shape.links == ["/"]


def test_more_than_is_taken(stranger: Client, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    stranger.cookies["csrftoken"] = "y" * 32
    answer = stranger.post(PIN, {"reason": "x" * 200})
    assert_designed(answer, 400, "could not be read", "larger than this server accepts")


def test_error_of_ours_is_one_with_its_time(calm: Client) -> None:
    """A missing table is permanent, though SQLite reports it like a lock: it is not a 503."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE templatemgr_template RENAME TO gone")
    answer = calm.get("/templates?x=y")
    shape = assert_designed(answer, 500, "Stencil failed", "log at 20", "UTC")
    assert shape.links[0] == "/templates?x=y"


def test_unreadable_inputs_of_a_version_are_a_designed_error(calm: Client) -> None:
    factories.make_promotion_row(factories.make_version_row(factories.make_template_row()))
    answer = calm.get("/templates/typescript/versions/1/inputs.zip")
    assert_designed(answer, 409, "The page cannot be shown", "typescript@1", "heal it")


@pytest.fixture
def own_database(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """Yield a copy of the empty database without the transaction of a test."""
    with django_db_blocker.unblock(), monkeypatch.context() as moved:
        connection.ensure_connection()
        path = tmp_path / "own.sqlite3"
        connection.connection.execute("VACUUM INTO ?", (str(path),))
        connection.close()
        moved.setitem(connection.settings_dict, "NAME", path)
        yield path
        connection.close()


def test_database_that_is_locked(own_database: Path, data_dir: Path) -> None:
    calm = _signed_in()
    factories.make_promotion_row(factories.make_version_row(factories.make_template_row()))
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout=0")
    with _held_by_another(own_database):
        answer = calm.post(PIN, {"reason": "exam week"})
    assert_designed(answer, 503, "Not now", "database is busy", "Back to the form")
    assert answer["Retry-After"] == "5"
    assert calm.post(PIN, {"reason": "exam week"}).status_code == 302


def test_database_that_is_away(own_database: Path, data_dir: Path) -> None:
    calm = _signed_in()
    connection.close()
    own_database.rename(own_database.with_name("elsewhere.sqlite3"))
    own_database.mkdir()
    answer = calm.get("/")
    shape = assert_designed(answer, 503, "Not now", "cannot be reached", "Try again")
    assert shape.links[0] == "/"


def _signed_in() -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("ada", password="x"))
    return client


@contextmanager
def _held_by_another(path: Path) -> Iterator[None]:
    """Hold a write transaction in another process."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()
