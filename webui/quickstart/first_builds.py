"""The first build of each template, beside what runs already.

Each is a process of its own: `build_template NAME --promote --if-missing`. STENCIL_BUILDS of them
run at once, since half of a build waits for the network; one that fails stops no other.
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
    """Builds templates by name. `start` once, then `wait` or `stop`.

    `say` gets every line of every log, with the template's name before it. `ended` is called with
    the name, and whether it has a current version now, from the thread that built it.
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
        lanes = min(len(names), settings.STENCIL_BUILDS)
        self._threads = [threading.Thread(target=self._lane) for _ in range(lanes)]

    def start(self) -> None:
        """Begin with as many as may run at once."""
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Until every build has ended."""
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """Interrupt what runs, which records that, and begin nothing more."""
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

    def _lane(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    return
                name = self._waiting.popleft()
                process = self._running[name] = self._begin(name)
            for line in process.stdout or ():
                self._say(f"{name}: {line.rstrip()}")
            good = process.wait() == 0
            with self._lock:
                del self._running[name]
                stopping = self._stopping
            if not stopping:
                self._ended(name, good)

    def _begin(self, name: str) -> subprocess.Popen[str]:
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
            start_new_session=True,  # Ctrl-C in a terminal reaches us alone
        )
