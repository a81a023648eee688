"""Confirmations before an action: a dialog with JavaScript, a page without.

The action itself is a POST of its own. If it is refused, the reply shows the same confirmation with
the typed reason and the problem. Pure: no query.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from django.urls import reverse

from templatemgr.models import Template, Version
from webui.templatetags.stencil import size


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """An action and its texts; `permission` is the codename that it needs."""

    action: str
    permission: str
    title: str
    text: str
    url: str  # target of the POST
    button: str
    back: str
    tone: Literal["primary", "bad"] = "primary"
    hidden: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""  # a proposal, or the text typed before a refusal
    problem: str = ""
    blocked: bool = False  # the form cannot be sent; `problem` gives the reason
    about: str = ""  # distinguishes confirmations of the same action on one page

    @property
    def id(self) -> str:
        """Return the id of the dialog on its page."""
        return f"confirm-{self.action}-{self.about}" if self.about else f"confirm-{self.action}"

    def refused(self, reason: str, problem: str) -> "Confirmation":
        """Return the same confirmation after a refusal, with the typed reason."""
        return replace(self, reason=reason, problem=problem)


def roll_back(template: Template, previous: Version | None) -> Confirmation:
    """Return the confirmation of a roll back to `previous`."""
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
        text=(
            f"Version {target} becomes current again for every execution that starts after "
            f"this. Version {current.number if current else '–'} stays and can be promoted again."
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
    """Return the confirmation of a pin on the current version."""
    at = f" at {template.current.number}" if template.current else ""
    return Confirmation(
        action="pin",
        permission="templatemgr.pin_template",
        title=f"Pin {template.title}{at}",
        text="Promotions and roll backs are refused until it is unpinned. Builds still run.",
        url=reverse("pin", args=[template.name]),
        button="Pin",
        back=reverse("template", args=[template.name]),
    )


def unpin(template: Template) -> Confirmation:
    """Return the confirmation that removes the pin."""
    held = f"Pinned by {template.pinned_by}: “{template.pin_reason}”." if template.pinned else ""
    return Confirmation(
        action="unpin",
        permission="templatemgr.pin_template",
        title=f"Unpin {template.title}",
        text=f"{held} Afterwards versions can be promoted and rolled back again.".strip(),
        url=reverse("unpin", args=[template.name]),
        button="Unpin",
        back=reverse("template", args=[template.name]),
    )


def remove(version: Version, *, frees: int | None, needed: list[str]) -> Confirmation:
    """Return the confirmation that removes a version's tree.

    `frees` is in bytes, None if it is unknown. `needed` are the reasons against the removal.
    """
    name, number = version.template.name, version.number
    freed = "" if frees is None else f" This frees about {size(frees)}, not counting shared files."
    return Confirmation(
        action="remove",
        permission="templatemgr.remove_version",
        title=f"Remove {version.template.title} {number}",
        text=(
            f"Its tree and cache are deleted.{freed} Its record, its inputs and its log stay, "
            "and a rebuild from it restores it."
        ),
        url=reverse("remove_version", args=[name, number]),
        button=f"Remove {number}",
        back=reverse("version", args=[name, number]),
        tone="bad",
        problem=f"It cannot be removed: {'; '.join(needed)}." if needed else "",
        blocked=bool(needed),
    )
