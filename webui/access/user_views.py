"""Pages of users and their roles: list, invite, change."""

from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render

from webui.access import queries, users
from webui.access.forms import InviteForm, RoleForm, UserFilters
from webui.audit_log import event_text
from webui.shell import decorators, fields
from webui.signin import roles


@decorators.form("webui.manage_users", fresh=True)
def index(request: HttpRequest) -> HttpResponse:
    """List the users, or invite one. Only this reply shows the link of the new user."""
    if request.method != "POST":
        return _page(request, InviteForm(auto_id="u-%s"))
    form = InviteForm(request.POST, auto_id="u-%s")
    if not form.is_valid():
        return _page(request, form)
    try:
        made = users.invite(**form.cleaned_data, actor=decorators.actor(request))
    except users.InvalidUserError as error:
        for name, problem in error.problems.items():
            form.add_error(name, problem)
        return _page(request, form)
    path = users.link(user=made, actor=decorators.actor(request))
    link = request.build_absolute_uri(path)
    return _page(request, InviteForm(auto_id="u-%s"), made=made, link=link)


@decorators.page_for("webui.manage_users")
def detail(request: HttpRequest, user_id: int) -> HttpResponse:
    """Show one user: role, second factor and latest events."""
    return _detail(request, _get(user_id))


@decorators.form("webui.manage_users", fresh=True)
def link(request: HttpRequest, user_id: int) -> HttpResponse:
    """Make a new link to set a password with. Only this reply shows it."""
    user = _get(user_id)
    if request.method != "POST":
        return redirect("user", user_id)
    try:
        path = users.link(user=user, actor=decorators.actor(request))
    except users.UserError as error:
        return _refuse(request, error.message, user)
    return _detail(request, user, link=request.build_absolute_uri(path))


@decorators.change("webui.manage_users", fresh=True)
def change_role(request: HttpRequest, user_id: int) -> HttpResponseRedirect:
    """Replace the role of a user. It counts from the user's next request on."""
    user = _get(user_id)
    form = RoleForm(request.POST)
    if not form.is_valid():
        return _refuse(request, fields.first_error(form), user)
    role = form.cleaned_data["role"]
    try:
        users.change_role(user=user, role=role, actor=decorators.actor(request))
    except users.UserError as error:
        return _refuse(request, error.message, user)
    text = "has no role any more" if role == "none" else f"is {role} from now on"
    decorators.done(request, f"{user} {text}.")
    return redirect("user", user_id)


@decorators.change("webui.manage_users", fresh=True)
def deactivate(request: HttpRequest, user_id: int) -> HttpResponseRedirect:
    """Deactivate a user and end their sessions."""
    user = _get(user_id)
    try:
        users.deactivate(user=user, actor=decorators.actor(request))
    except users.UserError as error:
        return _refuse(request, error.message, user)
    decorators.done(request, f"{user} is deactivated and signed out everywhere. The history stays.")
    return redirect("user", user_id)


@decorators.change("webui.manage_users", fresh=True)
def activate(request: HttpRequest, user_id: int) -> HttpResponseRedirect:
    """Activate a deactivated user."""
    user = users.activate(user=_get(user_id), actor=decorators.actor(request))
    decorators.done(request, f"{user} can sign in again.")
    return redirect("user", user_id)


@decorators.change("webui.manage_users", fresh=True)
def reset_second_factor(request: HttpRequest, user_id: int) -> HttpResponseRedirect:
    """Remove the second factors of a user who has lost them."""
    user = _get(user_id)
    count = users.reset_second_factor(user=user, actor=decorators.actor(request))
    if count:
        decorators.done(request, f"{user} signs in without a second factor until they set one up.")
    else:
        decorators.done(request, f"{user} had no second factor.")
    return redirect("user", user_id)


def _get(user_id: int) -> User:
    try:
        return queries.user(user_id=user_id)
    except users.UnknownUserError as error:
        raise Http404(error.message) from error


def _refuse(request: HttpRequest, message: str, user: User) -> HttpResponseRedirect:
    messages.error(request, message, extra_tags="bad")
    return redirect("user", user.pk)


def _page(
    request: HttpRequest, form: InviteForm, *, made: User | None = None, link: str = ""
) -> HttpResponse:
    filters = UserFilters(request.GET, auto_id="f-%s")
    after = request.GET.get("after", "")
    page = queries.users(after=after, **fields.values(filters))
    kept = fields.submitted(filters)
    context = {
        "rows": [(user, roles.of(user)) for user in page.items],
        "older_url": f"?{urlencode(kept | {'after': page.next})}" if page.next else "",
        "first_url": f"?{urlencode(kept)}",
        "after": after,
        "filters": filters,
        "filtered": bool(kept),
        "form": form,
        "problems": form.errors,
        "made": made,
        "link": link,
    }
    return render(request, "access/users/index.html", context, status=422 if form.errors else 200)


def _detail(request: HttpRequest, user: User, *, link: str = "") -> HttpResponse:
    role = roles.of(user)
    context = {
        "person": user,
        "role": role,
        "role_form": RoleForm(initial={"role": role.name if role else "none"}),
        "others": [group.name for group in user.groups.all() if group.name not in roles.NAMES],
        "oneself": user == request.user,
        "events": [event_text.describe(event) for event in queries.user_events(user)],
        "link": link,
    }
    return render(request, "access/users/detail.html", context)
