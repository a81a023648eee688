import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from sandbox.isolation.process import spawn


def read_all(argv: list[str]) -> str:
    read, write = os.pipe()
    with open("/dev/null", "rb") as null:
        child = spawn(argv, [null.fileno(), write, write], {"ONLY": "this"})
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    child.wait()
    return text


def test_nothing_but_the_given_descriptors_is_inherited() -> None:
    leaky = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leaky, True)
    try:
        names = read_all(["/bin/ls", "/proc/self/fd"]).split()
    finally:
        os.close(leaky)
    assert names == ["0", "1", "2", "3"]  # 3 is the folder that ls opened


def test_an_omitted_descriptor_is_closed() -> None:
    read, write = os.pipe()
    child = spawn(["/bin/ls", "/proc/self/fd"], [None, write, write, None, None, write], {})
    os.close(write)
    with os.fdopen(read) as file:
        assert file.read().split() == ["0", "1", "2", "5"]  # ls opens the folder as 0
    assert child.wait() == 0


def test_a_child_has_only_the_given_environment() -> None:
    assert read_all(["/usr/bin/env"]) == "ONLY=this\n"


def test_signals_that_we_ignore_are_not_ignored_by_children() -> None:
    """Ignore more signals than Python does, as a start in the background would."""
    others = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP, signal.SIGRTMIN)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in others}
    try:
        status = read_all(["/bin/cat", "/proc/self/status"])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    ignored = int(next(x for x in status.splitlines() if x.startswith("SigIgn")).split()[1], 16)
    # The C library ignores two signals by itself; Python does not list them.
    assert [number for number in signal.valid_signals() if ignored & 1 << (number - 1)] == []


def test_children_outlive_the_thread_that_asked_for_them() -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(read_all(["/bin/echo", "hi"])))
    thread.start()
    thread.join()
    assert found == ["hi\n"]


def test_a_missing_program_is_an_error_and_leaks_no_descriptor() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        spawn(["/nowhere"], [0, 1, 2], {})
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_death_by_signal_is_128_more() -> None:
    child = spawn(["/bin/sleep", "60"], [], {})
    child.kill()
    assert child.wait() == 128 + signal.SIGKILL
    child.kill()
    assert child.wait() == 128 + signal.SIGKILL


def test_a_child_has_the_usual_umask_and_ours_does_not_change() -> None:
    code = "import os; print(f'{os.umask(0):04o}')"
    before = os.umask(0o077)
    try:
        assert read_all([sys.executable, "-c", code]) == "0022\n"
        assert os.umask(0o077) == 0o077, "ours is as it was"
    finally:
        os.umask(before)
