"""Output of programs as text, and values as JSON."""

import base64
import codecs
import json
from typing import Any


def decode_output(data: bytes | memoryview, *, truncated: bool) -> tuple[str, str]:
    """Return output as a string and its encoding: `utf8`, or `base64` when it is not UTF-8.

    A character that the output limit cut in two is left out, so that truncated text stays text.
    """
    raw = bytes(data)
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(raw, final=not truncated), "utf8"
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode("ascii"), "base64"


def encode_json(data: Any) -> bytes:
    """Return `data` as JSON in the form of every reply and every callback."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def text_piece(data: bytes, *, last: bool, truncated: bool) -> tuple[int, str, str]:
    """Return how many bytes of a piece of output to send now, their text, and its encoding.

    An incomplete character at the end waits for its rest. At the end of the stream (`last`) it is
    sent as base64, or left out if the output limit has cut it (`truncated`).
    """
    waits = _incomplete(data)
    if waits and (not last or truncated or waits < len(data)):
        data = data[:-waits]
    try:
        return len(data), data.decode(), "utf8"
    except UnicodeDecodeError:
        return len(data), base64.b64encode(data).decode("ascii"), "base64"


def _incomplete(data: bytes) -> int:
    """Return the number of bytes at the end that begin a character and do not complete it."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return back if needed > back and byte < 0xF5 else 0
    return 0
