"""Doors: other interfaces beside our own API. `STENCIL_DOORS` names the open ones."""

from dataclasses import dataclass

from django.conf import settings


# Decision 0043: a door translates requests and replies, and has no rules of its own.
@dataclass(frozen=True, kw_only=True)
class Door:
    """An interface that clients already speak, and its base address."""

    name: str
    title: str
    base: str


DOORS = (
    Door(name="piston", title="Piston, version 2", base="/api/v2/"),
    Door(name="mcp", title="Model Context Protocol", base="/mcp"),
    Door(name="judge0", title="Judge0 CE 1.14", base="/judge0/"),
)
NAMES: tuple[str, ...] = tuple(door.name for door in DOORS)


def is_open(name: str) -> bool:
    """Say whether requests to this door are served; those to a closed door get status 404."""
    return name in settings.STENCIL_DOORS


def standings() -> list[tuple[Door, bool]]:
    """Return every door, and whether it is open."""
    return [(door, is_open(door.name)) for door in DOORS]
