"""Replies that take time: the end of an execution, and streams.

A server with an event loop (`webui.server`) holds no thread for them; elsewhere the thread waits.
See decision 0022.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from core.database.connections import release_between_waits
from core.engine import hub
from execapp.api.http import concurrency, error_replies
from execapp.errors import BusyError, RateLimitedError
from execapp.models import Execution
from execapp.services import submissions

HEADER = "Stencil-Wait"
RETRY_SECONDS = 5
POLL_SECONDS = 0.2  # between looks at a followed execution, in a server without a hub


@dataclass(frozen=True, kw_only=True)
class Pause:
    """An item of a stream: continue after these seconds.

    With an execution, continue also when it ends or its live data has another version than this.
    """

    seconds: float
    execution_id: uuid.UUID | None = None
    version: int = 0


Frames = Iterator[str | Pause]


class PacedStream(StreamingHttpResponse):
    """A stream of text with pauses: `frames` contains them, and iterating the reply sleeps."""

    def __init__(self, frames: Frames, permit: concurrency.Permit, *, content_type: str) -> None:
        super().__init__(_slept(frames), content_type=content_type)
        self.frames, self._permit = frames, permit

    def close(self) -> None:
        """Return the permit, too."""
        super().close()
        self._permit.release()


class DeferredResponse(HttpResponse):
    """A placeholder for the reply that is made when an execution ends; it takes these headers."""

    def __init__(
        self,
        *,
        execution_id: uuid.UUID,
        seconds: float,
        begun: bool,
        permit: concurrency.Permit,
        shown: Callable[[Execution], HttpResponse],
    ) -> None:
        super().__init__()
        self.execution_id, self.seconds, self.begun = execution_id, seconds, begun
        self._shown, self._permit = shown, permit
        # A door sets its own error shape here.
        self.reshape: Callable[[HttpResponse], HttpResponse] = lambda reply: reply

    def leave(self) -> None:
        """Return the permit when the wait is over. `close` only ends the request."""
        self._permit.release()

    def look(self, *, last: bool, stopping: bool = False) -> HttpResponseBase | None:
        """Return the reply; None when the execution goes on and this is not the `last` look."""
        finished = True
        try:
            finished, reply = self.read(last=last)
        except Exception as error:  # noqa: BLE001 - the edge: every failure gets its reply here
            reply = error_replies.handle(error)
        if reply is None:
            return None
        if isinstance(reply, HttpResponse):  # a batch, which streams, has the API's shape
            reply = self.reshape(reply)
        for name, value in self.items():
            if name not in {"Content-Length", "Content-Type"} and name not in reply:
                reply[name] = value
        if stopping and not finished:
            reply[HEADER] = "ended; reason=stopping"
        return reply

    def read(self, *, last: bool) -> tuple[bool, HttpResponseBase | None]:
        """Return whether all has ended, and the reply; None instead of a reply to wait on."""
        execution = submissions.wait(execution_id=self.execution_id, seconds=0)
        ready = execution.finished or last
        return execution.finished, self._shown(execution) if ready else None


class DeferredBatch(DeferredResponse):
    """The same for several executions: the reply is made when all have ended.

    It waits for one after the other. `shown` reads their rows.
    """

    def __init__(
        self,
        *,
        execution_ids: Sequence[uuid.UUID],
        seconds: float,
        permit: concurrency.Permit,
        shown: Callable[[], HttpResponseBase],
    ) -> None:
        super().__init__(
            execution_id=execution_ids[0],
            seconds=seconds,
            begun=False,
            permit=permit,
            shown=lambda _: HttpResponse(),
        )
        self._open, self._all_shown = list(execution_ids), shown

    def read(self, *, last: bool) -> tuple[bool, HttpResponseBase | None]:
        """Return whether all have ended, and the reply; choose which one to wait for next."""
        ended = submissions.ended_among(self._open)
        self._open = [each for each in self._open if each not in ended]
        if self._open:
            self.execution_id = self._open[0]
        return not self._open, self._all_shown() if last or not self._open else None


def answer(
    request: HttpRequest,
    execution: Execution,
    seconds: float,
    shown: Callable[[Execution], HttpResponse],
    *,
    begun: bool = False,
    permit: concurrency.Permit | str | None = None,
) -> HttpResponse:
    """Return what `shown` makes of the execution once it has ended or the time is over.

    `permit` comes from `acquire_wait`: a permit to wait, or the reason why there is none.
    """
    if isinstance(permit, str):
        reply = shown(execution)
        reply[HEADER] = permit
        return reply
    if permit is None or execution.finished:
        return shown(execution)
    if hub.of(request.META) is not None:
        return DeferredResponse(
            execution_id=execution.id, seconds=seconds, begun=begun, permit=permit, shown=shown
        )
    try:
        return shown(submissions.wait(execution_id=execution.id, seconds=seconds, fresh=begun))
    finally:
        permit.release()


def answer_all(
    request: HttpRequest,
    execution_ids: Sequence[uuid.UUID],
    seconds: float,
    shown: Callable[[], HttpResponseBase],
    *,
    permit: concurrency.Permit | str | None,
) -> HttpResponseBase:
    """Return what `shown` makes once all executions have ended or the time is over."""
    if isinstance(permit, str):
        reply = shown()
        reply[HEADER] = permit
        return reply
    if permit is None or not execution_ids:
        return shown()
    if hub.of(request.META) is not None:
        return DeferredBatch(
            execution_ids=execution_ids, seconds=seconds, permit=permit, shown=shown
        )
    until = time.monotonic() + seconds
    try:
        for execution_id in execution_ids:
            left = max(0.0, until - time.monotonic())
            submissions.wait(execution_id=execution_id, seconds=left)
        return shown()
    finally:
        permit.release()


def acquire_wait(client: str, seconds: float) -> concurrency.Permit | str | None:
    """Return a permit to wait; None for no wait; the text of the header when none is left."""
    if seconds <= 0:
        return None
    try:
        return concurrency.waits.acquire(
            client, most=settings.STENCIL_WAITS, most_of_client=settings.STENCIL_CLIENT_WAITS
        )
    except concurrency.LimitReached as full:
        return f"refused; scope={full.scope}; limit={full.limit}"


def acquire_stream(client: str) -> concurrency.Permit:
    """Return a permit to stream. Raises RateLimitedError over a client's limit, else BusyError."""
    most, most_of_client = settings.STENCIL_STREAMS, settings.STENCIL_CLIENT_STREAMS
    return _stream(concurrency.streams, client, most, most_of_client)


def acquire_follow(client: str) -> concurrency.Permit:
    """Return a permit to follow an execution, which costs what a wait costs. Raises the same."""
    most, most_of_client = settings.STENCIL_WAITS, settings.STENCIL_CLIENT_WAITS
    return _stream(concurrency.waits, client, most, most_of_client)


def _stream(
    places: concurrency.ConcurrencyLimit, client: str, most: int, most_of_client: int
) -> concurrency.Permit:
    try:
        return places.acquire(client, most=most, most_of_client=most_of_client)
    except concurrency.LimitReached as full:
        details = {"limit": full.limit}
        if full.scope == "client":
            message = f"You already follow {full.limit} streams: end one, or wait."
            error = RateLimitedError(message, details=details)
            error.retry_after = RETRY_SECONDS
            raise error from full
        message = f"{full.limit} streams are served already; try again later."
        busy = BusyError(message, details=details)
        busy.retry_after = RETRY_SECONDS
        raise busy from full


def _slept(frames: Frames) -> Iterator[str]:
    for frame in frames:
        if isinstance(frame, Pause):
            release_between_waits()
            followed = frame.execution_id is not None
            time.sleep(min(frame.seconds, POLL_SECONDS) if followed else frame.seconds)
        else:
            yield frame
