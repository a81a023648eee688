"""Replies with the bytes of foreign files. No browser shows one as a page of this origin."""

from django.http import HttpResponse
from django.utils.http import content_disposition_header

# A picture or a file that is opened by itself: no scripts, no forms, an origin of its own.
_POLICY = "sandbox; default-src 'none'"
# A picture is known by its first bytes: SVG is not among them, because it can hold scripts.
_PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
HEAD_BYTES = 16


def attachment(data: bytes, *, path: str) -> HttpResponse:
    """Return a file as a download, under the last part of its path."""
    response = _safe(data, "application/octet-stream")
    name = path.rpartition("/")[2]
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return response


def picture(data: bytes) -> HttpResponse | None:
    """Return a PNG, JPEG, GIF or WebP to show in a page; None for any other content."""
    media = picture_type(data)
    return None if media is None else _safe(data, media)


def picture_type(head: bytes) -> str | None:
    """Return the media type of a picture by its first `HEAD_BYTES` bytes, or None."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((media for start, media in _PICTURES.items() if head.startswith(start)), None)


def _safe(data: bytes, media: str) -> HttpResponse:
    response = HttpResponse(data, content_type=media)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = _POLICY
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    return response
