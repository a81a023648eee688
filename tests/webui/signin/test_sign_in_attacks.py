"""Test attacks on sign-in: replayed codes, other origins and addresses, links, old sessions."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client, RequestFactory
from fido2.utils import websafe_encode
from pytest_django import Settings

from tests import factories
from tests.execapp.conftest import committed  # noqa: F401 - a fixture
from tests.timeouts import HANGS_SECONDS
from tests.webui.signin.test_sign_in import (  # noqa: F401 - fixtures
    PASSWORD,
    SECRET,
    acts,
    code,
    grace,
    no_failures_before,
    sign_in,
)
from tests.webui.signin.test_single_sign_on import Provider, come_in, provider  # noqa: F401 - a fixture
from webui.access import users
from webui.signin import codes, forms, roles


def with_app(user: User) -> Authenticator:
    """Return the user with an authenticator app."""
    return totp.TOTP.activate(user, SECRET).instance


def second_step(entered: str) -> bool:
    """Return whether password and code sign a new browser in."""
    client = Client()
    assert sign_in(client)["Location"].startswith("/login/code")
    return bool(client.post("/login/code", {"code": entered}).status_code == 302)


def forget() -> None:
    """Clear the used codes, which allauth keeps for 30 seconds, and the counted failures."""
    cache.clear()


def test_a_code_is_good_once_for_as_long_as_it_is_accepted(grace: User) -> None:  # noqa: F811
    with_app(grace)
    entered = code()
    assert second_step(entered)
    forget()
    assert not second_step(entered), "the same code, when allauth has forgotten it"
    assert ("user.sign_in_failed", "grace") in acts("user.sign_in_failed")
    forget()
    assert not second_step(code(-1)), "one before it, which is accepted for its own sake"
    forget()
    assert second_step(code(1)), "the next one"


def test_a_code_is_good_once_for_confirming_too(grace: User) -> None:  # noqa: F811
    with_app(grace)
    entered, client = code(), Client()
    sign_in(client)
    client.post("/login/code", {"code": entered})
    forget()
    assert client.post("/account/confirm/code", {"code": entered}).status_code == 200
    forget()
    assert client.post("/account/confirm/code", {"code": code(1)}).status_code == 302


def test_the_code_that_set_an_app_up_is_used(grace: User) -> None:  # noqa: F811
    app = with_app(grace)
    codes.begin(authenticator=app)
    assert not second_step(code())


def test_one_of_many_at_the_same_moment_is_let_in(
    committed: None,  # noqa: F811
) -> None:
    app = with_app(factories.make_user("grace"))
    assert at_once(lambda: codes.claim(authenticator=app, code=code())) == [False] * 7 + [True]


def test_a_recovery_code_is_good_once_at_the_same_moment(
    committed: None,  # noqa: F811
) -> None:
    made = RecoveryCodes.activate(factories.make_user("grace"))
    [first, *_] = made.get_unused_codes()

    def use() -> bool:
        row = Authenticator.objects.get(pk=made.instance.pk)
        return bool(row.wrap().validate_code(first))

    assert at_once(use) == [False] * 7 + [True]


def at_once(act: Callable[[], bool]) -> list[bool]:
    """Return the results of eight threads, each with its own connection, as processes have."""
    found: list[bool] = []
    ready = threading.Barrier(8)

    def one() -> None:
        try:
            ready.wait(HANGS_SECONDS)
            found.append(act())
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found)


@pytest.mark.parametrize(
    ("origin", "secure", "good"),
    [
        ("https://stencil.example.org", True, True),
        ("http://stencil.example.org", True, False),
        ("https://stencil.example.org:8443", True, False),
        ("https://evil.stencil.example.org", True, False),
        ("https://stencil.example.org.evil.example", True, False),
        ("https://other.example.org", True, False),
        ("null", True, False),
        ("", True, False),
        (None, True, False),
        (["https://stencil.example.org"], True, False),
        ("http://stencil.example.org", False, True),
        ("https://stencil.example.org", False, False),
        ("http://stencil.example.org:9000", False, False),
    ],
)
def test_a_passkey_answers_from_our_own_origin_alone(
    settings: Settings, origin: object, secure: bool, good: bool
) -> None:
    settings.ALLOWED_HOSTS = ["stencil.example.org"]
    request = RequestFactory().get("/", secure=secure, headers={"host": "stencil.example.org"})
    said = websafe_encode(json.dumps({"type": "webauthn.get", "origin": origin}).encode())
    with context.request_context(request):
        assert accepted({"response": {"clientDataJSON": said}}) is good
        if not secure:
            settings.CSRF_TRUSTED_ORIGINS = ["https://stencil.example.org"]
            said = websafe_encode(b'{"origin": "https://stencil.example.org"}')
            assert accepted({"response": {"clientDataJSON": said}})


@pytest.mark.parametrize(
    "credential",
    [
        None,
        [],
        {},
        {"response": None},
        {"response": {"clientDataJSON": None}},
        {"response": {"clientDataJSON": "!"}},
        {"response": {"clientDataJSON": websafe_encode(b"[]")}},
        {"response": {"clientDataJSON": websafe_encode(b"\xff")}},
    ],
)
def test_rubbish_is_no_passkey(credential: Any) -> None:
    with context.request_context(RequestFactory().get("/")):
        assert not accepted(credential)
    for path in ("/login/passkey", "/login/code"):
        assert Client().post(path, {"credential": json.dumps(credential)}).status_code in {200, 302}


NINES = "9" * 5_000
ODD_TEXTS = ["", "!", "é", "\ud800", 1, 1.5, None, [], {}, [[]], True, "A" * 3_000, "A" * 1_000_000]
ODD_CREDENTIALS = [
    NINES,
    "[" * 100_000,
    '{"a":' * 50_000,
    "[" * 100_000 + "]" * 100_000,
    '{"response": {"clientDataJSON": "x"}, "a": ' + NINES + "}",
    '{"response": 1, "response": 2}',
    '{"response": []}',
    "[]",
    "[[]]",
    "null",
    "1e999",
    "NaN",
    '"x"',
    '{"response": {}}',
    "\0",
    "[" + "0," * 400_000 + "0]",
]


@pytest.fixture
def passkey_posts(admin: Client) -> list[tuple[Client, str, dict[str, str]]]:
    """The addresses that read a passkey's reply, each with a client that may post to it."""
    admin.post("/account/confirm", {"password": "x"})
    return [
        (Client(), "/login/passkey", {}),
        (admin, "/account/confirm/passkey", {}),
        (admin, "/account/passkeys/add", {"name": "x"}),
    ]


@pytest.mark.parametrize("credential", ODD_CREDENTIALS, ids=lambda value: value[:20])
def test_an_unreadable_passkey_is_refused(
    credential: str, passkey_posts: list[tuple[Client, str, dict[str, str]]]
) -> None:
    said = websafe_encode(credential.encode())
    nested = json.dumps({"response": {"clientDataJSON": said}})
    for client, path, fields in passkey_posts:
        for text in (credential, nested):
            cache.clear()
            answer = client.post(path, fields | {"credential": text})
            assert answer.status_code in {200, 302, 400, 403}, (path, text[:40])
            assert len(answer.content) < 64 * 1024


@pytest.mark.parametrize("odd", ODD_TEXTS, ids=lambda value: ascii(value)[:20])
def test_a_passkey_of_odd_types_is_refused(
    odd: Any, passkey_posts: list[tuple[Client, str, dict[str, str]]]
) -> None:
    origin = websafe_encode(b'{"type": "webauthn.get", "origin": "http://testserver"}')
    usual = {
        "id": "AA",
        "rawId": "AA",
        "type": "public-key",
        "clientExtensionResults": {},
        "authenticatorAttachment": "platform",
    }
    response = {
        "clientDataJSON": origin,
        "authenticatorData": "AA",
        "attestationObject": "AA",
        "signature": "AA",
        "userHandle": "MQ",
    }
    found = [usual | {"response": response}]
    found += [usual | {"response": response} | {key: odd} for key in (*usual, "response")]
    found += [usual | {"response": response | {key: odd}} for key in response]
    for client, path, fields in passkey_posts:
        for credential in found:
            cache.clear()  # no rate limit ends the test
            client.get(path, headers={"X-Requested-With": "XMLHttpRequest"})  # makes a challenge
            answer = client.post(path, fields | {"credential": json.dumps(credential)})
            assert answer.status_code in {200, 302, 400, 403}, (path, credential)


def accepted(credential: Any) -> bool:
    try:
        forms.check_origin(credential)
    except ValidationError:
        return False
    return True


def test_every_form_of_a_second_factor_is_ours(settings: Settings) -> None:
    from allauth.mfa.base.views import AuthenticateView, ReauthenticateView
    from allauth.mfa.webauthn.views import (
        AddWebAuthnView,
        LoginWebAuthnView,
        ReauthenticateWebAuthnView,
    )

    made = [
        AuthenticateView().get_form_class(),
        AuthenticateView().get_webauthn_form_class(),
        *(
            view().get_form_class()
            for view in (
                ReauthenticateView,
                LoginWebAuthnView,
                ReauthenticateWebAuthnView,
                AddWebAuthnView,
            )
        ),
    ]
    assert {each.__module__ for each in made} == {"webui.signin.forms"}


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example",
        "\\\\evil.example",
        "/\\evil.example",
        "https:evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        " //evil.example",
        "\t//evil.example",
        "https://testserver@evil.example/",
        "https://testserver.evil.example/",
    ],
)
def test_no_page_of_signing_in_leads_elsewhere(grace: User, to: str) -> None:  # noqa: F811
    client = Client()
    assert sign_in(client, to=to)["Location"] == "/"
    for path in ("/account/confirm", "/logout"):
        answer = client.post(path, {"password": PASSWORD, "next": to})
        assert answer.status_code == 302
        assert answer["Location"] in {"/", "/login", "/account"}


def test_a_session_is_another_one_after_signing_in(grace: User) -> None:  # noqa: F811
    client = Client()
    client.get("/login")
    fixed = client.session
    fixed["planted"] = True
    fixed.save()
    client.cookies["sessionid"] = str(fixed.session_key)
    sign_in(client)
    assert client.cookies["sessionid"].value != fixed.session_key
    other = Client()
    other.cookies["sessionid"] = str(fixed.session_key)
    assert other.get("/").status_code == 302


def test_a_role_that_was_taken_is_gone_from_open_sessions(grace: User) -> None:  # noqa: F811
    factories.make_user("ada", "admin")
    client = Client()
    sign_in(client)
    assert client.get("/").status_code == 200
    users.change_role(user=grace, role="none", actor="ada")
    assert client.get("/").status_code == 403
    users.deactivate(user=grace, actor="ada")
    assert client.get("/account").status_code == 302


def test_another_address_each_time_unlocks_no_name(
    grace: User,  # noqa: F811
    settings: Settings,
) -> None:
    settings.STENCIL_PROXIES = 1
    for number in range(settings.STENCIL_LOCKOUT_FAILURES):
        Client().post(
            "/login",
            {"login": "grace", "password": "no"},
            headers={"X-Forwarded-For": f"6.6.6.{number}"},
        )
    answer = Client().post(
        "/login",
        {"login": "grace", "password": PASSWORD},
        headers={"X-Forwarded-For": "9.9.9.9"},
    )
    assert "Too many failed sign-ins" in answer.text


def test_failures_are_not_pushed_out_by_failures_under_other_names(
    grace: User,  # noqa: F811
    settings: Settings,
) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "3/300s/key", "login": None}
    for _ in range(3):
        sign_in(Client(), password="wrong")
    for number in range(600):  # twice the default capacity of Django's cache
        cache.set(f"somebody-{number}", [time.time()], 300)
    assert "Too many failed sign-ins" in sign_in(Client()).text


def test_a_link_is_good_once_and_never_for_who_is_deactivated(db: None, data_dir: object) -> None:
    user = users.invite(name="hal", role="viewer", actor="ada")
    first, second = users.link(user=user, actor="ada"), users.link(user=user, actor="ada")
    words = {"password1": PASSWORD, "password2": PASSWORD}
    client = Client()
    client.post(client.get(first)["Location"], words)
    user.refresh_from_db()
    assert user.has_usable_password()
    for used in (first, second):
        page = Client().get(used, follow=True)
        assert "It was used before" in page.text, "also another link of before"
    third = users.link(user=user, actor="ada")
    User.objects.filter(pk=user.pk).update(is_active=False)
    client = Client()
    client.post(client.get(third, follow=True).request["PATH_INFO"], words)
    assert sign_in(Client(), "hal")["Location"] == "/login/inactive"


@pytest.mark.parametrize("wrong", ["", "other"])
def test_an_answer_of_the_provider_counts_in_the_browser_that_asked(
    provider: Provider,  # noqa: F811
    wrong: str,
) -> None:
    factories.make_user("grace", "viewer")
    provider.claims = {"sub": "7"}
    asked = Client().post("/oidc/oidc/login/?process=login")
    assert "code_challenge=" in asked["Location"]
    other = Client()
    address = "/oidc/oidc/login/callback/"
    answer = other.get(address, {"code": "c", "state": wrong}, follow=True)
    assert "/login" in answer.request["PATH_INFO"] or answer.status_code in {200, 401, 403}
    assert other.get("/account").status_code == 302, "nobody is signed in"


@pytest.mark.parametrize(
    "claimed", [False, None, "false", "False", "no", "yes", 1, ["true"], {"true": True}]
)
def test_an_address_counts_if_the_provider_says_that_it_is_verified(
    provider: Provider,  # noqa: F811
    claimed: object,
) -> None:
    users.invite(name="grace", role="admin", actor="ada", email="g@example.org")
    claims: dict[str, Any] = {} if claimed is None else {"email_verified": claimed}
    client = Client()
    come_in(provider, client, email="g@example.org", **claims)
    assert client.get("/").status_code == 302


def test_no_claim_of_the_provider_makes_an_admin(
    provider: Provider,  # noqa: F811
    settings: Settings,
) -> None:
    settings.STENCIL_OIDC_SIGNUP = True
    come_in(
        provider,
        Client(),
        preferred_username="mallory",
        is_staff=True,
        is_superuser=True,
        groups=["admin"],
        role="admin",
        roles=["admin"],
    )
    user = User.objects.get(username="mallory")
    assert (user.is_superuser, user.is_staff, roles.of(user)) == (False, False, roles.ROLES[0])
