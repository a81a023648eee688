"""Test pins of tokens: a submission without a version uses the pin, and the pin blocks removal."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from execapp.errors import InvalidRequestError
from execapp.models import ApiToken, TokenPin
from execapp.services import token_pins, tokens
from templatemgr.errors import InUseError
from templatemgr.models import HealthState, Version, VersionHealth
from templatemgr.promotion import promotions, removal
from tests import factories
from tests.execapp.api.api_clients import last_event, refused
from tests.execapp.conftest import Api, make_api
from tests.minimal_template import HELLO


@pytest.fixture
def pinned(current: Version, alive: object) -> Api:
    """Return a client that is pinned to version 1, while version 2 is current."""
    factories.promote_runnable_version(number=2)
    token, secret = tokens.create(
        name="exam", scopes=["execute", "read"], actor="ann", pins={"tiny": 1}
    )
    return Api(token=token, secret=secret)


def version_of(api: Api, template: str = "tiny") -> int:
    number: int = api.submit(HELLO, template=template)["template"]["version"]
    return number


def retire(number: int) -> None:
    health = VersionHealth.objects.filter(version__number=number)
    health.update(state=HealthState.RETIRED)


def test_a_submission_without_a_version_uses_the_pin(pinned: Api) -> None:
    assert version_of(pinned) == 1
    assert version_of(pinned, template="tiny@2") == 2
    assert version_of(pinned, template=f"tiny@sha256:{2:064x}") == 2
    assert version_of(make_api("other")) == 2
    made = pinned.submit(HELLO, template="tiny@2")["id"]
    again = pinned.call("POST", f"/executions/{made}/rerun").json()
    assert again["template"]["version"] == 2
    again = pinned.call("POST", f"/executions/{made}/rerun", {"template": "tiny"}).json()
    assert again["template"]["version"] == 1


def test_a_pin_is_shown_and_audited(pinned: Api) -> None:
    assert pinned.get("/me")["pins"] == {"tiny": 1}
    assert last_event().details["pins"] == {"tiny": 1}
    token_pins.replace(token=pinned.token, pins={"tiny": 2}, actor="bob")
    event = last_event()
    assert (event.actor, event.action, event.object) == ("bob", "token.pin", "exam")
    assert (event.details["from"], event.details["to"]) == ({"tiny": 1}, {"tiny": 2})
    assert version_of(pinned) == 2
    token_pins.replace(token=pinned.token, pins={"tiny": 2}, actor="bob")
    assert last_event() == event
    token_pins.replace(token=pinned.token, pins={}, actor="bob")
    assert pinned.get("/me")["pins"] == {}


def test_a_pinned_version_is_not_removed_before_its_last_pin(pinned: Api) -> None:
    factories.promote_runnable_version(number=3)  # a roll back would now make 2 current
    with pytest.raises(InUseError, match="exam is pinned to it"):
        removal.remove(template="tiny", version=1, actor="ann", reason="space")
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    version = Version.objects.get(number=1)
    assert token_pins.version_in_use(version) is None
    ApiToken.objects.update(expires_at=None)
    assert token_pins.version_in_use(version) == "exam is pinned to it"
    tokens.revoke(token_id=pinned.token.id, actor="ann")
    assert removal.refusals(version=version) == []


def test_a_pin_to_a_quarantined_version_says_the_way_back(pinned: Api) -> None:
    VersionHealth.objects.filter(version__number=1).update(state=HealthState.QUARANTINED)
    error = refused(pinned, "POST", "/executions", HELLO.body(), 503, "template_unavailable")
    assert "exam is pinned to tiny@1, which is quarantined" in error["message"]
    assert "tiny@N" in error["message"]
    assert error["details"]["pinned"] is True
    assert version_of(pinned, template="tiny@2") == 2


def test_a_pin_to_a_removed_version_says_the_way_back(pinned: Api) -> None:
    retire(1)
    error = refused(pinned, "POST", "/executions", HELLO.body(), 409, "pin_broken")
    assert "which was removed" in error["message"]
    assert "pinned to another" in error["message"]


@pytest.mark.parametrize(
    ("wanted", "path"),
    [({"tiny": 9}, "pins.tiny"), ({"nope": 1}, "pins.nope"), ({"tiny": 2**70}, "pins.tiny")],
)
def test_a_missing_version_cannot_be_pinned(
    current: Version, wanted: dict[str, int], path: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        tokens.create(name="exam", scopes=["read"], actor="ann", pins=wanted)
    assert caught.value.fields[0].path == path
    assert not ApiToken.objects.exists()


def test_an_unhealthy_version_cannot_be_pinned(pinned: Api) -> None:
    retire(2)
    with pytest.raises(InvalidRequestError, match="retired"):
        token_pins.replace(token=pinned.token, pins={"tiny": 2}, actor="ann")
    assert pinned.get("/me")["pins"] == {"tiny": 1}


def test_commands_pin(current: Version) -> None:
    out = StringIO()
    call_command("create_token", "exam", "--pin", "tiny@1", stdout=out)
    token = ApiToken.objects.get()
    assert token_pins.of(token=token) == {"tiny": 1}
    factories.promote_runnable_version(number=2)
    call_command("pin_token", token.prefix, "--pin", "tiny@2", stdout=out)
    assert "exam: tiny@2" in out.getvalue()
    assert token_pins.of(token=token) == {"tiny": 2}
    call_command("pin_token", token.prefix, stdout=out)
    assert "gets the current versions" in out.getvalue()
    assert not TokenPin.objects.exists()
    for wrong in ("tiny", "tiny@", "tiny@x", "tiny@٣", "@1", "tiny@9"):
        with pytest.raises(CommandError):
            call_command("pin_token", token.prefix, "--pin", wrong)
    with pytest.raises(CommandError, match="Give it once"):
        call_command("create_token", "x", "--pin", "tiny@1", "--pin", "tiny@2")
    with pytest.raises(CommandError, match="No usable tokens begin with"):
        call_command("pin_token", "stn_nobody")
    assert promotions.rollback_target("tiny") is not None
