"""The first build of each template, while web and executor already run.

Each build is a process: `build_template NAME --promote --if-missing`. At most STENCIL_BUILDS run at
once, because a build waits for the network half of its time. A failed build stops no other.
"""

import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from django.conf import settings

STOP_SECONDS = 15.0


class FirstBuilds:
    """Build templates by name. Call `start` once, then `wait` or `stop`.

    `say` gets each line of each log, after the template's name. When a build has ended, its thread
    calls `ended` with the name and whether the template has a current version.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        env: Mapping[str, str],
        say: Callable[[str], None],
        ended: Callable[[str, bool], None],
    ) -> None:
        self._waiting = deque(names)
        self._env = dict(env)
        self._say, self._ended = say, ended
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._stopping = False
        workers = min(len(names), settings.STENCIL_BUILDS)
        self._threads = [threading.Thread(target=self._build_in_turn) for _ in range(workers)]

    def start(self) -> None:
        """Start as many builds as may run at once."""
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Wait until every build has ended."""
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """Interrupt the running builds and start no other. A build records its interruption."""
        with self._lock:
            self._stopping = True
            self._waiting.clear()
            for process in self._running.values():
                process.send_signal(signal.SIGINT)
        for thread in self._threads:
            thread.join(STOP_SECONDS)
        with self._lock:
            for process in self._running.values():
                process.kill()

    def _build_in_turn(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    return
                name = self._waiting.popleft()
                process = self._running[name] = self._spawn(name)
            for line in process.stdout or ():
                self._say(f"{name}: {line.rstrip()}")
            good = process.wait() == 0
            with self._lock:
                del self._running[name]
                stopping = self._stopping
            if not stopping:
                self._ended(name, good)

    def _spawn(self, name: str) -> subprocess.Popen[str]:
        manage = str(settings.BASE_DIR / "manage.py")
        argv = [sys.executable, manage, "build_template", name, "--promote", "--if-missing"]
        return subprocess.Popen(
            argv,
            env=self._env | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C in a terminal reaches only this process
        )
