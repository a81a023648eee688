"""What is asked once before an act: in a dialog where there is JavaScript, as a page where not.

Pure: rows in, words out. The act itself stays a POST of its own, which a refusal answers with the
same words, the reason that was typed, and what stood in the way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from django.urls import reverse

from templatemgr.models import Template, Version
from webui.templatetags.stencil import size


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """One act with its words; `permission` is the codename of what it needs."""

    action: str
    permission: str
    title: str
    says: str
    url: str  # what it posts to
    button: str
    back: str
    tone: Literal["primary", "bad"] = "primary"
    hidden: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""  # a first draft, or what was typed before a refusal
    problem: str = ""
    blocked: bool = False  # nothing can be sent: `problem` says why
    about: str = ""  # what tells it from the same question about another on one page

    @property
    def id(self) -> str:
        """The dialog's id on a page."""
        return f"confirm-{self.action}-{self.about}" if self.about else f"confirm-{self.action}"

    def refused(self, reason: str, problem: str) -> "Confirmation":
        """The same question after a refusal: nothing that was typed is lost."""
        return replace(self, reason=reason, problem=problem)


def roll_back(template: Template, previous: Version | None) -> Confirmation:
    """Make the version before the current one current again."""
    current, target = template.current, previous.number if previous else None
    blocked = ""
    if template.pinned:
        blocked = "It is pinned: unpin it first."
    elif previous is None:
        blocked = "No earlier version is left to roll back to."
    return Confirmation(
        action="rollback",
        permission="templatemgr.promote_version",
        title=f"Roll back to {target}" if target else f"Roll back {template.title}",
        says=(
            f"Version {target} becomes current again for every execution that starts from then "
            f"on. Version {current.number if current else '–'} stays and can be promoted again."
            if target
            else ""
        ),
        url=reverse("roll_back", args=[template.name]),
        button=f"Roll back to {target}" if target else "Roll back",
        back=reverse("template", args=[template.name]),
        hidden={"expected_current": current.number if current else ""},
        reason=f"{current.number} misbehaves" if current and target else "",
        problem=blocked,
        blocked=bool(blocked),
        about=f"{template.name}-{target}",
    )


def pin(template: Template) -> Confirmation:
    """Hold a template on its version."""
    at = f" at {template.current.number}" if template.current else ""
    return Confirmation(
        action="pin",
        permission="templatemgr.pin_template",
        title=f"Pin {template.title}{at}",
        says="Nobody can promote or roll back until it is unpinned. Builds still run.",
        url=reverse("pin", args=[template.name]),
        button="Pin",
        back=reverse("template", args=[template.name]),
    )


def unpin(template: Template) -> Confirmation:
    """Let go of it."""
    held = f"Pinned by {template.pinned_by}: “{template.pin_reason}”." if template.pinned else ""
    return Confirmation(
        action="unpin",
        permission="templatemgr.pin_template",
        title=f"Unpin {template.title}",
        says=f"{held} Afterwards versions can be promoted and rolled back again.".strip(),
        url=reverse("unpin", args=[template.name]),
        button="Unpin",
        back=reverse("template", args=[template.name]),
    )


def remove(version: Version, *, frees: int | None, needed: list[str]) -> Confirmation:
    """Take a version's tree from the disk; `frees` in bytes, None when nobody knows."""
    name, number = version.template.name, version.number
    freed = "" if frees is None else f" That frees about {size(frees)}: what nothing else shares."
    return Confirmation(
        action="remove",
        permission="templatemgr.remove_version",
        title=f"Remove {version.template.title} {number}",
        says=(
            f"Its tree and cache leave the disk.{freed} Its record, its inputs and its log stay, "
            "and a rebuild from it brings it back."
        ),
        url=reverse("remove_version", args=[name, number]),
        button=f"Remove {number}",
        back=reverse("version", args=[name, number]),
        tone="bad",
        problem=f"It cannot be removed: {'; '.join(needed)}." if needed else "",
        blocked=bool(needed),
    )
