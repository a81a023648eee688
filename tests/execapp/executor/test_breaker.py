"""Test the circuit breaker on its own, and the log that records each failure once."""

import errno
import logging
import time

import pytest

from core.jobs.failures import FailureLog
from execapp.executor.breaker import CircuitBreaker
from sandbox import resources
from sandbox.errors import StartupError


class Machine:
    """A machine that can start a sandbox or cannot, as the test sets it."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.trials = 0
        self.heard: list[str] = []

    def trial(self) -> None:
        self.trials += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def breaker(machine: Machine) -> CircuitBreaker:
    return CircuitBreaker(
        trial=machine.trial,
        opened=lambda: machine.heard.append("opened"),
        closed=lambda: machine.heard.append("closed"),
    )


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the clock of the breaker, which the test moves."""
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


def test_a_template_that_does_not_start_is_not_the_machines_fault(
    breaker: CircuitBreaker, machine: Machine
) -> None:
    assert not breaker.blames_machine(StartupError("the runner ended with status 1"))
    assert breaker.trouble is None
    assert machine.heard == []


def test_it_opens_tells_the_cause_and_closes_when_a_trial_succeeds(
    now: list[float], machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    breaker = CircuitBreaker(
        trial=machine.trial,
        opened=lambda: machine.heard.append("opened"),
        closed=lambda: machine.heard.append("closed"),
    )
    machine.error = OSError(errno.EMFILE, "Too many open files")
    assert breaker.blames_machine(OSError(errno.EINVAL, "Invalid argument")) is True
    assert breaker.trouble is not None
    assert "sandbox cannot be started" in breaker.trouble.cause
    assert breaker.blames_machine(StartupError("another slot")) is True
    assert machine.trials == 1, "one trial tells for all slots"
    pauses = []
    for _ in range(8):
        before, tried = now[0], machine.trials
        while machine.trials == tried:
            now[0] += 0.5
            breaker.run_due_trial()
        pauses.append(now[0] - before)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    machine.error = None
    now[0] += 31
    breaker.run_due_trial()
    assert not breaker.trouble
    assert machine.heard == ["opened", "closed"]
    assert sum("nothing is claimed" in record.message for record in caplog.records) == 1
    assert sum("is over" in record.message for record in caplog.records) == 1


def test_idle_it_tries_now_and_then_and_finds_trouble_before_a_client_does(
    now: list[float], machine: Machine
) -> None:
    breaker = CircuitBreaker(trial=machine.trial)
    for _ in range(100):
        now[0] += 1
        breaker.run_due_trial()
    assert machine.trials == 3
    for _ in range(100):
        now[0] += 1
        breaker.worked()  # sandboxes start all the time
        breaker.run_due_trial()
    assert machine.trials == 3
    machine.error = MemoryError()
    now[0] += 31
    breaker.run_due_trial()
    assert breaker.trouble is not None
    assert "memory" in breaker.trouble.cause


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (OSError(errno.EMFILE, "x"), "file descriptors"),
        (OSError(errno.ENFILE, "x"), "file descriptors"),
        (OSError(errno.ENOMEM, "x"), "memory"),
        (OSError(errno.EAGAIN, "x"), "processes"),
        (OSError(errno.ENOSPC, "x"), "disk"),
        (OSError(errno.EIO, "x"), "disk"),
        (MemoryError(), "memory"),
        (StartupError("bwrap: Creating new namespace failed: No space left on device"), "names"),
        (StartupError("bwrap: fork: Resource temporarily unavailable"), "processes"),
        (StartupError("a riddle"), "a riddle"),
    ],
)
def test_the_cause_is_described_in_words(error: Exception, word: str) -> None:
    assert word in resources.cause_of(error)


def test_the_first_cause_of_a_chain_is_found() -> None:
    error = StartupError("the sandbox could not be made")
    error.__cause__ = OSError(errno.EMFILE, "Too many open files")
    assert "file descriptors" in resources.cause_of(error)


def test_few_descriptors_allow_few_sandboxes() -> None:
    assert resources.sandboxes_within(128, slots=2) == 0
    assert 0 < resources.sandboxes_within(1024, slots=2) < 150
    assert resources.sandboxes_within(65536, slots=2) > 1000


def test_a_failure_is_logged_once_with_an_id_until_it_changes_or_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = FailureLog(logging.getLogger("tests.failures"))
    ids = {failures.failed("claiming", ValueError("the same")) for _ in range(100)}
    assert len(ids) == 1
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert next(iter(ids)) in caplog.text
    failures.failed("claiming", ValueError("another"))
    failures.failed("warming", ValueError("the same"))
    assert len(caplog.records) == 3
    failures.worked("claiming")
    failures.worked("claiming")
    assert len(caplog.records) == 4
    assert "works again" in caplog.records[-1].message
