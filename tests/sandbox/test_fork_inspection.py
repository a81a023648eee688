"""Check which threads of a fork server the host takes for parked."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sandbox.forkserver import inspection

# Starts threads that each run a line of code, and tells when they have begun.
THREADS = """
import ctypes, platform, sys, threading, time
FUTEX = {{"x86_64": 202, "aarch64": 98}}[platform.machine()]
words = (ctypes.c_int * 2)()
call = ctypes.CDLL(None).syscall

def wait(word):
    call(FUTEX, ctypes.byref(words, word * 4), 128, 0, None)  # FUTEX_WAIT | FUTEX_PRIVATE_FLAG

for line in {lines!r}:
    threading.Thread(target=exec, args=(line, globals()), daemon=True).start()
time.sleep(0.1)
print(flush=True)
sys.stdin.read()
"""
PARKED = "wait(0)"


@contextmanager
def process(*lines: str) -> Iterator[int]:
    """Yield the process id of a process whose other threads run these lines."""
    argv = [sys.executable, "-c", THREADS.format(lines=lines)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid
        child.kill()


@pytest.mark.parametrize(
    ("lines", "running"),
    [
        ((), 0),
        ((PARKED,), 0),
        ((PARKED, PARKED, PARKED), 0),
        (("time.sleep(60)",), 1),
        (("threading.Event().wait()",), 1),
        ((PARKED, PARKED, "time.sleep(60)"), 1),
        ((PARKED, "wait(1)"), 1),
    ],
)
def test_only_threads_that_wait_at_one_place_are_parked(
    lines: tuple[str, ...], running: int
) -> None:
    with process(*lines) as pid:
        assert inspection.running_threads(pid) == running
