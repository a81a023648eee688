"""The gates of a promotion under the names and with the explanations that pages give them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from templatemgr.models import Version
from templatemgr.promotion import gates

TITLES = {
    "ready": "Built",
    "smoke": "Smoke",
    "healthy": "Integrity",
    "unpinned": "Not pinned",
    "origins": "Registries",
}
EXPLANATIONS = {
    "ready": "Its build succeeded.",
    "smoke": "Every smoke case gave the expected result in the real sandbox.",
    "healthy": "At the last check its files were those of the build.",
    "unpinned": "The template is not pinned.",
    "origins": "Every package came from a registry of this machine's configuration.",
}


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """A gate of one version's promotion. `closed`: it forbids the promotion."""

    name: str
    title: str
    ok: bool
    closed: bool
    essential: bool
    detail: str


def gate_rows(version: Version) -> list[GateRow]:
    """Return the gates of this version's promotion."""
    return [
        GateRow(
            name=gate.name,
            title=title_of(gate.name),
            ok=gate.ok,
            closed=gate.closed,
            essential=gate.name in gates.ESSENTIAL,
            detail=gate.detail,
        )
        for gate in gates.evaluate(version=version)
    ]


def policy_rows(required: Iterable[str]) -> list[dict[str, Any]]:
    """Return every gate for the policy's form. Essential gates are required in any case."""
    chosen = {*required, *gates.ESSENTIAL}
    return [
        {
            "name": gate,
            "title": title_of(gate),
            "says": EXPLANATIONS.get(gate, ""),
            "essential": gate in gates.ESSENTIAL,
            "required": gate in chosen,
        }
        for gate in gates.names()
    ]


def title_of(gate: str) -> str:
    """Return the title of a gate; an unknown gate is called by its own name."""
    return TITLES.get(gate, gate.replace("_", " ").capitalize())
