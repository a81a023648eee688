"""Users and their roles: listed, invited, changed."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render

from templatemgr.models import AuditEvent
from webui.access import users
from webui.audit_log import event_text
from webui.shell import decorators
from webui.signin import roles

LATELY = 10
FILTERS = ("q", "role", "state")


@decorators.form("webui.manage_users", fresh=True)
def index(request: HttpRequest) -> HttpResponse:
    """The users, and the form that invites one. The link of a new one is in the answer alone."""
    if request.method != "POST":
        return _page(request, given={"role": "viewer"})
    given = {name: request.POST.get(name, "").strip() for name in ("name", "email", "role")}
    try:
        made = users.invite(
            name=given["name"],
            email=given["email"],
            role=given["role"],
            actor=decorators.actor(request),
        )
    except users.InvalidUserError as error:
        return _page(request, given=given, problems=error.problems)
    path = users.link(user=made, actor=decorators.actor(request))
    return _page(
        request, given={"role": "viewer"}, made=made, link=request.build_absolute_uri(path)
    )


@decorators.page_for("webui.manage_users")
def detail(request: HttpRequest, user_id: int) -> HttpResponse:
    """One user: role, second factor, and what they did last."""
    return _detail(request, _get(user_id))


@decorators.form("webui.manage_users", fresh=True)
def link(request: HttpRequest, user_id: int) -> HttpResponse:
    """A new link to set a password with, shown in the answer and nowhere else."""
    user = _get(user_id)
    if request.method != "POST":
        return redirect("user", user_id)
    try:
        path = users.link(user=user, actor=decorators.actor(request))
    except users.UserError as error:
        return _refuse(request, error, user)
    return _detail(request, user, link=request.build_absolute_uri(path))


@decorators.change("webui.manage_users", fresh=True)
def change_role(request: HttpRequest, user_id: int) -> HttpResponseRedirect:
    """Another role, from the next request of the user on."""
    user = _get(user_id)
    role = request.POST.get("role", "")
    try:
        users.change_role(user=user, role=role, actor=decorators.actor(request))
    except users.UserError as error:
        return _refuse(request, error, user)
    said = "has no role any more" if role == "none" else f"is {role} from now on"
    decorators.done(request, f"{user} {said}.")
    return redirect("user", user_id)


@decorators.change("webui.manage_users", fresh=True)
def deactivate(request: HttpRequest, user_id: int) -> HttpResponseRedirect:
    """Refuse the user from now on."""
    user = _get(user_id)
    try:
        users.deactivate(user=user, actor=decorators.actor(request))
    except users.UserError as error:
        return _refuse(request, error, user)
    decorators.done(request, f"{user} is deactivated and signed out everywhere. The history stays.")
    return redirect("user", user_id)


@decorators.change("webui.manage_users", fresh=True)
def activate(request: HttpRequest, user_id: int) -> HttpResponseRedirect:
    """Let the user in again."""
    user = users.activate(user=_get(user_id), actor=decorators.actor(request))
    decorators.done(request, f"{user} can sign in again.")
    return redirect("user", user_id)


@decorators.change("webui.manage_users", fresh=True)
def reset_second_factor(request: HttpRequest, user_id: int) -> HttpResponseRedirect:
    """Somebody lost their telephone."""
    user = _get(user_id)
    count = users.reset_second_factor(user=user, actor=decorators.actor(request))
    if count:
        decorators.done(request, f"{user} signs in without a second factor until they set one up.")
    else:
        decorators.done(request, f"{user} had no second factor.")
    return redirect("user", user_id)


def _get(user_id: int) -> User:
    try:
        return users.get(user_id=user_id)
    except users.UnknownUserError as error:
        raise Http404(error.message) from error


def _refuse(request: HttpRequest, error: users.UserError, user: User) -> HttpResponseRedirect:
    messages.error(request, error.message, extra_tags="bad")
    return redirect("user", user.pk)


def _page(
    request: HttpRequest,
    *,
    given: dict[str, str],
    problems: dict[str, str] | None = None,
    made: User | None = None,
    link: str = "",
) -> HttpResponse:
    wanted = {name: request.GET.get(name, "").strip() for name in FILTERS}
    after = request.GET.get("after", "")
    found = users.page(after=after, **wanted)
    kept = {name: value for name, value in wanted.items() if value}
    context: dict[str, Any] = {
        "rows": [(user, roles.of(user)) for user in found.users],
        "older_url": f"?{urlencode(kept | {'after': found.next})}" if found.next else "",
        "first_url": f"?{urlencode(kept)}",
        "after": after,
        "wanted": wanted,
        "filtered": bool(kept),
        "roles": roles.ROLES,
        "given": given,
        "problems": problems or {},
        "made": made,
        "link": link,
    }
    return render(request, "access/users/index.html", context, status=422 if problems else 200)


def _detail(request: HttpRequest, user: User, *, link: str = "") -> HttpResponse:
    events = AuditEvent.objects.filter(actor=user.username).order_by("-sequence")
    context = {
        "person": user,
        "role": roles.of(user),
        "roles": roles.ROLES,
        "others": [group.name for group in user.groups.all() if group.name not in roles.NAMES],
        "oneself": user == request.user,
        "acts": [event_text.describe(event) for event in events[:LATELY]],
        "link": link,
    }
    return render(request, "access/users/detail.html", context)
