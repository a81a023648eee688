"""The review of a change: packages with their chains, scripts, licences and origins. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from templatemgr.difference import Deprecation, Difference, Script
from webui.promotions.package_changes import Change, Comparison, Distance

FILES_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A word beside a package; `tone` is the class that colours it."""

    tone: str
    text: str


@dataclass(frozen=True, kw_only=True)
class PackageReview:
    """One changed package, the packages that depend on it, and marks for other news about it."""

    change: Change
    chain: tuple[str, ...]  # without the package itself; empty for a direct one
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class ChangeReview:
    """A comparison of packages, with details from lockfiles and manifests.

    `difference` is None when the files of a version cannot be read, or there is no old version.
    """

    packages: Comparison
    rows: tuple[PackageReview, ...]
    difference: Difference | None

    @property
    def scripts(self) -> tuple[Script, ...]:
        """Packages whose code a build runs for the first time."""
        return self.difference.scripts if self.difference else ()

    @property
    def deprecated(self) -> tuple[Deprecation, ...]:
        """Deprecated packages that are new."""
        found = self.difference.deprecations if self.difference else ()
        return tuple(item for item in found if item.new)

    @property
    def risks(self) -> int:
        """The number of findings that a reviewer must look at."""
        found = self.difference
        others = len(found.licences) + len(found.origins) if found else 0
        return len(self.scripts) + len(self.deprecated) + others


def review(packages: Comparison, difference: Difference | None) -> ChangeReview:
    """Return the changes, each with the known details of its package."""
    chains = {item.name: item.chain for item in difference.packages} if difference else {}
    marks = _marks(difference)
    rows = [
        PackageReview(
            change=change,
            chain=tuple(chains.get(change.name, ())[:-1]),
            marks=marks.get(change.name, ()) if change.distance != Distance.REMOVED else (),
        )
        for change in packages.changes
    ]
    return ChangeReview(packages=packages, rows=tuple(rows), difference=difference)


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
