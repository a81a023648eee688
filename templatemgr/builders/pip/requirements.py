"""pip's requirements files and packages' metadata: what is wanted, and who needs whom.

Names are compared as PEP 503 normalises them; requirements are those of PEP 508.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from email.message import Message

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

OSI = "License :: OSI Approved :: "
INACTIVE = "Development Status :: 7 - Inactive"
LONGEST_LICENCE = 60  # longer ones are the licence's text, not its name


def plain(name: str) -> str:
    """Return a name in the form in which names are compared."""
    return str(canonicalize_name(name))


def wanted(text: str) -> list[Requirement]:
    """Return what a requirements file asks for by name; options and other lines are left out."""
    found = (_requirement(line) for line in text.splitlines())
    return [requirement for requirement in found if requirement is not None]


def unmet(text: str, locked: Mapping[str, str]) -> set[str]:
    """Return the plain names whose locked version is none that the text asks for."""
    return {
        plain(requirement.name)
        for requirement in wanted(text)
        if not requirement.specifier.contains(
            locked.get(plain(requirement.name), "0.dev0"), prereleases=True
        )
    }


def hold(text: str, name: str, version: str) -> str:
    """Write an exact version where the text names a package; else add a line that holds it."""
    lines, found = [], False
    for line in text.splitlines():
        requirement = _requirement(line)
        if requirement is None or plain(requirement.name) != plain(name):
            lines.append(line)
            continue
        found = True
        comment = line[len(_without_comment(line)) :]
        requirement.specifier = SpecifierSet(f"=={version}")
        lines.append(f"{requirement}{comment}")
    if not found:
        lines.append(f"{plain(name)}=={version}")
    return "".join(f"{line}\n" for line in lines)


def needs(metadata: Message) -> list[Requirement]:
    """Return what a package's metadata says that it depends on; unreadable lines are left out."""
    lines = metadata.get_all("Requires-Dist") or []
    found = (_requirement(str(line)) for line in lines)
    return [requirement for requirement in found if requirement is not None]


def chains(
    asked: Iterable[Requirement], needed: Mapping[str, Iterable[Requirement]]
) -> dict[str, tuple[str, ...]]:
    """Return by plain name the shortest way from what is asked for to each package.

    Breadth first over `needed` (by plain name), with the extras that are asked for, and markers
    evaluated for the Python that runs this, which is the one that the tree holds.
    """
    found: dict[str, tuple[str, ...]] = {}
    seen: set[tuple[str, str]] = set()
    pending: deque[tuple[Requirement, str, tuple[str, ...]]] = deque()
    pending.extend((requirement, "", ()) for requirement in asked)
    while pending:
        requirement, extra, way = pending.popleft()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
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


def licence(metadata: Message) -> str:
    """Return the licence's name: the expression, the short field, or the classifiers'."""
    expression = metadata["License-Expression"]
    if expression:
        return str(expression)
    field = str(metadata["License"] or "")
    if field and field != "UNKNOWN" and "\n" not in field and len(field) <= LONGEST_LICENCE:
        return field
    classifiers = map(str, metadata.get_all("Classifier") or [])
    return ", ".join(c.removeprefix(OSI) for c in classifiers if c.startswith(OSI))


def deprecated(metadata: Message) -> str:
    """Return why nobody should begin to use a package; empty when its author does not say so."""
    if INACTIVE in map(str, metadata.get_all("Classifier") or []):
        return "Its author calls it inactive."
    return ""


def _requirement(line: str) -> Requirement | None:
    text = _without_comment(line).strip()
    if not text or text.startswith("-"):
        return None
    try:
        return Requirement(text)
    except (InvalidRequirement, RecursionError):
        return None


def _without_comment(line: str) -> str:
    """Return what stands before a comment, which begins by `#` at the start or after a space."""
    at = line.find("#")
    while at > 0 and not line[at - 1].isspace():
        at = line.find("#", at + 1)
    return line if at < 0 else line[:at].rstrip()
