"""A pool of parked sandboxes: bubblewrap processes that wait for their options.

A parked process is in its control group already. With version 1 of control groups, the first
process that enters a group after a pause waits some 12 ms in the kernel, longer than the rest of
a start. A parked process has waited before a submission needs it (decision 0013). One for each key
is enough: a caller that finds none parks its own, and only the first move after a pause is slow.
"""

import logging
import os
import threading
from contextlib import suppress

from sandbox.isolation.launch import ParkedSandbox, ParkingKey, park

logger = logging.getLogger(__name__)
MAX_KEYS = 8  # a parked bubblewrap has 0.15 MB of its own, of the 1.4 MB resident
LOOK_SECONDS = 1.0
LONGEST_PAUSE = 60.0
_NICE = 10  # of the thread that parks


class ParkedPool:
    """Keep one parked sandbox for each recently requested key. Any thread may take one."""

    def __init__(self, *, slot: str, most: int = MAX_KEYS) -> None:
        self._slot = slot
        self._most = most
        self._lock = threading.Lock()
        self._parked: dict[ParkingKey, ParkedSandbox | None] = {}  # ordered by last request
        self._wakeup = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="parked-pool")

    def start(self) -> None:
        """Start the thread that parks. The pool stays empty until the first request."""
        self._thread.start()

    def take(self, key: ParkingKey) -> ParkedSandbox | None:
        """Return a live parked sandbox, now owned by the caller, or None: park one yourself."""
        with self._lock:
            parked = self._parked.pop(key, None)
            self._parked[key] = None
        if parked is None or parked.alive():
            return parked
        parked.close()
        return None

    def refill(self) -> None:
        """Ask for a replacement now that the job of the taken sandbox has ended.

        Parking earlier would slow that job down. During a long job the pool's thread refills
        without being asked.
        """
        self._wakeup.set()

    def count(self) -> int:
        """Return how many sandboxes are parked now."""
        with self._lock:
            return sum(parked is not None for parked in self._parked.values())

    def close(self) -> None:
        """Stop the thread and end all parked sandboxes."""
        self._stopping.set()
        self._wakeup.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            parked, self._parked = list(self._parked.values()), {}
        _end(parked)

    def _keep(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        pause, said = LOOK_SECONDS, ""
        while not self._stopping.is_set():
            if self._wakeup.wait(pause):
                self._wakeup.clear()
            try:
                self._tidy()
                self._fill()
                pause, said = LOOK_SECONDS, ""
            except Exception as error:  # noqa: BLE001 - parking is never needed, and tried again
                pause = min(LONGEST_PAUSE, pause * 2)
                if str(error) != said:
                    logger.warning("parking failed, next try in %s s: %r", pause, error)
                said = str(error)

    def _tidy(self) -> None:
        """Drop dead sandboxes, and the keys whose last request is the longest ago."""
        dropped = []
        with self._lock:
            while len(self._parked) > self._most:
                dropped.append(self._parked.pop(next(iter(self._parked))))
            for key, parked in self._parked.items():
                if parked is not None and not parked.alive():
                    dropped.append(parked)
                    self._parked[key] = None
        _end(dropped)

    def _fill(self) -> None:
        with self._lock:
            missing = [key for key, parked in self._parked.items() if parked is None]
        for key in missing:
            if self._stopping.is_set():
                return
            parked = park(key, slot=self._slot)
            with self._lock:
                kept = key in self._parked and self._parked[key] is None
                if kept:
                    self._parked[key] = parked
            if not kept:
                parked.close()


def _end(dropped: list[ParkedSandbox | None]) -> None:
    for parked in dropped:
        if parked is not None:
            parked.close()
