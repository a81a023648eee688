"""Context processors of the shell around each page: navigation, palette, health."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import F
from django.http import HttpRequest
from django.urls import reverse

from execapp.services import health
from templatemgr.models import HealthState, Template, unsafe_rows
from webui.http import HtmxHttpRequest
from webui.signin import roles

RAIL = (
    ("Overview", "overview", ""),
    ("Templates", "templates", "templates"),
    ("Executions", "executions", "executions"),
    ("Playground", "playground", "playground"),
    ("Audit", "audit", "audit"),
    ("Tokens", "tokens", "tokens"),
    ("Users", "users", "users"),
    ("System", "system", "system"),
)
# Pages that need more than a role.
PERMISSIONS = {
    "playground": "execapp.submit_execution",
    "tokens": "execapp.manage_tokens",
    "users": "webui.manage_users",
    "system": "webui.view_system",
}


HEALTH = "stencil.health"


@dataclass(frozen=True, kw_only=True)
class Item:
    """A link of the navigation or the palette."""

    title: str
    url: str
    current: bool = False
    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class ShellHealth:
    """The health in the foot of the navigation.

    `troubles` counts the current versions that cannot be served.
    """

    executor_alive: bool
    slots: int
    busy: int
    warm: int
    troubles: int
    sandbox_trouble: str = ""


def may(request: HttpRequest) -> dict[str, Any]:
    """Return the user's permissions by codename, for each page and fragment."""
    return {"may": roles.May(request.user)} if hasattr(request, "user") else {}


def know_health(request: HttpRequest, snapshot: health.HealthSnapshot) -> None:
    """Pass the health that this request has already read to the shell."""
    request.META[HEALTH] = snapshot


def shell(request: HtmxHttpRequest) -> dict[str, Any]:
    """Return the context of the shell; empty for visitors who are not signed in."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {}
    if request.htmx:
        return {}  # a fragment has no shell around it
    rows = Template.objects.annotate(health=F("current__health__state"))
    templates = list(rows.only("name", "title"))
    whole = (HealthState.VERIFIED, HealthState.RETIRED, None)  # None: nothing is current
    troubles = sum(row.health not in whole for row in templates)
    return {
        "shell": {
            "items": rail(request.path, len(templates), _places(request)),
            "palette": palette(templates, _places(request)),
            "health": shell_health(request.META.get(HEALTH), troubles),
        }
    }


def _places(request: HttpRequest) -> tuple[tuple[str, str, str], ...]:
    """Return the pages that this user can open."""
    if not roles.allowed(request.user, roles.LOOK):
        return ()
    return tuple(
        place
        for place in RAIL
        if place[1] not in PERMISSIONS or roles.allowed(request.user, PERMISSIONS[place[1]])
    )


def rail(path: str, templates: int, places: tuple[tuple[str, str, str], ...]) -> list[Item]:
    """Return the items of the navigation; pages of builds mark the item of templates."""
    first = path.strip("/").split("/")[0]
    here = "templates" if first == "builds" else first
    return [
        Item(
            title=title,
            url=reverse(name),
            current=here == segment,
            count=templates if name == "templates" else None,
        )
        for title, name, segment in places
    ]


def palette(templates: Iterable[Template], places: tuple[tuple[str, str, str], ...]) -> list[Item]:
    """Return a link to each page, then the links of each template."""
    items = [Item(title=title, url=reverse(name)) for title, name, _ in places]
    for template in templates:
        page = reverse("template", args=[template.name])
        items.append(Item(title=f"Template {template.title}", url=page))
        executions = f"{reverse('executions')}?template={template.name}"
        items.append(Item(title=f"Executions of {template.title}", url=executions))
    return items


def shell_health(
    known: health.HealthSnapshot | None = None, troubles: int | None = None
) -> ShellHealth:
    """Return the health in at most three queries; known values save queries.

    The queries read executors, open executions, and quarantined current versions.
    """
    now = known or health.snapshot()
    if troubles is None:
        bad = Template.objects.filter(unsafe_rows("current__health__"), current__isnull=False)
        troubles = bad.count()
    return ShellHealth(
        executor_alive=now.executor_alive,
        slots=now.slots,
        busy=now.busy,
        warm=now.warm,
        troubles=troubles,
        sandbox_trouble=now.trouble,
    )
