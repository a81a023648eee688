"""Warm sandboxes: started, locked down, runner loaded, each for one job.

One thread fills the pool, outside the slots and one sandbox at a time, so that warming never
takes more than one core from what is running. An empty pool is no failure: a slot then starts
its sandbox itself.
"""

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from execapp.executor import database
from execapp.executor.bell import Bell
from sandbox import runner
from sandbox.errors import SandboxError
from sandbox.limits import Limits
from sandbox.runner import Session, Tree
from templatemgr.errors import TemplateError
from templatemgr.models import HealthState, Template
from templatemgr.services import catalog

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
SESSION_BYTES = 192 * 1024 * 1024  # what a warm sandbox of a Node test runner keeps, rounded up
LONGEST_PAUSE = 60.0


@dataclass(frozen=True, kw_only=True)
class Key:
    """What a warm sandbox is good for: one version, in one mode, since it was last made whole.

    A runner that was loaded from damaged files is never used once the damage is known.
    """

    version_id: int
    mode: str
    epoch: int = 0


@dataclass(kw_only=True)
class Shelf:
    """The warm sandboxes of one key, and how to start more."""

    tree: Tree
    limits: Limits
    sessions: deque[Session] = field(default_factory=deque)
    failures: int = 0
    retry_at: float = 0.0


class Pool:
    """Up to `size` warm sandboxes for each mode of each current version, within `budget` bytes."""

    def __init__(self, *, size: int, budget: int, slot: str) -> None:
        self._size = size
        self._budget = budget
        self._slot = slot
        self._lock = threading.Lock()
        self._shelves: dict[Key, Shelf] = {}
        self._bell = Bell()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="warmer")

    def start(self) -> None:
        """Begin to warm."""
        if self._size > 0:
            self._thread.start()

    def take(self, key: Key, limits: Limits) -> Session | None:
        """A living warm sandbox that can take these limits, or None: start one yourself."""
        dead: list[Session] = []
        taken = None
        with self._lock:
            shelf = self._shelves.get(key)
            while shelf is not None and shelf.sessions and taken is None:
                if not shelf.sessions[0].fits(limits):
                    break
                session = shelf.sessions.popleft()
                if session.alive:
                    taken = session
                else:
                    dead.append(session)
        for session in dead:
            session.close()
        return taken

    def refill(self) -> None:
        """One was used, and its job is done: warming the next would have slowed it down.

        While a job lasts longer, the pool notices by itself.
        """
        self._bell.ring()

    def count(self) -> int:
        """How many wait now."""
        with self._lock:
            return sum(len(shelf.sessions) for shelf in self._shelves.values())

    def close(self) -> None:
        """Stop warming and end what is warm."""
        self._stopping.set()
        self._bell.ring()
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            shelves, self._shelves = list(self._shelves.values()), {}
        for shelf in shelves:
            for session in shelf.sessions:
                session.close()

    def _fill(self) -> None:
        try:
            while not self._stopping.is_set():
                seen = self._bell.count
                try:
                    database.patiently(self._follow_current)
                    busy = self._start_one()
                except Exception:
                    logger.exception("the warm pool stumbled; it goes on")
                    busy = False
                if not busy:
                    self._bell.wait(seen, LOOK_SECONDS)
        finally:
            database.release()

    def _follow_current(self) -> None:
        """Shelves for what is current and healthy; the rest is dropped, dead ones with it."""
        wanted = self._wanted()
        dropped: list[Session] = []
        with self._lock:
            for key in [key for key in self._shelves if key not in wanted]:
                dropped.extend(self._shelves.pop(key).sessions)
            for key, shelf in wanted.items():
                self._shelves.setdefault(key, shelf)
            for shelf in self._shelves.values():
                dead = [session for session in shelf.sessions if not session.alive]
                dropped.extend(dead)
                shelf.sessions = deque(s for s in shelf.sessions if s not in dead)
        for session in dropped:
            session.close()

    def _wanted(self) -> dict[Key, Shelf]:
        rows = Template.objects.filter(current__health__state=HealthState.VERIFIED)
        wanted: dict[Key, Shelf] = {}
        for template in rows.select_related("current__template", "current__health"):
            if template.current is None:
                continue
            try:
                runtime = catalog.runtime(template.current)
            except TemplateError as error:
                logger.warning("%s is not warmed: %s", template.name, error.message)
                continue
            for mode in runtime.modes:
                epoch = template.current.health.epoch
                key = Key(version_id=template.current.pk, mode=mode, epoch=epoch)
                wanted[key] = Shelf(tree=runtime.tree(mode), limits=runtime.default)
        return wanted

    def _start_one(self) -> bool:
        """Start the sandbox that is missed most; False when none is."""
        chosen = self._emptiest()
        if chosen is None or self._stopping.is_set():
            return False
        key, shelf = chosen
        try:
            session = runner.start(shelf.tree, shelf.limits, slot=self._slot)
        except SandboxError as error:
            shelf.failures += 1
            pause = min(LONGEST_PAUSE, 2.0**shelf.failures)
            shelf.retry_at = time.monotonic() + pause
            logger.warning("warming failed, next try in %s s: %s", pause, error)
            return True
        shelf.failures = 0
        with self._lock:
            kept = self._shelves.get(key) is shelf
            if kept:
                shelf.sessions.append(session)
        if not kept:  # dropped while it started
            session.close()
        return True

    def _emptiest(self) -> tuple[Key, Shelf] | None:
        now = time.monotonic()
        with self._lock:
            total = sum(len(shelf.sessions) for shelf in self._shelves.values())
            if (total + 1) * SESSION_BYTES > self._budget:
                return None
            short = [
                (len(shelf.sessions), key.version_id, key.mode, key)
                for key, shelf in self._shelves.items()
                if len(shelf.sessions) < self._size and shelf.retry_at <= now
            ]
            if not short:
                return None
            key = min(short, key=lambda item: item[:3])[3]
            return key, self._shelves[key]
