"""What moved between two versions, with what a reader weighs: chains, scripts, licences. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from templatemgr.difference import Deprecation, Difference, Script
from webui.promotions.package_changes import Change, Comparison, Distance

FILES_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A word beside a package, coloured by how much it matters."""

    tone: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Move:
    """One package that moved, what brings it in, and what else is new about it."""

    change: Change
    chain: tuple[str, ...]  # without the package itself; empty for a direct one
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """A comparison with everything that the lockfiles and manifests add to it.

    `difference` is None when what a version keeps cannot be read, or there is nothing before.
    """

    packages: Comparison
    moves: tuple[Move, ...]
    difference: Difference | None

    @property
    def scripts(self) -> tuple[Script, ...]:
        """Packages whose own code a build runs, and did not before."""
        return self.difference.scripts if self.difference else ()

    @property
    def deprecated(self) -> tuple[Deprecation, ...]:
        """Packages that are deprecated, and were not there before."""
        found = self.difference.deprecations if self.difference else ()
        return tuple(item for item in found if item.new)

    @property
    def risks(self) -> int:
        """How many things want a second look."""
        found = self.difference
        others = len(found.licences) + len(found.origins) if found else 0
        return len(self.scripts) + len(self.deprecated) + others


def weigh(packages: Comparison, difference: Difference | None) -> Weighed:
    """Put what is known of each package beside its move."""
    chains = {item.name: item.chain for item in difference.packages} if difference else {}
    marks = _marks(difference)
    moves = [
        Move(
            change=change,
            chain=tuple(chains.get(change.name, ())[:-1]),
            marks=marks.get(change.name, ()) if change.distance != Distance.REMOVED else (),
        )
        for change in packages.changes
    ]
    return Weighed(packages=packages, moves=tuple(moves), difference=difference)


def _marks(difference: Difference | None) -> Mapping[str, tuple[Mark, ...]]:
    if difference is None:
        return {}
    found: dict[str, list[Mark]] = {}
    for script in difference.scripts:
        text = "from source" if script.built else "install script"
        found.setdefault(script.name, []).append(Mark(tone="bad", text=text))
    for item in difference.deprecations:
        found.setdefault(item.name, []).append(Mark(tone="warn", text="deprecated"))
    for pair in difference.origins:
        found.setdefault(pair.name, []).append(Mark(tone="warn", text=f"from {pair.after}"))
    for licence in difference.licences:
        if licence.before:
            found.setdefault(licence.name, []).append(Mark(tone="warn", text="licence changed"))
    return {name: tuple(marks) for name, marks in found.items()}
