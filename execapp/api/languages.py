"""Templates as the languages of other services: names, aliases, and versions of the runtime."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from templatemgr.models import HealthState, Template, Version

_NODE = "node-linux-"
_NUMBERS = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?")
# The names under which clients of Piston know these languages.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "javascript": ("js", "node", "node-js", "node-javascript"),
    "python": ("py", "py3", "python3"),
    "typescript": ("ts", "node-ts", "tsc"),
}


@dataclass(frozen=True, kw_only=True)
class Language:
    """A template that can run programs. `version` has three numbers, such as 3.13.5."""

    name: str
    title: str
    version: str
    aliases: tuple[str, ...]
    runtime: str | None


def current() -> list[Language]:
    """Return the languages whose current version is healthy, by name. One query."""
    rows = Template.objects.filter(current__health__state=HealthState.VERIFIED)
    found = rows.select_related("current").order_by("name")
    return [of(row.current, row) for row in found if row.current is not None]


def of(version: Version, template: Template | None = None) -> Language:
    """Return a version as a language; `template` spares the query for its row."""
    template = template or version.template
    packages = {str(item.get("name")): str(item.get("version")) for item in version.packages}
    node = next((name for name in packages if name.startswith(_NODE)), None)
    locked = packages.get(template.name) or (packages[node] if node else "")
    return Language(
        name=template.name,
        title=template.title,
        version=_three_numbers(locked) or f"{version.number}.0.0",
        aliases=ALIASES.get(template.name, ()),
        runtime="node" if node else None,
    )


def template_named(name: str) -> str:
    """Return the name of the template that a name or an alias means."""
    return next((template for template, others in ALIASES.items() if name in others), name)


def _three_numbers(text: str) -> str | None:
    found = _NUMBERS.match(text)
    return ".".join(str(int(part or 0)) for part in found.groups()) if found else None
