"""Test sign-in: password, second factor, lockout after failures, and confirmation later."""

import getpass
import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from pytest_django import Settings

from templatemgr.models import AuditEvent, Template
from tests import factories
from webui.signin import passkeys
from webui.system import checks
from webui.templatetags.signin import browser

PASSWORD = "correct horse battery"
SECRET = "JBSWY3DPEHPK3PXP"


@pytest.fixture(autouse=True)
def no_failures_before(db: None) -> Iterator[None]:
    """Clear the failed sign-ins of other tests."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def grace(db: None, data_dir: Path) -> User:
    """Return a releaser with a password."""
    user = factories.make_user("grace", "releaser")
    user.set_password(PASSWORD)
    user.save()
    return user


@pytest.fixture
def browser_of_grace(grace: User) -> Client:
    """Return a browser that signed in through the form, so that its session has the time."""
    client = Client()
    assert sign_in(client).status_code == 302
    return client


def sign_in(client: Client, user: str = "grace", password: str = PASSWORD, to: str = "") -> Any:
    """Post the sign-in form."""
    return client.post("/login", {"login": user, "password": password, "next": to})


def code(offset: int = 0) -> str:
    """Return the code that an authenticator app shows now."""
    counter = int(time.time()) // 30 + offset
    return str(totp.format_hotp_value(totp.hotp_value(SECRET, counter)))


def acts(prefix: str) -> list[tuple[str, str]]:
    """Return the audited actions with this prefix, oldest first."""
    rows = AuditEvent.objects.filter(action__startswith=prefix).order_by("sequence")
    return [(row.action, row.actor) for row in rows]


def age(client: Client, seconds: float) -> None:
    """Make every proof of the session older."""
    session = client.session
    for record in session["account_authentication_methods"]:
        record["at"] -= seconds
    session.save()


def test_password_signs_in_leads_back_and_is_on_record(grace: User) -> None:
    client = Client()
    answer = sign_in(client, to="/audit?action=template.pin")
    assert (answer.status_code, answer["Location"]) == (302, "/audit?action=template.pin")
    assert client.get("/").status_code == 200
    event = AuditEvent.objects.get(action="user.sign_in")
    assert (event.actor, event.details) == ("grace", {"ip": "127.0.0.1", "by": ["password"]})
    client.post("/logout")
    assert client.get("/").status_code == 302


def test_sign_in_never_leads_to_another_host(grace: User) -> None:
    for evil in ("https://evil.example/", "//evil.example", "https:evil.example"):
        assert sign_in(Client(), to=evil)["Location"] == "/"


def test_unknown_names_are_not_recorded(grace: User) -> None:
    """A person may type their password into the field of the name."""
    for name in ("hunter2-typed-by-mistake", "grace"):
        answer = sign_in(Client(), name, "wrong")
        assert answer.status_code == 200
        assert "password is wrong" in answer.text
    assert acts("user.sign_in_failed") == [
        ("user.sign_in_failed", "unknown user"),
        ("user.sign_in_failed", "grace"),
    ]
    assert "hunter2" not in json.dumps(list(AuditEvent.objects.values_list("details", flat=True)))


def test_failures_lock_the_name_and_the_lockout_is_recorded_once(
    grace: User, settings: Settings
) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "20/m/ip,3/300s/key", "login": "100/m/ip"}
    for _ in range(3):
        sign_in(Client(), password="wrong")
    for _ in range(3):
        assert "Too many failed sign-ins" in sign_in(Client()).text
    assert len(acts("user.sign_in_failed")) == 3
    assert acts("user.lockout") == [("user.lockout", "grace")]
    other = factories.make_user("heidi", "viewer")
    other.set_password(PASSWORD)
    other.save()
    assert sign_in(Client(), "heidi").status_code == 302


def test_too_many_tries_from_one_address_get_a_page_that_says_so(
    grace: User, settings: Settings
) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": "2/m/ip"}
    answers = [sign_in(Client(), password="wrong") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "Too many attempts" in answers[-1].text


def test_failures_are_counted_where_every_process_sees_them(grace: User) -> None:
    sign_in(Client(), password="wrong")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM stencil_cache WHERE cache_key LIKE '%login_failed%'")
        assert cursor.fetchone()[0] == 2, "one for the address, one for the name"


def test_deactivated_user_is_refused_and_loses_the_session(browser_of_grace: Client) -> None:
    User.objects.filter(username="grace").update(is_active=False)
    assert browser_of_grace.get("/").status_code == 302
    answer = sign_in(Client())
    assert answer["Location"] == "/login/inactive"
    assert "deactivated" in Client().get("/login/inactive").text


def test_second_factor_is_asked_and_wrong_codes_are_recorded(grace: User) -> None:
    totp.TOTP.activate(grace, SECRET)
    client = Client()
    assert sign_in(client, to="/audit")["Location"] == "/login/code"
    assert client.get("/").status_code == 302, "a password alone is not enough"
    assert "Second factor" in client.get("/login/code").text
    assert "Incorrect code" in client.post("/login/code", {"code": "000000"}).text
    assert acts("user.sign_in_failed") == [("user.sign_in_failed", "grace")]
    answer = client.post("/login/code", {"code": code()})
    assert answer["Location"] == "/audit"
    assert client.get("/").status_code == 200
    assert AuditEvent.objects.get(action="user.sign_in").details["by"] == ["password", "totp"]


def test_authenticator_app_is_set_up_and_gives_recovery_codes(
    browser_of_grace: Client, django_capture_on_commit_callbacks: Any
) -> None:
    client = browser_of_grace
    asked = client.get("/account/app/add")
    assert asked["Location"].startswith("/account/confirm?next=")
    client.post("/account/confirm", {"password": PASSWORD, "next": "/account/app/add"})
    page = client.get("/account/app/add")
    secret = page.context["form"].secret
    assert secret in page.text
    assert 'src="data:image/svg+xml' in page.text
    value = totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30))
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post("/account/app/add", {"code": value})
    assert answer["Location"] == "/account/codes"
    codes = re.findall(r"(?m)(?:^|>)(\d{8})$", client.get("/account/codes").text)
    assert len(set(codes)) == 10
    account = client.get("/account").text
    assert "10 left" in account
    assert ("user.factor_add", "grace") in acts("user.factor")
    fresh = Client()
    sign_in(fresh)
    assert fresh.post("/login/code", {"code": codes[0]})["Location"] == "/"
    again = Client()
    sign_in(again)
    assert "Incorrect code" in again.post("/login/code", {"code": codes[0]}).text


def test_authenticator_app_is_turned_off(browser_of_grace: Client, grace: User) -> None:
    totp.TOTP.activate(grace, SECRET)
    client = browser_of_grace
    client.post("/account/confirm", {"password": PASSWORD, "next": "/account"})
    assert "Turn it off" in client.get("/account/app/remove").text
    assert client.post("/account/app/remove").status_code == 302
    assert not Authenticator.objects.filter(type="totp").exists()
    assert ("user.factor_remove", "grace") in acts("user.factor")


def test_password_is_changed_and_other_sessions_end(browser_of_grace: Client) -> None:
    other = Client()
    sign_in(other)
    wrong = browser_of_grace.post(
        "/account/password", {"oldpassword": "no", "password1": "a" * 9, "password2": "b" * 9}
    )
    assert wrong.status_code == 200
    assert 'class="problem"' in wrong.text
    new = "another horse battery"
    answer = browser_of_grace.post(
        "/account/password", {"oldpassword": PASSWORD, "password1": new, "password2": new}
    )
    assert answer["Location"] == "/account"
    assert browser_of_grace.get("/").status_code == 200
    assert other.get("/").status_code == 302
    assert acts("user.password") == [("user.password", "grace")]
    assert sign_in(Client(), password=new).status_code == 302


def test_changepassword_of_the_command_line_keeps_working(
    grace: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getpass", lambda **_given: "by the command line")
    call_command("changepassword", "grace", verbosity=0)
    assert sign_in(Client(), password="by the command line").status_code == 302


def test_sessions_are_listed_and_the_others_ended(browser_of_grace: Client) -> None:
    other = Client(headers={"user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0"})
    sign_in(other)
    page = browser_of_grace.get("/account").text
    assert "Firefox on Linux" in page
    assert page.count("this one") == 1
    browser_of_grace.post("/account/sessions/end")
    assert other.get("/").status_code == 302
    assert browser_of_grace.get("/").status_code == 200
    assert UserSession.objects.count() == 1


def test_session_that_is_used_says_so_at_most_every_few_minutes(
    browser_of_grace: Client, grace: User
) -> None:
    before = UserSession.objects.get().last_seen_at
    browser_of_grace.get("/health", headers={"HX-Request": "true"})
    first = UserSession.objects.get().last_seen_at
    assert first > before
    browser_of_grace.get("/health", headers={"HX-Request": "true"})
    assert UserSession.objects.get().last_seen_at == first


@pytest.fixture
def candidate(db: None, data_dir: Path) -> Template:
    """Return a template whose second version can be promoted."""
    template = factories.make_template_row()
    factories.make_promotion_row(factories.make_version_row(template))
    factories.make_version_row(template)
    return Template.objects.get()


PROMOTE = {"version": "2", "reason": "newer vitest", "expected_current": "1"}


def test_old_sign_in_is_asked_again_and_the_promotion_goes_on(
    browser_of_grace: Client, candidate: Template, settings: Settings
) -> None:
    settings.STENCIL_FRESH_SIGNIN_SECONDS = 600
    client = browser_of_grace
    age(client, 601)
    answer = client.post("/templates/typescript/promote", PROMOTE)
    assert answer["Location"] == "/account/confirm?next=%2Ftemplates%2Ftypescript%2Fpromote"
    candidate.refresh_from_db()
    assert candidate.current is not None
    assert candidate.current.number == 1
    assert (
        "The password is wrong"
        in client.post(
            answer["Location"], {"password": "wrong", "next": "/templates/typescript/promote"}
        ).text
    )
    done = client.post(
        answer["Location"], {"password": PASSWORD, "next": "/templates/typescript/promote"}
    )
    assert done["Location"].startswith("/templates/typescript/promotions/")
    candidate.refresh_from_db()
    assert candidate.current is not None
    assert candidate.current.number == 2
    assert AuditEvent.objects.get(action="version.promote").details["reason"] == "newer vitest"


def test_fresh_sign_in_is_not_asked_again(
    browser_of_grace: Client, candidate: Template, settings: Settings
) -> None:
    settings.STENCIL_FRESH_SIGNIN_SECONDS = 600
    answer = browser_of_grace.post("/templates/typescript/promote", PROMOTE)
    assert answer["Location"].startswith("/templates/typescript/promotions/")


def test_without_the_setting_no_sign_in_is_too_old(
    browser_of_grace: Client, candidate: Template
) -> None:
    age(browser_of_grace, 10_000_000)
    answer = browser_of_grace.post("/templates/typescript/promote", PROMOTE)
    assert answer["Location"].startswith("/templates/typescript/promotions/")


def test_part_of_a_page_sends_the_whole_page_to_confirm(
    browser_of_grace: Client, candidate: Template, settings: Settings
) -> None:
    settings.STENCIL_FRESH_SIGNIN_SECONDS = 60
    age(browser_of_grace, 61)
    answer = browser_of_grace.post(
        "/templates/typescript/promote",
        PROMOTE,
        headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/templates/typescript"},
    )
    assert answer["HX-Redirect"] == "/account/confirm?next=%2Ftemplates%2Ftypescript"


def test_a_user_without_a_way_to_confirm_must_sign_in_again(
    browser_of_grace: Client, candidate: Template, settings: Settings, grace: User
) -> None:
    settings.STENCIL_FRESH_SIGNIN_SECONDS = 60
    age(browser_of_grace, 61)
    grace.set_unusable_password()
    grace.save()
    browser_of_grace.force_login(grace)
    answer = browser_of_grace.post("/templates/typescript/promote", PROMOTE, follow=True)
    assert "Sign out and sign in again" in answer.text


def test_sign_up_is_closed_unless_the_setting_opens_it(db: None, data_dir: Path) -> None:
    assert Client().get("/signup").status_code == 404


class Inline(HTMLParser):
    """Collect the scripts and styles that the policy would block, without data blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        values = dict(attrs)
        code = tag == "script" and "src" not in values
        if code and values.get("type") != "application/json":
            self.found.append(tag)
        if tag == "style" or any(name.startswith("on") or name == "style" for name in values):
            self.found.append(f"{tag} {sorted(values)}")


@pytest.mark.parametrize(
    "path",
    [
        "/account", "/account/password", "/account/app/add", "/account/passkeys/add",
        "/account/codes", "/account/codes/new", "/account/confirm", "/account/sso/",
    ],
)  # fmt: skip
def test_pages_of_the_account_are_ours_and_keep_the_policy(
    browser_of_grace: Client, grace: User, path: str
) -> None:
    if path.startswith("/account/codes"):
        totp.TOTP.activate(grace, SECRET)
        from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

        RecoveryCodes.activate(grace)
    browser_of_grace.post("/account/confirm", {"password": PASSWORD, "next": "/account"})
    answer = browser_of_grace.get(path)
    assert answer.status_code == 200
    look(answer.text)
    assert "unsafe" not in answer["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/login", "/login/inactive", "/welcome/1-wrong-key"])
def test_pages_before_sign_in_are_ours_and_keep_the_policy(
    db: None, data_dir: Path, path: str
) -> None:
    look(Client().get(path).text)


def look(text: str) -> None:
    """Assert one title, our stylesheet and no inline script or style."""
    inline = Inline()
    inline.feed(text)
    assert inline.found == []
    assert "webui/stencil.css" in text
    assert len(re.findall("<h1", text)) == 1


@pytest.mark.parametrize(
    ("host", "possible"),
    [
        ("localhost:8000", True),
        ("stencil.example.org", True),
        ("127.0.0.1:8000", False),
        ("[::1]:8000", False),
        ("192.168.1.4", False),
    ],
)
def test_passkeys_need_a_name(host: str, possible: bool) -> None:
    assert passkeys.possible(host) is possible


def test_browsers_are_named() -> None:
    edge = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/142.0 Safari/537.36 Edg/142.0"
    safari = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/26.0 Safari/605.1.15"
    assert [browser(each) for each in (edge, safari, "curl/8", "")] == [
        "Edge on Windows",
        "Safari on Mac",
        "curl/8",
        "unknown",
    ]


def found(settings: Settings, **values: object) -> list[str]:
    """Return the ids of the failed checks of a production with these settings."""
    sound = {
        "PRODUCTION": True,
        "SECRET_KEY": "k8s-0123456789-abcdefghijklmnopqrstuvwxyz",
        "ALLOWED_HOSTS": ["stencil.example.org"],
        "STENCIL_HTTPS": True,
        "STENCIL_PROXIES": 1,
        "CSRF_TRUSTED_ORIGINS": [],
    }
    for name, value in (sound | values).items():
        setattr(settings, name, value)
    messages = checks.check_production()
    assert all(message.hint for message in messages)
    return [str(message.id) for message in messages]


def test_checks_find_unsafe_settings_in_production(settings: Settings) -> None:
    assert found(settings) == []
    assert found(settings, PRODUCTION=False, SECRET_KEY="x") == []
    assert found(settings, SECRET_KEY="x" * 60) == ["webui.E001"]
    assert found(settings, SECRET_KEY="short") == ["webui.E001"]
    assert found(settings, ALLOWED_HOSTS=[]) == ["webui.E002"]
    assert found(settings, ALLOWED_HOSTS=["*"]) == ["webui.W001"]
    assert found(settings, STENCIL_HTTPS=False) == ["webui.W002"]
    assert found(settings, STENCIL_PROXIES=0) == ["webui.W003"]
    origins = ["https://stencil.example.org"]
    assert found(settings, STENCIL_PROXIES=0, CSRF_TRUSTED_ORIGINS=origins) == []
