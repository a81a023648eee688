"""Server-sent events: the format of one event, and the reply that streams them."""

import json
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from core import parsing
from execapp.api.http.concurrency import Permit
from execapp.api.http.deferred import Frames, PacedStream
from execapp.errors import Field, InvalidRequestError

HELLO = "retry: 1000\n\n"  # milliseconds after which a disconnected client connects again
KEEPALIVE = ": waiting\n\n"  # a comment: the write fails if the client has gone


def event(name: str, data: Mapping[str, Any], sequence: object) -> str:
    """Return one event; JSON keeps its data on one line."""
    return f"id: {sequence}\nevent: {name}\ndata: {json.dumps(data)}\n\n"


def reply(frames: Frames, permit: Permit) -> PacedStream:
    """Return the stream; no proxy may store or collect it. `permit` is from `acquire_stream`."""
    response = PacedStream(frames, permit, content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # a proxy must pass on every line at once
    return response


def last_seen(request: HttpRequest) -> int:
    """Return the number of the client's last event, 0 for none. Raises InvalidRequestError."""
    try:
        return parsing.whole(request.headers.get("Last-Event-ID") or "0")
    except parsing.ParseError as error:
        problem = Field(path="Last-Event-ID", message="Give the id of an event, unchanged.")
        raise InvalidRequestError([problem]) from error
