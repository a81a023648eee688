"""Replies that take time: the end of an execution, and streams.

A server with an event loop (`webui.server`) holds no thread for them; elsewhere the thread waits.
See decision 0022.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from core.database.connections import release_between_waits
from core.engine import hub
from execapp.api.http import concurrency, error_replies
from execapp.errors import BusyError, RateLimitedError
from execapp.models import Execution
from execapp.services import submissions

HEADER = "Stencil-Wait"
RETRY_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class Pause:
    """An item of a stream: continue after these seconds."""

    seconds: float


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

    def look(self, *, last: bool, stopping: bool = False) -> HttpResponse | None:
        """Return the reply; None when the execution goes on and this is not the `last` look."""
        try:
            execution = submissions.wait(execution_id=self.execution_id, seconds=0)
            if not execution.finished and not last:
                return None
            reply = self._shown(execution)
        except Exception as error:  # noqa: BLE001 - the edge: every failure gets its reply here
            reply = error_replies.handle(error)
            execution = None
        reply = self.reshape(reply)
        for name, value in self.items():
            if name not in {"Content-Length", "Content-Type"} and name not in reply:
                reply[name] = value
        if stopping and execution is not None and not execution.finished:
            reply[HEADER] = "ended; reason=stopping"
        return reply


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
    try:
        return concurrency.streams.acquire(
            client, most=settings.STENCIL_STREAMS, most_of_client=settings.STENCIL_CLIENT_STREAMS
        )
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
            time.sleep(frame.seconds)
        else:
            yield frame
