"""Test tokens: shown once, stored as a hash, usable until revoked or expired."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from core.ids import new_id
from execapp.errors import InvalidRequestError, UnknownTokenError
from execapp.models import ApiToken
from execapp.services import tokens
from templatemgr.models import AuditEvent
from tests.execapp.conftest import Api

pytestmark = pytest.mark.usefixtures("committed")


def test_only_the_hash_is_kept() -> None:
    token, secret = tokens.create(name="ci", scopes=["read"], actor="ann")
    assert secret.startswith(token.prefix)
    assert token.prefix.startswith("stn_")
    assert len(token.prefix) == 10
    kept = " ".join(str(value) for value in ApiToken.objects.values().get().values())
    assert secret not in kept


def test_creation_and_revocation_are_audited() -> None:
    token, secret = tokens.create(name="ci", scopes=["read"], actor="ann")
    tokens.revoke(token_id=token.id, actor="bob")
    tokens.revoke(token_id=token.id, actor="bob")
    events = AuditEvent.objects.order_by("sequence").values_list("actor", "action", "object")
    assert list(events) == [("ann", "token.create", "ci"), ("bob", "token.revoke", "ci")]
    assert tokens.authenticate(secret=secret) is None
    with pytest.raises(UnknownTokenError):
        tokens.revoke(token_id=new_id(), actor="bob")


def test_expired_token_is_refused() -> None:
    soon = timezone.now() + timedelta(minutes=1)
    token, secret = tokens.create(name="ci", scopes=["read"], actor="ann", expires_at=soon)
    assert tokens.authenticate(secret=secret) == token
    ApiToken.objects.update(expires_at=timezone.now())
    assert tokens.authenticate(secret=secret) is None


def test_use_is_noted_but_not_at_each_call() -> None:
    _, secret = tokens.create(name="ci", scopes=["read"], actor="ann")
    tokens.authenticate(secret=secret)
    first = ApiToken.objects.get().last_used_at
    tokens.authenticate(secret=secret)
    assert first is not None
    assert ApiToken.objects.get().last_used_at == first


@pytest.mark.parametrize(
    ("name", "scopes"),
    [("", ["read"]), ("a" * 101, ["read"]), ("a\n", ["read"]), ("a", []), ("a", ["x"])],
)
def test_invalid_tokens(name: str, scopes: list[str]) -> None:
    with pytest.raises(InvalidRequestError):
        tokens.create(name=name, scopes=scopes, actor="ann")


def test_command_prints_the_secret_once() -> None:
    out = StringIO()
    call_command("create_token", "laptop", "--scope", "read", "--days", "3", stdout=out)
    secret = out.getvalue().strip()
    token = tokens.authenticate(secret=secret)
    assert token is not None
    assert token.scopes == ["read"]
    assert token.expires_at is not None
    assert Api(token=token, secret=secret).get("/me")["client"] == "laptop"
    with pytest.raises(CommandError, match="letters"):
        call_command("create_token", "\n", stdout=out)
    with pytest.raises(CommandError, match="passed"):
        call_command("create_token", "x", "--days", "0", stdout=out)
