"""Messages between web processes and executors, as lines of JSON.

    web → executor   {"type": "wake", "kind": "<kind>"}         see WakeKind
                     {"type": "cancel", "id": "<execution>"}
                     {"type": "wait", "id": "<execution>"}      with "kind" also a wake-up
                     {"type": "begin", "id": "<execution>"}     committed just now: wake and wait
    executor → web   {"type": "waiting", "id": "<execution>"}   the wait is registered
                     {"type": "finished", "id": "<execution>"}  read the row again

A web process reads the row when it gets "waiting": an end after that is sent as "finished". To
"begin" the executor replies "finished" alone, at once if the execution has ended already. One
connection may carry any number of waits. A lost message costs time and nothing else: the database
row is authoritative, and both sides also read it at intervals.
"""

import json
from dataclasses import dataclass
from enum import StrEnum

LINE_LIMIT = 1024  # bytes of a message


class WakeKind(StrEnum):
    """The kind of work that a wake-up announces."""

    EXECUTION = "execution"  # an execution was queued
    BUILD = "build"  # a build was queued, or is to be cancelled
    LOOKUP = "lookup"  # a lookup of newer packages was queued
    VERIFICATION = "verification"  # a verification was queued
    DELIVERY = "delivery"  # a delivery is due
    PROMOTION = "promotion"  # a current version, a pin or the health of a version changed


class WireError(ValueError):
    """A line is not one of the messages."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message; `kind` belongs to `wake` and `wait`, `id` to all but `wake`."""

    type: str
    kind: WakeKind | None = None
    id: str = ""


_TYPES = ("wake", "cancel", "wait", "begin", "waiting", "finished")


def encode(message: Message) -> bytes:
    """Return the message as one line."""
    pairs = {"type": message.type, "kind": message.kind, "id": message.id}
    return json.dumps({key: value for key, value in pairs.items() if value}).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Return the message in one line. Raises WireError."""
    try:
        data = json.loads(str(line, "utf-8"))
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
    if (kind or data["type"] == "wake") and kind not in WakeKind:
        message = "not a known kind"
        raise WireError(message)
    return Message(type=data["type"], kind=WakeKind(kind) if kind else None, id=identifier)
