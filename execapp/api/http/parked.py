"""Replies that take their time: an execution's end, and streams. No thread is held for them where
the server has an event loop (`webui.server`); elsewhere the thread waits.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from core.database.connections import release_between_waits
from core.engine import hub
from execapp.api.http import errors, waiting_room
from execapp.errors import BusyError, RateLimitedError
from execapp.models import Execution
from execapp.services import submissions

HEADER = "Stencil-Wait"
RETRY_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class Pause:
    """What a stream yields to be asked again after these seconds."""

    seconds: float


Frames = Iterator[str | Pause]


class Paced(StreamingHttpResponse):
    """A stream of text with pauses in it. `frames` has them; iterating the reply sleeps them."""

    def __init__(self, frames: Frames, place: waiting_room.Pass, *, content_type: str) -> None:
        super().__init__(_slept(frames), content_type=content_type)
        self.frames, self._place = frames, place

    def close(self) -> None:
        """Give the place back, too."""
        super().close()
        self._place.release()


class Parked(HttpResponse):
    """The place of a reply that is made when an execution ends. Its headers go with that reply."""

    def __init__(
        self,
        *,
        execution_id: uuid.UUID,
        seconds: float,
        begun: bool,
        place: waiting_room.Pass,
        shown: Callable[[Execution], HttpResponse],
    ) -> None:
        super().__init__()
        self.execution_id, self.seconds, self.begun = execution_id, seconds, begun
        self._shown, self._place = shown, place

    def leave(self) -> None:
        """Give the place back: nobody waits here any more. `close` only lets the request go."""
        self._place.release()

    def look(self, *, last: bool, stopping: bool = False) -> HttpResponse | None:
        """The reply; None when it has not ended and this is not the `last` look."""
        try:
            execution = submissions.wait(execution_id=self.execution_id, seconds=0)
            if not execution.finished and not last:
                return None
            reply = self._shown(execution)
        except Exception as error:  # noqa: BLE001 - the edge: every failure gets its reply here
            reply = errors.handle(error)
            execution = None
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
    place: waiting_room.Pass | str | None = None,
) -> HttpResponse:
    """What `shown` makes of the execution once it has ended, or the time is over.

    `place` comes from `take_place`: a place to wait in, or why there is none.
    """
    if isinstance(place, str):
        reply = shown(execution)
        reply[HEADER] = place
        return reply
    if place is None or execution.finished:
        return shown(execution)
    if hub.of(request.META) is not None:
        return Parked(
            execution_id=execution.id, seconds=seconds, begun=begun, place=place, shown=shown
        )
    try:
        return shown(submissions.wait(execution_id=execution.id, seconds=seconds, fresh=begun))
    finally:
        place.release()


def take_place(client: str, seconds: float) -> waiting_room.Pass | str | None:
    """A place to wait in; None when nobody wants to wait; the header's text when all are taken."""
    if seconds <= 0:
        return None
    try:
        return waiting_room.waits.enter(
            client, most=settings.STENCIL_WAITS, most_of_client=settings.STENCIL_CLIENT_WAITS
        )
    except waiting_room.Full as full:
        return f"refused; scope={full.scope}; limit={full.limit}"


def take_stream(client: str) -> waiting_room.Pass:
    """A place to stream in. Raises RateLimitedError for one client's many, else BusyError."""
    try:
        return waiting_room.streams.enter(
            client, most=settings.STENCIL_STREAMS, most_of_client=settings.STENCIL_CLIENT_STREAMS
        )
    except waiting_room.Full as full:
        details = {"limit": full.limit}
        if full.scope == "client":
            message = f"You follow {full.limit} streams already: end one, or wait."
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
