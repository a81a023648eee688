"""Read pip's requirements files and packages' metadata, and find chains of dependencies.

Names are compared in the normalised form of PEP 503. Requirements have the syntax of PEP 508.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from email.message import Message

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

OSI = "License :: OSI Approved :: "
INACTIVE = "Development Status :: 7 - Inactive"
LONGEST_LICENCE = 60  # characters; a longer text is the licence itself, not its name


def plain(name: str) -> str:
    """Return the normalised form of a name (PEP 503)."""
    return str(canonicalize_name(name))


def wanted(text: str) -> list[Requirement]:
    """Return the requirements of a requirements file; ignore options and all other lines."""
    found = (_requirement(line) for line, _ in _logical_lines(text))
    return [requirement for requirement in found if requirement is not None]


def unmet(text: str, locked: Mapping[str, str]) -> set[str]:
    """Return the normalised names whose locked version the text does not allow.

    A name that is not locked counts as version 0.dev0.
    """
    return {
        plain(requirement.name)
        for requirement in wanted(text)
        if not requirement.specifier.contains(
            locked.get(plain(requirement.name), "0.dev0"), prereleases=True
        )
    }


def hold(text: str, name: str, version: str) -> str:
    """Return the text with an exact version of a package.

    Replace the versions in each line that names the package, without its hashes, which are those of
    other versions; if there is none, append a line.
    """
    lines, found = [], False
    for line, physical in _logical_lines(text):
        requirement = _requirement(line)
        if requirement is None or plain(requirement.name) != plain(name):
            lines.extend(physical)
            continue
        found = True
        comment = physical[-1][len(_without_comment(physical[-1])) :]
        requirement.specifier = SpecifierSet(f"=={version}")
        lines.append(f"{requirement}{comment}")
    if not found:
        lines.append(f"{plain(name)}=={version}")
    return "".join(f"{line}\n" for line in lines)


def needs(metadata: Message) -> list[Requirement]:
    """Return the dependencies in a package's metadata; ignore lines that are not valid."""
    lines = metadata.get_all("Requires-Dist") or []
    found = (_requirement(str(line)) for line in lines)
    return [requirement for requirement in found if requirement is not None]


def chains(
    requested: Iterable[Requirement], needed: Mapping[str, Iterable[Requirement]]
) -> dict[str, tuple[str, ...]]:
    """Return the shortest chain from an item of `requested` to each package, by normalised name.

    Search `needed` (dependencies by normalised name) breadth first, with the requested extras.
    Evaluate markers for the running Python, whose copy is in the tree.
    """
    found: dict[str, tuple[str, ...]] = {}
    seen: set[tuple[str, str]] = set()
    pending: deque[tuple[Requirement, str, tuple[str, ...]]] = deque()
    pending.extend((requirement, "", ()) for requirement in requested)
    while pending:
        requirement, extra, way = pending.popleft()
        if not applies(requirement, extra):
            continue
        name = plain(requirement.name)
        if name not in needed:
            continue
        found.setdefault(name, (*way, name))
        for chosen in ("", *sorted(requirement.extras)):
            if (name, chosen) not in seen:
                seen.add((name, chosen))
                pending.extend((further, chosen, (*way, name)) for further in needed[name])
    return found


def applies(requirement: Requirement, extra: str = "") -> bool:
    """Return whether the marker holds for the running Python; False if it has no answer."""
    try:
        return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
    except (ValueError, LookupError, RecursionError):  # packaging: undefined comparison or name
        return False


def licence(metadata: Message) -> str:
    """Return the licence's name from License-Expression, a short License, or the classifiers."""
    expression = metadata["License-Expression"]
    if expression:
        return str(expression)
    field = str(metadata["License"] or "")
    if field and field != "UNKNOWN" and "\n" not in field and len(field) <= LONGEST_LICENCE:
        return field
    classifiers = map(str, metadata.get_all("Classifier") or [])
    return ", ".join(c.removeprefix(OSI) for c in classifiers if c.startswith(OSI))


def deprecated(metadata: Message) -> str:
    """Return the reason why a package is deprecated; "" if its author does not declare it so."""
    if INACTIVE in map(str, metadata.get_all("Classifier") or []):
        return "Its author declares it inactive."
    return ""


def _logical_lines(text: str) -> list[tuple[str, list[str]]]:
    """Return the lines, joined where a backslash continues them, with their physical lines."""
    found: list[tuple[str, list[str]]] = []
    parts, physical = list[str](), list[str]()
    for line in text.splitlines():
        physical.append(line)
        bare = line.rstrip()
        parts.append(bare.removesuffix("\\"))
        if not bare.endswith("\\"):
            found.append((" ".join(parts), physical))
            parts, physical = [], []
    if physical:
        found.append((" ".join(parts), physical))
    return found


def _requirement(line: str) -> Requirement | None:
    """Parse a line of a requirements file; return None for an option or an invalid line."""
    text = _without_comment(line).partition(" --")[0].strip()
    if not text or text.startswith("-"):
        return None
    try:
        return Requirement(text)
    except (InvalidRequirement, RecursionError):
        return None


def _without_comment(line: str) -> str:
    """Return a line without its comment, which begins with `#` at the start or after a space."""
    at = line.find("#")
    while at > 0 and not line[at - 1].isspace():
        at = line.find("#", at + 1)
    return line if at < 0 else line[:at].rstrip()
