"""Tokens are made in the browser, shown once, and revoked for good."""

from django.test import Client

from execapp.models import ApiToken
from execapp.services import tokens


def test_new_token_is_shown_once_and_works(admin: Client) -> None:
    answer = admin.post("/tokens", {"name": "ci-bot", "scopes": ["execute"], "days": "30"})
    secret = answer.context["secret"]
    assert secret in answer.content.decode()
    token = tokens.authenticate(secret=secret)
    assert token is not None
    assert (token.name, token.scopes, token.created_by) == ("ci-bot", ["execute"], "ada")
    assert token.expires_at is not None
    assert secret not in admin.get("/tokens").content.decode()


def test_what_is_wrong_stands_beside_its_field_and_nothing_is_made(admin: Client) -> None:
    for wrong in (
        {"name": "", "scopes": ["execute"]},
        {"name": "x"},
        {"name": "x", "scopes": ["fly"]},
        {"name": "x", "scopes": ["read"], "days": "soon"},
    ):
        answer = admin.post("/tokens", wrong)
        assert answer.status_code == 422, wrong
        assert 'class="problem"' in answer.content.decode(), wrong
    assert not ApiToken.objects.exists()


def test_revoked_token_is_refused(admin: Client) -> None:
    token, secret = tokens.create(name="ci", scopes=["read"], actor="ada")
    assert admin.post(f"/tokens/{token.id}/revoke").status_code == 302
    assert tokens.authenticate(secret=secret) is None
    assert "revoked" in admin.get("/tokens").content.decode()


def test_viewer_sees_and_makes_no_tokens(viewer: Client) -> None:
    assert viewer.get("/tokens").status_code == 403
    assert viewer.post("/tokens", {"name": "x", "scopes": ["admin"]}).status_code == 403
    assert not ApiToken.objects.exists()
