"""Test users in the dashboard: invite, change and deactivate them; one admin always remains."""

import re
from pathlib import Path

import pytest
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from templatemgr.models import AuditEvent
from tests import factories
from webui.access import users
from webui.audit_log import event_text
from webui.signin import roles


def link_in(text: str) -> str:
    """Return the path of the link that a page shows."""
    found = re.search(r'id="welcome-link">http://testserver([^<]+)<', text)
    assert found is not None
    return found[1]


def last() -> AuditEvent:
    """Return the newest event."""
    event = AuditEvent.objects.order_by("-sequence").first()
    assert event is not None
    return event


def test_invited_user_sets_a_password_by_a_link_that_works_once(admin: Client) -> None:
    answer = admin.post("/users", {"name": "grace", "role": "releaser", "email": "g@example.org"})
    path = link_in(answer.text)
    assert path not in admin.get("/users").text
    grace = Client()
    form = grace.get(path, follow=True)
    assert form.redirect_chain[-1][0].endswith("-set-password"), "the key leaves the address"
    words = {"password1": "seven green boats", "password2": "seven green boats"}
    done = grace.post(form.redirect_chain[-1][0], words, follow=True)
    assert "The password is changed" in done.text
    signed_in = grace.post("/login", {"login": "grace", "password": "seven green boats"})
    assert signed_in["Location"] == "/"
    assert roles.of(User.objects.get(username="grace")) == roles.ROLES[2]
    assert "is not valid" in Client().get(path, follow=True).text
    kinds = AuditEvent.objects.filter(action__startswith="user.").order_by("sequence")
    assert list(kinds.values_list("action", "actor")) == [
        ("user.invite", "ada"), ("user.link", "ada"), ("user.password", "grace"),
        ("user.sign_in", "grace"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"name": "", "role": "viewer"}, "name"),
        ({"name": "a b", "role": "viewer"}, "name"),
        ({"name": "ADA", "role": "viewer"}, "name"),
        ({"name": "doctor", "role": "viewer"}, "name"),
        ({"name": "x" * 151, "role": "viewer"}, "name"),
        ({"name": "x", "role": "emperor"}, "role"),
        ({"name": "x", "role": ""}, "role"),
        ({"name": "x", "role": "viewer", "email": "no"}, "email"),
    ],
)
def test_mistakes_stand_beside_their_fields_and_no_user_is_made(
    admin: Client, form: dict[str, str], field: str
) -> None:
    answer = admin.post("/users", form)
    assert answer.status_code == 422
    assert list(answer.context["problems"]) == [field]
    assert 'class="problem"' in answer.text
    assert User.objects.count() == 1


def test_long_values_are_refused_before_a_lookup(admin: Client) -> None:
    """A database refuses long patterns: SQLite refuses one of 50,001 characters."""
    for length in (400, 50_001, 200_000):
        for fields in (
            {"name": "x" * length, "email": "", "role": "viewer"},
            {"name": "grace", "email": "x" * length + "@example.org", "role": "viewer"},
        ):
            with pytest.raises(users.InvalidUserError) as refused:
                users.invite(actor="ada", **fields)
            assert len(refused.value.problems) == 1
    assert Client().post("/login", {"login": "x" * 60_000, "password": "x"}).status_code < 500


def test_two_users_never_share_an_address(admin: Client) -> None:
    users.invite(name="one", role="viewer", actor="ada", email="Same@example.org")
    answer = admin.post("/users", {"name": "two", "role": "viewer", "email": "same@example.org"})
    assert list(answer.context["problems"]) == ["email"]


def test_role_counts_from_the_next_request_and_is_on_record(admin: Client) -> None:
    user = factories.make_user("grace", "viewer")
    grace = Client()
    grace.force_login(user)
    assert grace.get("/system").status_code == 403
    admin.post(f"/users/{user.pk}/role", {"role": "operator"})
    assert grace.get("/system").status_code == 200
    assert (last().action, last().details) == ("user.role", {"from": "viewer", "to": "operator"})
    assert event_text.describe(last()).text == "grace: viewer → operator"
    admin.post(f"/users/{user.pk}/role", {"role": "none"})
    assert grace.get("/").status_code == 403


def test_superuser_who_gets_another_role_is_none_any_more(admin: Client) -> None:
    root = User.objects.create_superuser("root", password="x")
    admin.post(f"/users/{root.pk}/role", {"role": "viewer"})
    root = User.objects.get(pk=root.pk)
    assert (root.is_superuser, root.has_perm("webui.manage_users")) == (False, False)


def test_groups_that_are_no_roles_stay(admin: Client) -> None:
    from django.contrib.auth.models import Group

    user = factories.make_user("grace", "viewer")
    user.groups.add(Group.objects.create(name="course"))
    users.change_role(user=user, role="operator", actor="ada")
    assert set(user.groups.values_list("name", flat=True)) == {"course", "operator"}
    assert "course" in admin.get(f"/users/{user.pk}").text


@pytest.mark.parametrize(("act", "form"), [("role", {"role": "viewer"}), ("deactivate", {})])
def test_a_user_cannot_demote_or_deactivate_themselves(
    admin: Client, admin_user: User, act: str, form: dict[str, str]
) -> None:
    factories.make_user("second", "admin")
    answer = admin.post(f"/users/{admin_user.pk}/{act}", form, follow=True)
    assert "ask another admin" in answer.text
    assert User.objects.get(pk=admin_user.pk).has_perm("webui.manage_users")
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("act", ["change_role", "deactivate"])
def test_last_admin_stays(db: None, act: str) -> None:
    """Also when another user asks, who has lost the role meanwhile."""
    only = factories.make_user("only", "admin")
    idle = factories.make_user("idle", "admin")
    User.objects.filter(pk=idle.pk).update(is_active=False)
    more = {"role": "viewer"} if act == "change_role" else {}
    with pytest.raises(users.UserError, match="last admin"):
        getattr(users, act)(user=only, actor="ghost", **more)
    assert User.objects.get(pk=only.pk).has_perm("webui.manage_users")
    factories.make_user("second", "admin")
    users.deactivate(user=only, actor="ghost")


def test_deactivated_user_is_signed_out_and_activated_again(admin: Client) -> None:
    user = factories.make_user("grace", "viewer")
    user.set_password("seven green boats")
    user.save()
    grace = Client()
    grace.post("/login", {"login": "grace", "password": "seven green boats"})
    assert grace.get("/").status_code == 200
    admin.post(f"/users/{user.pk}/deactivate")
    assert grace.get("/").status_code == 302
    assert last().details == {"sessions": 1}
    assert "cannot sign in" not in admin.get(f"/users/{user.pk}").text
    refused = admin.post(f"/users/{user.pk}/link", follow=True)
    assert "activate them first" in refused.text
    admin.post(f"/users/{user.pk}/activate")
    assert grace.get("/").status_code == 302, "the old session does not come back"
    assert (
        grace.post("/login", {"login": "grace", "password": "seven green boats"})["Location"] == "/"
    )


def test_second_factor_is_reset_for_who_lost_it(admin: Client) -> None:
    user = factories.make_user("grace", "viewer")
    user.set_password("seven green boats")
    user.save()
    totp.TOTP.activate(user, "JBSWY3DPEHPK3PXP")
    assert "Reset the second factor" in admin.get(f"/users/{user.pk}").text
    admin.post(f"/users/{user.pk}/factor")
    answer = Client().post("/login", {"login": "grace", "password": "seven green boats"})
    assert answer["Location"] == "/"
    event = AuditEvent.objects.get(action="user.factor_reset")
    assert (event.actor, event.details["factors"]) == ("ada", ["totp"])


def test_new_link_is_shown_once_and_recorded(admin: Client) -> None:
    user = factories.make_user("grace", "viewer")
    assert admin.get(f"/users/{user.pk}/link").status_code == 302
    answer = admin.post(f"/users/{user.pk}/link")
    assert answer["Cache-Control"].startswith("max-age=0")
    path = link_in(answer.text)
    assert path not in admin.get(f"/users/{user.pk}").text
    assert last().action == "user.link"
    assert path.rpartition("-")[2] not in str(last().details)


def test_link_also_lifts_a_lockout(admin: Client, settings: Settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "20/m/ip,2/300s/key"}
    user = factories.make_user("grace", "viewer")
    for _ in range(3):
        answer = Client().post("/login", {"login": "grace", "password": "forgotten"})
    assert "Too many failed sign-ins" in answer.text
    grace = Client()
    words = {"password1": "seven green boats", "password2": "seven green boats"}
    form = grace.get(link_in(admin.post(f"/users/{user.pk}/link").text), follow=True)
    grace.post(form.redirect_chain[-1][0], words)
    signed_in = grace.post("/login", {"login": "grace", "password": "seven green boats"})
    assert signed_in.status_code == 302


def test_filters_find_by_name_address_role_and_state(admin: Client) -> None:
    users.invite(name="grace", role="viewer", actor="ada", email="gh@navy.example")
    users.invite(name="linus", role="operator", actor="ada")
    User.objects.create_superuser("root", password="x")
    factories.make_user("nobody")
    User.objects.filter(username="linus").update(is_active=False)
    for query, names in (
        ("q=RAC", ["grace"]),
        ("q=navy", ["grace"]),
        ("role=operator", ["linus"]),
        ("role=admin", ["ada", "root"]),
        ("role=none", ["nobody"]),
        ("state=deactivated", ["linus"]),
        ("state=active&role=viewer", ["grace"]),
        ("q=nothing", []),
    ):
        rows = admin.get(f"/users?{query}").context["rows"]
        assert [user.username for user, _ in rows] == names, query


def test_pages_follow_each_other_without_gap_by_the_same_number_of_queries(admin: Client) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            admin.get(path)
        return len(captured)

    few = queries("/users")
    User.objects.bulk_create(User(username=f"user{number:03}") for number in range(120))
    assert queries("/users") == few < 20
    seen: list[str] = []
    url = ""
    for _ in range(3):
        page = admin.get(f"/users{url}")
        seen += [user.username for user, _ in page.context["rows"]]
        url = page.context["older_url"]
    assert seen == ["ada", *(f"user{number:03}" for number in range(120))]
    assert url == ""


def test_user_that_is_not_there_is_a_404(admin: Client) -> None:
    for path in ("/users/999", "/users/999/link"):
        assert admin.get(path).status_code in {302, 404}
    for act in ("role", "deactivate", "activate", "factor", "link"):
        assert admin.post(f"/users/999/{act}", {"role": "viewer"}).status_code == 404


def test_oneself_is_shown_without_a_way_to_lose_the_role(
    admin: Client, admin_user: User, data_dir: Path
) -> None:
    page = admin.get(f"/users/{admin_user.pk}").text
    assert "This is you" in page
    assert "Change the role" not in page
    assert "deactivate-dialog" not in page
