"""Test the supervisor of `make up`: back-off by uptime, a free port, one per data directory."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.timeouts import HANGS_SECONDS
from webui.quickstart.supervisor import (
    LONGEST_PAUSE_SECONDS,
    AlreadyRunningError,
    Program,
    Supervisor,
    SupervisorLock,
)

SLEEP = "import time; time.sleep(300)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"


def program(name: str, code: str, *, stop_seconds: float = 30.0) -> Program:
    return Program(name=name, argv=[sys.executable, "-c", code], stop_seconds=stop_seconds)


def until(holds: object, what: str) -> None:
    deadline = time.monotonic() + HANGS_SECONDS
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Running:
    """A supervisor whose loop runs in a thread of the test."""

    def __init__(self, *programs: Program) -> None:
        self.said: list[str] = []
        self.supervisor = Supervisor(list(programs), env=os.environ, say=self.said.append)
        self.before = {number: signal.getsignal(number) for number in _SIGNALS}
        self.supervisor.start()
        self.thread = threading.Thread(target=self.supervisor.wait)
        self.thread.start()

    def end(self) -> None:
        self.supervisor.stopping.set()
        self.thread.join(HANGS_SECONDS)
        for number, handler in self.before.items():
            signal.signal(number, handler)
        assert not self.thread.is_alive()


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("uptime", [0.1, 5.0, 11.0, 29.0])
def test_one_that_keeps_dying_is_started_ever_more_rarely(uptime: float) -> None:
    tried = program("web", SLEEP)
    pauses = [tried.pause_after(uptime) for _ in range(12)]
    assert pauses[0] == 0, "the first failure is followed by a start at once"
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_a_process_that_ran_for_a_day_is_restarted_at_once() -> None:
    tried = program("web", SLEEP)
    for _ in range(20):
        tried.pause_after(1.0)
    assert tried.pause_after(86_400) == 0


def test_a_program_that_ends_is_started_again_and_its_children_are_gone(tmp_path: Path) -> None:
    child = tmp_path / "child"
    code = (
        "import subprocess, sys, time, pathlib\n"
        f"p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
        f"pathlib.Path({str(child)!r}).write_text(str(p.pid))\n"
        "time.sleep(300)"
    )
    tried = program("web", code)
    running = Running(tried)
    try:
        until(lambda: child.exists() and child.read_text(), "it has not started")
        orphan = int(child.read_text())
        assert tried.process is not None
        first = tried.process.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: tried.process is not None and tried.process.pid != first, "not again")
        until(lambda: _gone(orphan), "what the dead one had started lives on")
        assert any("ended with status -9" in line for line in running.said)
    finally:
        running.end()
    assert tried.process is None


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_it_waits_until_nothing_is_in_the_way_and_says_so_once() -> None:
    tried, held = program("web", SLEEP), threading.Event()
    held.set()
    tried.obstacle = lambda: "the port is in use" if held.is_set() else None
    running = Running(tried)
    try:
        assert tried.process is not None
        first = tried.process.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: any("not started yet" in line for line in running.said), "nothing was said")
        time.sleep(1)
        assert not tried.process
        assert running.said.count("web is not started yet: the port is in use") == 1
        held.clear()
        until(lambda: tried.process is not None, "it was not started")
    finally:
        running.end()


def test_they_stop_in_their_order_and_one_that_will_not_is_killed(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    note = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        f"    open({str(ended)!r}, 'a').write(sys.argv[1] + ' ')\n"
        "    raise SystemExit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"open({str(tmp_path)!r} + '/' + sys.argv[1], 'w').close()\n"
        "time.sleep(300)"
    )
    first = Program(name="executor", argv=[sys.executable, "-c", note, "executor"])
    stubborn = program("stubborn", STUBBORN, stop_seconds=0.5)
    last = Program(name="web", argv=[sys.executable, "-c", note, "web"])
    running = Running(first, stubborn, last)
    until(lambda: (tmp_path / "executor").exists() and (tmp_path / "web").exists(), "no start")
    time.sleep(0.5)  # the stubborn one ignores the signal by now
    running.end()
    assert ended.read_text().split() == ["executor", "web"]
    assert "stubborn did not stop in 0.5 s: killed" in running.said


def test_one_data_directory_has_one_supervisor(tmp_path: Path) -> None:
    held = SupervisorLock(tmp_path / "up.lock")
    with pytest.raises(AlreadyRunningError, match=rf"process {os.getpid()}\).*STENCIL_DATA"):
        SupervisorLock(tmp_path / "up.lock")
    held.release()
    SupervisorLock(tmp_path / "up.lock").release()


def test_a_killed_supervisor_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from webui.quickstart.supervisor import SupervisorLock\n"
        "lock = SupervisorLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(300)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "up.lock")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunningError, match=f"process {process.pid}"):
            SupervisorLock(tmp_path / "up.lock")
        process.kill()
    SupervisorLock(tmp_path / "up.lock").release()
