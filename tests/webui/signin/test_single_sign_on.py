"""Test single sign-on with a local provider: accounts, roles and refusals."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from templatemgr.models import AuditEvent
from tests import factories
from webui.access import users
from webui.signin import roles

SECRET = "a provider signs with its own key, which this test does not look at"


class Provider(ThreadingHTTPServer):
    """An OpenID Connect provider where one person is signed in."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.claims: dict[str, Any] = {}
        self.nonce = ""
        self.verifiers: list[str] = []

    @property
    def url(self) -> str:
        """Return its address, which is also its issuer."""
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    """Discovery, token and userinfo."""

    server: Provider

    def do_GET(self) -> None:
        """Serve discovery and userinfo."""
        url = self.server.url
        if self.path.endswith("/.well-known/openid-configuration"):
            self.answer(
                {
                    "issuer": url,
                    "authorization_endpoint": f"{url}/authorize",
                    "token_endpoint": f"{url}/token",
                    "userinfo_endpoint": f"{url}/userinfo",
                    "jwks_uri": f"{url}/keys",
                    "token_endpoint_auth_methods_supported": ["client_secret_post"],
                }
            )
        else:
            self.answer(self.server.claims)

    def do_POST(self) -> None:
        """Exchange the code for a token."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.verifiers += parse_qs(body).get("code_verifier", [])
        claims = self.server.claims | {"iss": self.server.url, "aud": "stencil", "exp": 2**33}
        token = jwt.encode(claims | {"iat": 1, "nonce": self.server.nonce}, SECRET, "HS256")
        self.answer({"access_token": "t", "token_type": "Bearer", "id_token": token})

    def answer(self, value: object) -> None:
        """Send JSON."""
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: object) -> None:
        """Write no log."""


@pytest.fixture
def provider(db: None, data_dir: Path, settings: Settings) -> Iterator[Provider]:
    """Yield a provider that the settings name."""
    server = Provider()
    providers = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]
    app = providers["APPS"][0] | {"settings": {"server_url": server.url}}
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {**providers, "APPS": [app]}}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def come_in(provider: Provider, client: Client, process: str = "login", **claims: Any) -> Any:
    """Sign in through the provider as the person with these claims."""
    provider.claims = {"sub": "7", **claims}
    away = client.post(f"/oidc/oidc/login/?process={process}")
    assert away.status_code == 302
    address = urlsplit(away["Location"])
    assert away["Location"].startswith(f"{provider.url}/authorize?")
    asked = parse_qs(address.query)
    provider.nonce = asked.get("nonce", [""])[0]
    return client.get(
        "/oidc/oidc/login/callback/", {"code": "c", "state": asked["state"][0]}, follow=True
    )


def test_button_is_on_the_page_and_the_policy_lets_it_lead_there(provider: Provider) -> None:
    answer = Client().get("/login")
    assert "Continue with single sign-on" in answer.text
    assert "form-action 'self' https://id.example.org" in answer["Content-Security-Policy"]


def test_stranger_gets_no_account_unless_the_setting_says_so(provider: Provider) -> None:
    answer = come_in(provider, Client(), preferred_username="eve", email="eve@example.org")
    assert "You have no account here" in answer.text
    assert not User.objects.exists()


@pytest.mark.parametrize(("role", "held"), [("viewer", roles.ROLES[0]), ("none", None)])
def test_new_user_comes_in_the_role_of_the_settings(
    provider: Provider, settings: Settings, role: str, held: roles.Role | None
) -> None:
    settings.STENCIL_OIDC_SIGNUP, settings.STENCIL_OIDC_ROLE = True, role
    client = Client()
    answer = come_in(provider, client, preferred_username="grace", email="g@example.org")
    user = User.objects.get()
    assert (user.username, roles.of(user), user.has_usable_password()) == ("grace", held, False)
    assert answer.status_code == (200 if held else 403)
    assert len(provider.verifiers) == 1, "the code is bound to this browser (PKCE)"
    acts = list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))
    assert acts == ["user.sign_up", "user.sign_in"]
    again = Client()
    come_in(provider, again, preferred_username="renamed")
    assert again.get("/account").context["user"] == user, "known by subject, not by name"


def test_a_taken_name_does_not_give_access_to_its_account(
    provider: Provider, settings: Settings
) -> None:
    settings.STENCIL_OIDC_SIGNUP = True
    boss = factories.make_user("boss", "admin")
    client = Client()
    come_in(provider, client, preferred_username="boss")
    assert client.get("/account").context is None or client.get("/account").context["user"] != boss


@pytest.mark.parametrize(("verified", "known"), [(True, True), (False, False)])
def test_invited_user_is_known_by_a_verified_address(
    provider: Provider, verified: bool, known: bool
) -> None:
    users.invite(name="grace", role="releaser", actor="ada", email="G@example.org")
    client = Client()
    come_in(provider, client, email="g@example.org", email_verified=verified)
    assert (client.get("/").status_code == 200) is known


def test_deactivated_user_is_refused_there_too(provider: Provider) -> None:
    user = users.invite(name="grace", role="viewer", actor="ada", email="g@example.org")
    User.objects.filter(pk=user.pk).update(is_active=False)
    answer = come_in(provider, Client(), email="g@example.org", email_verified=True)
    assert "deactivated" in answer.text


def test_user_connects_an_account_elsewhere_and_comes_in_by_it(provider: Provider) -> None:
    user = factories.make_user("grace", "viewer")
    client = Client()
    client.force_login(user)
    page = come_in(provider, client, process="connect", email="other@example.org")
    assert "connected" in page.text
    other = Client()
    come_in(provider, other)
    assert other.get("/account").context["user"] == user


def test_refusal_over_there_is_said(provider: Provider) -> None:
    client = Client()
    away = client.post("/oidc/oidc/login/")
    state = parse_qs(urlsplit(away["Location"]).query)["state"][0]
    answer = client.get(
        "/oidc/oidc/login/callback/", {"error": "server_error", "state": state}, follow=True
    )
    assert "did not work" in answer.text
