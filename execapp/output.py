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
