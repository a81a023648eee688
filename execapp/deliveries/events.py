"""The events that deliveries announce: a name, a method of HTTP, and how a body is made."""

from collections.abc import Callable
from dataclasses import dataclass

from execapp.models import Delivery

EXECUTION_FINISHED = "execution.finished"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One kind of message. `body` makes its bytes anew for each attempt, and its media type."""

    name: str
    body: Callable[[Delivery], bytes]
    method: str = "POST"
    content_type: str = "application/json"


_events: dict[str, Event] = {}


def register(event: Event) -> None:
    """Add an event, when its app is ready. The same name replaces it."""
    _events[event.name] = event


def find(name: str) -> Event:
    """Return the event with this name. Raises KeyError."""
    return _events[name]
