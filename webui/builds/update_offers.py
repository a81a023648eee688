"""The packages of a template that can move, as the page offers them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from templatemgr import package_diff
from templatemgr.builders.base import Candidate
from webui.promotions.package_changes import Distance, distance

PACKAGE_FIELD = "move:"  # + the name of a package; its value: the version to move to, "" to stay
ORDER = tuple(Distance)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A version to move to; `value` is the package as a build request names it."""

    version: str
    value: str
    far: Distance
    ticked: bool


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One package: the newest version in its range, and the newest of all; None: not newer.

    `held`: the newest version, when the range of another package excludes it.
    """

    name: str
    installed: str
    direct: bool
    ranged: Choice | None
    newest: Choice | None
    held: str = ""

    @property
    def field(self) -> str:
        """The name of its radio buttons."""
        return f"{PACKAGE_FIELD}{self.name}"

    @property
    def movable(self) -> bool:
        """Whether a newer version can be chosen."""
        return self.ranged is not None or self.newest is not None

    @property
    def stays(self) -> bool:
        """Whether no newer version is chosen."""
        return not any(choice and choice.ticked for choice in (self.ranged, self.newest))


@dataclass(frozen=True, kw_only=True)
class Offers:
    """Packages that can move, the farthest first, and packages that cannot."""

    movable: tuple[Offer, ...]
    settled: tuple[Offer, ...]


def offers(
    found: Sequence[Candidate], packages: Iterable[Mapping[str, Any]], ticked: Iterable[str]
) -> Offers:
    """Return the offers of a registry's answer; before an answer, every package in its range.

    `packages` are those of a version; `ticked` is the earlier choice ("vitest", "vitest@5.2.0").
    """
    chosen_before = frozenset(ticked)
    if found:
        all_offers = [_offer(candidate, chosen_before) for candidate in found]
    else:
        all_offers = [_unknown(package, chosen_before) for package in packages]
    movable = sorted((offer for offer in all_offers if offer.movable), key=_rank)
    settled = sorted((offer for offer in all_offers if not offer.movable), key=_rank)
    return Offers(movable=tuple(movable), settled=tuple(settled))


def _offer(candidate: Candidate, ticked: frozenset[str]) -> Offer:
    name, installed = candidate.name, candidate.installed
    ranged = newest = None
    held = ""
    if candidate.wanted != installed:
        ranged = _choice(candidate.wanted, name, installed, ticked)
    if candidate.latest not in (installed, candidate.wanted):
        if candidate.direct:
            newest = _choice(candidate.latest, f"{name}@{candidate.latest}", installed, ticked)
        else:
            held = candidate.latest
    return Offer(
        name=name,
        installed=installed,
        direct=candidate.direct,
        ranged=ranged,
        newest=newest,
        held=held,
    )


def _choice(version: str, value: str, installed: str, ticked: frozenset[str]) -> Choice:
    far = distance(installed, version)
    return Choice(version=version, value=value, far=far, ticked=value in ticked)


def _unknown(package: Mapping[str, Any], ticked: frozenset[str]) -> Offer:
    name = str(package["name"])
    ranged = Choice(version="", value=name, far=Distance.OTHER, ticked=name in ticked)
    return Offer(
        name=name,
        installed=str(package["version"]),
        direct=bool(package.get("direct")),
        ranged=ranged,
        newest=None,
    )


def _rank(offer: Offer) -> tuple[bool, int, str, Any]:
    choices = [choice.far for choice in (offer.newest, offer.ranged) if choice]
    far = min((ORDER.index(each) for each in choices), default=len(ORDER))
    return not offer.direct, far, offer.name, package_diff.order(offer.installed)
