"""Messages between web and executor over the Unix socket: JSON lines, a line each.

    web → executor   {"type": "wake", "kind": "execution" | "build" | "promotion"}
                     {"type": "cancel", "id": "<execution>"}
                     {"type": "wait", "id": "<execution>"}, with "kind" also a wake-up
    executor → web   {"type": "waiting", "id": "<execution>"}   registered: read the row, then wait
                     {"type": "finished", "id": "<execution>"}  read the row again

One connection may carry any number of waits.

A lost message costs time and nothing else: the row is the truth, and both sides also look by
themselves.
"""

import json
from dataclasses import dataclass

LINE_LIMIT = 1024


class WireError(ValueError):
    """A line is not one of the messages."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message; `kind` belongs to `wake` and `wait`, `id` to all but `wake`."""

    type: str
    kind: str = ""
    id: str = ""


_TYPES = ("wake", "cancel", "wait", "waiting", "finished")


def encode(message: Message) -> bytes:
    """The message as one line."""
    pairs = {"type": message.type, "kind": message.kind, "id": message.id}
    return json.dumps({key: value for key, value in pairs.items() if value}).encode() + b"\n"


def decode(line: bytes) -> Message:
    """One line as a message; `WireError` when it is anything else."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        message = "not JSON"
        raise WireError(message) from error
    if not isinstance(data, dict) or data.get("type") not in _TYPES:
        message = "not a known message"
        raise WireError(message)
    kind, identifier = data.get("kind", ""), data.get("id", "")
    if not isinstance(kind, str) or not isinstance(identifier, str):
        message = "kind and id are strings"
        raise WireError(message)
    return Message(type=data["type"], kind=kind, id=identifier)
