"""Keeps bubblewraps parked for what was started lately, so that starting it again is quick.

A parked one is in its control group already. With version 1 of control groups the first process
put into one after a pause waits some 12 ms in the kernel, longer than all the rest of a start; one
that is parked has waited before anybody needs it. One of each shape is enough: whoever finds none
parks its own, and the kernel is slow only for the first.
"""

import logging
import os
import threading
from contextlib import suppress

from sandbox.isolation.launch import Berth, Shape, park

logger = logging.getLogger(__name__)
MOST = 8  # shapes; a parked bubblewrap has 0.15 MB of its own, of the 1.4 MB resident
LOOK_SECONDS = 1.0
LONGEST_PAUSE = 60.0
_NICE = 10  # of our own thread


class Berths:
    """One parked bubblewrap for each shape that was asked for lately. Any thread may take one."""

    def __init__(self, *, slot: str, most: int = MOST) -> None:
        self._slot = slot
        self._most = most
        self._lock = threading.Lock()
        self._parked: dict[Shape, Berth | None] = {}  # the one asked for last comes last
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="berths")

    def start(self) -> None:
        """Begin to park, once something has been asked for."""
        self._thread.start()

    def take(self, shape: Shape) -> Berth | None:
        """A living one, which the caller now owns, or None: park one yourself."""
        with self._lock:
            berth = self._parked.pop(shape, None)
            self._parked[shape] = None
        if berth is None or berth.alive():
            return berth
        berth.close()
        return None

    def refill(self) -> None:
        """One was used, and its job is done: parking the next would have slowed it down.

        While a job lasts longer, the keeper notices by itself.
        """
        self._bell.set()

    def count(self) -> int:
        """How many wait now."""
        with self._lock:
            return sum(berth is not None for berth in self._parked.values())

    def close(self) -> None:
        """Stop parking and end what is parked."""
        self._stopping.set()
        self._bell.set()
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
            if self._bell.wait(pause):
                self._bell.clear()
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
        """Drop those that have died, and the shapes that were not asked for lately."""
        dropped = []
        with self._lock:
            while len(self._parked) > self._most:
                dropped.append(self._parked.pop(next(iter(self._parked))))
            for shape, berth in self._parked.items():
                if berth is not None and not berth.alive():
                    dropped.append(berth)
                    self._parked[shape] = None
        _end(dropped)

    def _fill(self) -> None:
        with self._lock:
            missing = [shape for shape, berth in self._parked.items() if berth is None]
        for shape in missing:
            if self._stopping.is_set():
                return
            berth = park(shape, slot=self._slot)
            with self._lock:
                kept = shape in self._parked and self._parked[shape] is None
                if kept:
                    self._parked[shape] = berth
            if not kept:
                berth.close()


def _end(parked: list[Berth | None]) -> None:
    for berth in parked:
        if berth is not None:
            berth.close()
