"""The rules of a template for environment variables of a submission. Pure.

A variable that a runtime reads when it starts has no effect on one that has started already: a
submission that brings one is started cold, with the variable set from the first instruction.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\*?")


@dataclass(frozen=True, kw_only=True)
class Variables:
    """Names of variables; a name that ends with `*` stands for all names that begin so.

    `start`: read when the runtime or something preloaded starts; set before the runner starts.
    `anew`: the same, but the runner starts without them and starts the program anew with them: a
    wrong value of such a name would keep the runner itself from starting. `refused`: never taken,
    with the reason for each. Any other name is set in the program's environment only.
    """

    start: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    def at_start(self, names: Iterable[str]) -> list[str]:
        """Return the names that the runtime reads at its start, sorted."""
        known = (*self.start, *self.anew)
        return sorted(name for name in names if any(covers(p, name) for p in known))

    def for_runner(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the part of `env` that is set before a cold runner starts."""
        return {
            name: value
            for name, value in env.items()
            if not any(covers(p, name) for p in self.anew)
        }

    def accepts(self, name: str) -> bool:
        """Return whether the template takes the full name, with effect at the start."""
        return name in self.start or name in self.anew

    def refusal(self, name: str) -> str | None:
        """Return why a variable is refused, or None if this template takes it.

        A name that `start` or `anew` has in full is not refused by a pattern.
        """
        if name in self.refused:
            return self.refused[name]
        if self.accepts(name):
            return None
        return next((why for p, why in self.refused.items() if covers(p, name)), None)


def covers(pattern: str, name: str) -> bool:
    """Return whether a name, or a prefix with `*` after it, covers this name."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
