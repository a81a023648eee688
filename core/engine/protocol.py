"""Messages between web processes and executors, as lines of JSON.

    web → executor   {"type": "wake", "kind": "<kind>"}         see WakeKind
                     {"type": "cancel", "id": "<execution>"}
                     {"type": "wait", "id": "<execution>"}      with "kind" also a wake-up
                     {"type": "begin", "id": "<execution>"}     committed just now: wake and wait
                     {"type": "follow", "id": "<execution>", "at": [<version>]}
                     {"type": "read", "id": "<execution>", "at": [<offsets>, <run>]}
    executor → web   {"type": "waiting", "id": "<execution>"}   the wait is registered
                     {"type": "finished", "id": "<execution>"}  read the row again
                     {"type": "changed", "id": "<execution>"}   it has written or reported more

"follow" registers a wait, and asks for one "changed" as soon as the version of the data is another
one. If the execution does not run, the reply is "waiting". "read" has a connection of its own; the
reply is one line of JSON and the bytes of both streams, see `write_part`.

A web process reads the row when it gets "waiting": an end after that is sent as "finished". To
"begin" the executor replies "finished" alone, at once if the execution has ended already. One
connection may carry any number of waits. A lost message costs time and nothing else: the database
row is authoritative, and both sides also read it at intervals.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO

from core.engine.live import LivePart

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
    at: tuple[int, ...] = ()


_TYPES = ("wake", "cancel", "wait", "begin", "waiting", "finished", "follow", "changed", "read")


def encode(message: Message) -> bytes:
    """Return the message as one line."""
    pairs = {"type": message.type, "kind": message.kind, "id": message.id, "at": message.at}
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
    return Message(
        type=data["type"],
        kind=WakeKind(kind) if kind else None,
        id=identifier,
        at=_numbers(data.get("at", [])),
    )


def write_part(part: LivePart | None) -> bytes:
    """Return the reply to "read": a line of JSON (null if nothing runs) and two byte streams."""
    if part is None:
        return b"null\n"
    head = {
        **vars(part),
        "stdout": len(part.stdout),
        "stderr": len(part.stderr),
    }
    return json.dumps(head).encode() + b"\n" + part.stdout + part.stderr


def read_part(lines: BinaryIO) -> LivePart | None:
    """Read the reply to "read". Raises WireError for a reply that is cut off."""
    line = lines.readline()
    try:
        head = json.loads(line)
        if head is None:
            return None
        streams = {name: lines.read(head[name]) for name in ("stdout", "stderr")}
        if any(len(streams[name]) != head[name] for name in streams):
            message = "the data is cut off"
            raise WireError(message)
        return LivePart(**{**head, **streams, "checksums": tuple(head["checksums"])})
    except (ValueError, TypeError, KeyError) as error:
        message = "not a part"
        raise WireError(message) from error


def _numbers(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(n) is int and n >= 0 for n in value):
        message = "at is a list of numbers"
        raise WireError(message)
    return tuple(value)
