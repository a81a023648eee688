"""The log writer of a build: a thread that writes the log in batches and renews the lease.

Any thread may add lines. The writer stores them several times a second, so that pages can stream
the log without one transaction per line.
"""

import logging
import os
import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType

from django.db import DatabaseError, transaction
from django.db.models import Max
from django.utils import timezone

from core.database import connections
from templatemgr.builders import secrets
from templatemgr.models import Build, BuildLogLine
from templatemgr.queues import BUILDS

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.25
RENEW_SECONDS = 1.0  # also the maximum delay of a cancellation
MAX_LINES = 20_000
MAX_TEXT = 4_000

OnLine = Callable[[str, str, str], None]  # step, stream, text


class LogWriter:
    """A context manager around the steps of a claimed build.

    `cancel` is set when the cancellation is requested or the lease is lost; `lost` is true in the
    second case only. `redact` removes secrets from every recorded line.
    """

    def __init__(self, build: Build, on_line: OnLine | None = None) -> None:
        self.cancel = threading.Event()
        self.lost = False
        self.step = build.step
        self.redact = secrets.redactor(os.environ)
        self._build, self._on_line = build, on_line
        self._pending: list[BuildLogLine] = []
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._renewed = 0.0
        last = build.lines.aggregate(last=Max("sequence"))["last"]
        self._sequence: int = last or 0
        self._thread = threading.Thread(target=self._work, name=f"build-{build.pk}", daemon=True)

    def __enter__(self) -> "LogWriter":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def line(self, stream: str, text: str) -> None:
        """Add one line to the log.

        `stream` is "stdout" or "stderr" for output of a program, "build" for messages of Stencil.
        The text is cut to MAX_TEXT characters; lines after MAX_LINES are dropped.
        """
        plain = self.redact(text)
        clean = plain.replace("\0", "\ufffd").encode("utf-8", "replace").decode()[:MAX_TEXT]
        with self._lock:
            if self._sequence >= MAX_LINES:
                return
            self._sequence += 1
            if self._sequence == MAX_LINES:
                stream, clean = "build", f"The log is cut here: more than {MAX_LINES} lines."
            self._pending.append(self._row(timezone.now(), stream, clean))
        if self._on_line is not None:
            self._on_line(self.step, stream, clean)

    def _row(self, time: datetime, stream: str, text: str) -> BuildLogLine:
        return BuildLogLine(
            build=self._build,
            sequence=self._sequence,
            time=time,
            step=self.step,
            stream=stream,
            text=text,
        )

    def _work(self) -> None:
        try:
            waited = 0.0
            while not self._done.wait(FLUSH_SECONDS):
                waited += FLUSH_SECONDS
                self._safely(self._flush)
                if waited >= RENEW_SECONDS:
                    waited = 0.0
                    self._safely(self._renew)
            self._safely(self._flush)
        finally:
            connections.release()

    def _safely(self, act: Callable[[], None]) -> None:
        try:
            act()
        except DatabaseError:  # the lease outlasts several failures; pending lines are kept
            logger.warning("build %s: the database did not answer", self._build.pk, exc_info=True)

    def _flush(self) -> None:
        with self._lock:
            lines = list(self._pending)
        if not lines:
            return
        with transaction.atomic():
            BuildLogLine.objects.bulk_create(lines)
        with self._lock:
            del self._pending[: len(lines)]

    def _renew(self) -> None:
        """Renew the lease; set `cancel` on a cancellation, `cancel` and `lost` on a lost lease."""
        if not BUILDS.renew(self._build):
            # The last step ends the build before this thread stops: the lease is then not lost.
            if not self._done.is_set():
                self.lost = True
                self.cancel.set()
        elif BUILDS.held(self._build).filter(cancel_requested=True).exists():
            self.cancel.set()
