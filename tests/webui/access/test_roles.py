"""Test the permissions of the four roles, from a table, on every address."""

import html
import re
from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission
from django.core.management import call_command
from django.test import Client

from tests import factories
from tests.webui.test_every_page import CHANGES, NAMES, address
from webui.signin import roles
from webui.urls import pages

__all__ = ["address"]  # a fixture

PAGES = Path(roles.__file__).parent.parent
HOLDS = {
    "viewer": {"view_template", "view_all_executions"},
    "operator": {
        "submit_execution", "cancel_execution", "build_version", "verify_version", "heal_version",
        "verify_audit", "view_system",
    },
    "releaser": {"promote_version", "pin_template"},
    "admin": {
        "override_gates", "change_gate_policy", "remove_version", "export_audit", "manage_tokens",
        "manage_users",
    },
}  # fmt: skip


# The permission of each change. A change that is not listed needs its decorator's permission.
ASKS = {
    "promote": "promote_version", "roll_back": "promote_version",
    "pin": "pin_template", "unpin": "pin_template",
    "request_build": "build_version", "cancel_build": "build_version",
    "verify": "verify_version",
    "cancel_execution": "cancel_execution", "rerun_execution": "submit_execution",
    "resend_delivery": "submit_execution",
    "playground_run": "submit_execution",
    "audit_verify": "verify_audit", "audit_export": "export_audit",
    "revoke_token": "manage_tokens", "token_end_grace": "manage_tokens",
    "pin_token": "manage_tokens",
    "change_role": "manage_users",
    "deactivate_user": "manage_users", "activate_user": "manage_users",
    "reset_factor": "manage_users",
}  # fmt: skip
VIEWS = {str(pattern.name): pattern.callback for pattern in pages}


def asked(name: str) -> str:
    """Return the codename of the permission that an address requires."""
    return str(getattr(VIEWS[name], "permission", "")).partition(".")[2]


def holds(role: str, codename: str) -> bool:
    """Return whether the table gives the permission to the role or to a lower role."""
    order = list(HOLDS)
    return any(codename in HOLDS[name] for name in order[: order.index(role) + 1])


@pytest.mark.parametrize("name", NAMES)
def test_every_address_asks_for_a_permission(name: str) -> None:
    assert getattr(VIEWS[name], "permission", "") in roles.KNOWN
    assert asked(name) == ASKS.get(name, asked(name))


@pytest.mark.parametrize("role", [*HOLDS, ""])
@pytest.mark.parametrize("name", sorted(CHANGES))
def test_every_change_is_allowed_or_refused_by_role(
    address: dict[str, str], name: str, role: str
) -> None:
    client = Client()
    client.force_login(factories.make_user("tester", role))
    given = {"reason": "x", "kind": "nothing", "version": "9", "role": "nothing"}
    status = client.post(address[name], given).status_code
    if role and holds(role, ASKS.get(name, asked(name))):
        assert status in {200, 302, 404, 409, 422}
    else:
        assert status == 403


@pytest.mark.parametrize("role", HOLDS)
def test_each_role_holds_its_permissions_and_those_of_lower_roles(db: None, role: str) -> None:
    order = list(HOLDS)
    wanted = set[str]().union(*(HOLDS[name] for name in order[: order.index(role) + 1]))
    held = Group.objects.get(name=role).permissions.values_list("codename", flat=True)
    assert set(held) == wanted
    may = roles.May(factories.make_user("someone", role))
    assert {name for name in set[str]().union(*HOLDS.values()) if may[name]} == wanted


def test_migrating_again_mends_a_role_and_leaves_other_groups(db: None) -> None:
    other = Group.objects.create(name="students")
    other.permissions.add(Permission.objects.get(codename="submit_execution"))
    viewer = Group.objects.get(name="viewer")
    viewer.permissions.add(Permission.objects.get(codename="manage_users"))
    Group.objects.get(name="admin").delete()
    call_command("migrate", verbosity=0)
    assert not viewer.permissions.filter(codename="manage_users").exists()
    assert Group.objects.get(name="admin").permissions.filter(codename="manage_users").exists()
    assert other.permissions.count() == 1


def test_superuser_may_everything_and_who_is_inactive_nothing(db: None) -> None:
    user = factories.make_user("someone", "admin")
    user.is_active = False
    assert not roles.May(user)["view_template"]
    assert not roles.May(AnonymousUser())["view_template"]
    user.is_active = user.is_superuser = True
    user.groups.clear()
    assert all(roles.allowed(user, permission) for permission in roles.KNOWN)


def test_codenames_are_unique_so_that_templates_can_ask_by_them() -> None:
    codenames = [permission.partition(".")[2] for permission in roles.KNOWN]
    assert len(codenames) == len(set(codenames))


def test_templates_ask_only_for_permissions_that_exist() -> None:
    codenames = {permission.partition(".")[2] for permission in roles.KNOWN}
    asked = {
        (path.name, name)
        for path in PAGES.rglob("*.html")
        for name in re.findall(r"\bmay\.(\w+)", path.read_text())
    }
    assert len(asked) > 10
    assert [pair for pair in asked if pair[1] not in codenames] == []


def test_a_user_without_a_role_gets_an_explanation(db: None, data_dir: Path) -> None:
    client = Client()
    client.force_login(factories.make_user("nobody"))
    answer = client.get("/")
    assert answer.status_code == 403
    assert "You have no role here yet" in answer.text


def test_refusal_names_the_role_that_is_needed(viewer: Client) -> None:
    answer = viewer.post("/templates/typescript/promote")
    assert answer.status_code == 403
    assert "needs the role releaser" in answer.text


def test_sign_in_leads_back_to_the_page_that_was_open(db: None, data_dir: Path) -> None:
    stranger = Client()
    posted = stranger.post(
        "/templates/typescript/pin",
        headers={"referer": "http://testserver/templates/typescript?all=1"},
    )
    assert posted["Location"] == "/login?next=/templates/typescript%3Fall%3D1"
    foreign = stranger.post("/audit/verify", headers={"referer": "http://evil.example/x"})
    assert foreign["Location"] == "/login?next=/"
    part = stranger.get(
        "/health", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/audit"}
    )
    assert (part.status_code, part["HX-Redirect"]) == (200, "/login?next=/audit")


def test_after_an_ended_session_one_is_back_where_the_page_was_with_its_filters(
    db: None, data_dir: Path
) -> None:
    shown = "/executions?state=failed&label=course%3Acs110&q=01"
    factories.make_user("ada", "admin")
    client = Client()
    poll = client.get(
        "/executions?state=failed&label=course%3Acs110&q=01&after=x",
        headers={"HX-Request": "true", "HX-Current-URL": f"http://testserver{shown}"},
    )
    entrance = poll["HX-Redirect"]
    page = client.get(entrance)
    assert page.status_code == 200
    field = re.search(r'name="next" value="([^"]*)"', page.text)
    assert field is not None
    answer = client.post(
        entrance, {"login": "ada", "password": "x", "next": html.unescape(field[1])}
    )
    assert (answer.status_code, answer["Location"]) == (302, shown)
