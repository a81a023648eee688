"""Test exit statuses: read from the kernel, and guessed from bubblewrap's status."""

import os
import platform
import signal
import subprocess
import sys
import time

import pytest

from sandbox.isolation import exit_status
from sandbox.session.outcome import State
from tests.sandbox.conftest import Run

NEW = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2]) >= (6, 15)


def ended(code: str) -> int | None:
    with subprocess.Popen([sys.executable, "-c", code]) as child:
        pidfd = os.pidfd_open(child.pid)
    try:
        return exit_status.read_pidfd_status(pidfd)
    finally:
        os.close(pidfd)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(0)", 0),
        ("raise SystemExit(137)", 137),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import os; os.kill(os.getpid(), 36)", -36),
    ],
)
def test_the_kernel_distinguishes_statuses_from_signals(code: str, status: int) -> None:
    assert ended(code) == (status if NEW else None)


def test_running_processes_and_other_descriptors_have_no_status() -> None:
    own = os.pidfd_open(os.getpid())
    pipe = os.pipe()
    try:
        assert exit_status.read_pidfd_status(own) is None
        assert exit_status.read_pidfd_status(pipe[0]) is None
    finally:
        for descriptor in (own, *pipe):
            os.close(descriptor)


def test_a_guess_takes_statuses_in_the_range_of_signals_for_signals() -> None:
    assert [exit_status.guess_status(status) for status in (0, 1, 128, 137, 159, 160, 255)] == [
        *(0, 1, 128, -9, -31, 160, 255)
    ]


def test_an_only_child_is_found() -> None:
    code = "import subprocess as s, sys; [s.Popen(['sleep', '9']) for _ in range(int(sys.argv[1]))]"
    found = {}
    for count in (0, 1, 2):
        argv = [sys.executable, "-c", f"{code}; print(flush=True); input()", str(count)]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        ) as parent:
            assert parent.stdout
            parent.stdout.readline()
            time.sleep(0.01)
            pidfd = exit_status.only_child(parent.pid)
            found[count] = pidfd is not None
            if pidfd is not None:
                os.close(pidfd)
            os.killpg(parent.pid, signal.SIGKILL)
    assert found == {0: False, 1: True, 2: False}
    assert exit_status.only_child(2**22 + 1) is None


@pytest.mark.parametrize("status", [129, 137, 139, 143, 152, 159])
def test_a_program_may_exit_with_a_status_that_looks_like_a_signal(run: Run, status: int) -> None:
    outcome = run(f"process.exit({status})")
    if NEW:
        assert (outcome.state, outcome.exit_code) == (State.FAILED, status)
    else:
        assert outcome.state in (State.CRASHED, State.TIMED_OUT)


def test_a_death_by_signal_is_reported(run: Run) -> None:
    outcome = run("process.kill(process.pid, 'SIGKILL'); for (;;);")
    assert (outcome.state, outcome.signal) == (State.CRASHED, "SIGKILL")
