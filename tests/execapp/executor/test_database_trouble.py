"""Test a locked or full database while executions run: no execution is lost or restarted."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import OperationalError, connection

from core.database import retry
from execapp.executor import heartbeat
from execapp.executor.daemon import Daemon
from execapp.queues import EXECUTIONS
from execapp.services import claims
from tests.execapp.conftest import Api, state_of, until
from tests.minimal_template import HELLO, program
from tests.timeouts import HANGS_SECONDS

Start = Callable[..., Daemon]
SHORT = program("setTimeout(() => console.log('done'), 300)")


class Failing[**P, R]:
    """Database calls that fail at first, as they do on a full disk."""

    def __init__(self, original: Callable[P, R], times: int) -> None:
        self._original = original
        self.left = times

    def __call__(self, *args: P.args, **values: P.kwargs) -> R:
        if self.left > 0:
            self.left -= 1
            message = "database or disk is full"
            raise OperationalError(message)
        return self._original(*args, **values)


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set three tries a moment apart, and leases that end soon."""
    monkeypatch.setattr(retry, "PAUSES", (0.01, 0.01))
    short = replace(EXECUTIONS, lease=timedelta(seconds=1))
    monkeypatch.setattr(claims, "EXECUTIONS", short)
    monkeypatch.setattr(heartbeat, "REAP_SECONDS", 0.1)


@pytest.mark.parametrize(("failures", "attempts"), [(2, 1), (3, 2)], ids=["later", "never"])
def test_an_end_is_recorded_when_the_database_takes_it_or_the_next_one_is(
    api: Api,
    start_executor: Start,
    monkeypatch: pytest.MonkeyPatch,
    short_waits: None,
    failures: int,
    attempts: int,
) -> None:
    finish = Failing(claims.finish, failures)
    monkeypatch.setattr(claims, "finish", finish)
    start_executor(slots=1, warm=0)
    done = api.submit(HELLO, wait=60)
    assert (done["state"], done["attempts"], finish.left) == ("succeeded", attempts, 0)


def test_claiming_goes_on_after_the_trouble(
    api: Api, start_executor: Start, monkeypatch: pytest.MonkeyPatch, short_waits: None
) -> None:
    claim = Failing(claims.claim_some, 7)
    monkeypatch.setattr(claims, "claim_some", claim)
    start_executor(slots=1, warm=0)
    done = api.submit(HELLO, wait=60)
    assert (done["state"], done["attempts"], claim.left) == ("succeeded", 1, 0)


def test_an_end_waits_for_a_locked_database(api: Api, start_executor: Start) -> None:
    start_executor(slots=1, warm=0)
    made = api.submit(SHORT)
    until(lambda: state_of(made) == "running")
    held = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(connection.settings_dict["NAME"])) as other:
            other.execute("BEGIN IMMEDIATE")
            held.set()
            threading.Event().wait(2)  # it ends meanwhile
            other.rollback()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(HANGS_SECONDS)
    assert state_of(made) == "running"
    thread.join()
    done = api.get(f"/executions/{made['id']}?wait=60")
    assert (done["state"], done["attempts"], done["stdout"]) == ("succeeded", 1, "done\n")
