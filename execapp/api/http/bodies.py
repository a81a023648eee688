"""Bodies of requests: chunked ones, and the rest of bodies that no view reads."""

import io
import time
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import LimitedStream
from django.http import HttpRequest, UnreadablePostError

DRAIN_BYTES = 128 * 1024 * 1024
DRAIN_SECONDS = 10.0
PIECE = 64 * 1024


def take_chunked(request: HttpRequest) -> None:
    """Give a chunked body a length: Django reads nothing without one.

    At most one byte more than is allowed is read: enough for Django to refuse it.
    """
    meta: dict[str, Any] = request.META
    if not meta.get("wsgi.input_terminated") or meta.get("CONTENT_LENGTH"):
        return
    if "chunked" not in meta.get("HTTP_TRANSFER_ENCODING", "").lower():
        return
    source, left, pieces = meta["wsgi.input"], settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1, []
    while left > 0 and (piece := source.read(min(PIECE, left))):
        pieces.append(piece)
        left -= len(piece)
    body = b"".join(pieces)
    meta["CONTENT_LENGTH"] = str(len(body))
    vars(request)["_stream"] = LimitedStream(io.BytesIO(body), len(body))


def drain(request: HttpRequest) -> None:
    """Read the rest of a refused request, within bounds.

    A client that is still sending when the connection closes sees a broken pipe and never the
    refusal.
    """
    until, left = time.monotonic() + DRAIN_SECONDS, DRAIN_BYTES
    try:
        while left > 0 and time.monotonic() < until:
            piece = request.read(PIECE)
            if not piece:
                return
            left -= len(piece)
    except (OSError, UnreadablePostError):
        return
