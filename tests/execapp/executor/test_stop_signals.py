"""Test that a stop signal ends the wait of the main thread, whichever thread receives it."""

import subprocess
import sys

import pytest

from tests.timeouts import HANGS_SECONDS

PROGRAM = """
import signal, sys, threading, time
from execapp.management.stopping import StopSignals

signals = StopSignals()

def receive():
    time.sleep(0.3)  # the main thread waits by then
    signal.pthread_kill(eval(sys.argv[1]).ident, getattr(signal, sys.argv[2]))

threading.Thread(target=receive).start()
signals.wait()
print("stopped")
"""


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("thread", ["threading.current_thread()", "threading.main_thread()"])
def test_the_wait_ends_whichever_thread_receives_the_signal(thread: str, number: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, thread, number],
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
        check=True,
    )
    assert done.stdout == "stopped\n"
