"""Test the threads that run executions: made when needed, ended when idle, each slot used once."""

import threading
from collections.abc import Callable
from functools import partial

import pytest

from execapp.executor.runners import Runners
from tests.execapp.conftest import until
from tests.timeouts import HANGS_SECONDS

Job = Callable[[], object]


class Work:
    """Runs jobs that wait, and counts them by slot."""

    def __init__(self, idle_seconds: float = 30.0, kept: int = 0) -> None:
        self.release = threading.Event()
        self.busy: list[str] = []
        self.done: list[str] = []
        self.most = 0
        self.runners = Runners[Job](
            self._run, prefix="w-slot", kept=kept, idle_seconds=idle_seconds
        )

    def _run(self, slot: str, job: Job) -> None:
        assert slot not in self.busy
        self.busy.append(slot)
        try:
            job()
        finally:
            self.busy.remove(slot)
            self.done.append(slot)

    def hold(self) -> None:
        self.release.wait(HANGS_SECONDS)


def _finished(work: Work, count: int) -> bool:
    return len(work.done) == count


@pytest.fixture
def work() -> Work:
    return Work()


def test_threads_are_made_when_they_are_needed(work: Work) -> None:
    assert len(work.runners) == 0
    for number in range(3):
        work.runners.start(work.hold)
        assert len(work.runners) == number + 1
    until(lambda: sorted(work.busy) == ["w-slot0", "w-slot1", "w-slot2"])
    work.release.set()
    work.runners.close()
    assert len(work.runners) == 0
    assert len(work.done) == 3


def test_an_idle_thread_takes_the_next_job(work: Work) -> None:
    for number in range(5):
        work.runners.start(lambda: None)
        until(partial(_finished, work, number + 1))
        until(lambda: len(work.runners._idle) == 1)
    assert set(work.done) == {"w-slot0"}
    work.runners.close()


def test_idle_threads_end_and_their_slots_are_used_again() -> None:
    work = Work(idle_seconds=0.05)
    work.runners.start(work.hold)
    work.runners.start(work.hold)
    work.release.set()
    until(lambda: len(work.runners) == 0)
    until(lambda: not [each for each in threading.enumerate() if each.name == "slot-1"])
    work.runners.start(lambda: None)
    until(lambda: work.done[2:] == ["w-slot0"])
    work.runners.close()


def test_kept_threads_wait_from_the_start_and_do_not_end(committed: None) -> None:
    work = Work(idle_seconds=0.01, kept=2)
    work.runners.open()
    assert len(work.runners) == 2
    for _ in range(3):
        work.runners.start(work.hold)
    until(lambda: len(work.busy) == 3)
    work.release.set()
    until(lambda: len(work.runners) == 2)
    threading.Event().wait(0.1)
    assert len(work.runners) == 2
    assert sorted(work.done) == ["w-slot0", "w-slot1", "w-slot2"]
    work.runners.close()


def test_no_job_is_lost_while_threads_end() -> None:
    work = Work(idle_seconds=0.0005)
    for number in range(500):
        work.runners.start(lambda: None)
        if number % 3 == 0:
            until(lambda: not work.busy)
    until(lambda: len(work.done) == 500)
    work.runners.close()


def test_a_job_that_raises_ends_no_thread(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError

    work.runners.start(fail)
    until(lambda: len(work.runners._idle) == 1)
    assert "unhandled error" in caplog.text
    work.runners.close()


def test_a_thread_that_cannot_start_is_forgotten(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_thread: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            work.runners.start(work.hold)
    assert len(work.runners) == 0
    work.runners.start(lambda: None)
    until(lambda: work.done == ["w-slot0"])
    work.runners.close()
