"""Test promotion, roll back, pins, policy and removal over the API: permissions and refusals."""

from collections.abc import Iterator

import pytest

from execapp.api.v1.schemas.templates import MovedOut, PolicyOut
from execapp.api.v1.schemas.versions import GatesOut, RemovedOut
from execapp.services import tokens
from templatemgr.models import AuditEvent, HealthState, Promotion, Template, Version, VersionHealth
from templatemgr.promotion import gates
from tests import factories
from tests.execapp.api.api_clients import boss, changer, last_event, post, reader, refused

TINY = "/templates/tiny"
WHY = {"reason": "vitest 5.2"}


@pytest.fixture
def second(current: Version) -> Version:
    """Make version 2, ready, while version 1 is current."""
    return factories.make_runnable_version(number=2)


@pytest.fixture
def shut() -> Iterator[None]:
    """Add a gate of another app that is always closed."""
    gates.register("replay", lambda _: (False, "3 of 9 came out otherwise"))
    yield
    gates.unregister("replay")


def current_number() -> int | None:
    row = Template.objects.select_related("current").get(name="tiny")
    return row.current.number if row.current else None


def test_promote_and_roll_back(second: Version) -> None:
    api = changer()
    moved = post(api, f"{TINY}/promote", {"version": 2, **WHY, "expected_current": 1})
    MovedOut.model_validate(moved)
    assert moved["current"]["version"] == 2
    assert moved["current"]["promoted_by"] == "token:ci-bot"
    assert (moved["promotion"]["from"], moved["promotion"]["to"]) == (1, 2)
    assert last_event().actor == "token:ci-bot"
    assert api.get(f"{TINY}/versions/2")["state"] == "current"
    back = post(api, f"{TINY}/rollback", {"reason": "it hangs", "expected_current": 2})
    assert back["current"]["version"] == 1
    assert back["promotion"]["kind"] == "rollback"
    error = refused(api, "POST", f"{TINY}/rollback", WHY, 409, "no_previous")
    assert f"POST /api/v1{TINY}/promote" in error["message"]
    assert [item["reason"] for item in api.get(f"{TINY}/promotions")["items"]] == [
        "it hangs",
        "vitest 5.2",
        "for a test",
    ]


@pytest.mark.parametrize("act", ["promote", "rollback"])
def test_expected_current(second: Version, act: str) -> None:
    factories.promote_runnable_version(number=3)
    body = {**WHY, "expected_current": 1, **({"version": 2} if act == "promote" else {})}
    error = refused(changer(), "POST", f"{TINY}/{act}", body, 409, "expected_current")
    assert (error["details"]["expected"], error["details"]["current"]) == (1, 3)
    assert "GET /api/v1/templates/tiny" in error["message"]
    assert current_number() == 3


def test_a_pin_holds_promotion_and_roll_back(second: Version) -> None:
    factories.promote_runnable_version(number=3)
    api = changer()
    assert post(api, f"{TINY}/pin", {"reason": "exam week"})["pinned"]["by"] == "token:ci-bot"
    for act, body in (("promote", {"version": 2, **WHY}), ("rollback", WHY)):
        error = refused(api, "POST", f"{TINY}/{act}", body, 409, "pinned")
        assert "exam week" in error["message"]
        assert f"POST /api/v1{TINY}/unpin" in error["message"]
    assert post(api, f"{TINY}/unpin", {"reason": "over"})["pinned"] is None
    assert post(api, f"{TINY}/promote", {"version": 2, **WHY})["current"]["version"] == 2


def test_gates_are_listed_with_reasons(second: Version, shut: None) -> None:
    api = changer()
    shown = api.get(f"{TINY}/versions/2/gates")
    GatesOut.model_validate(shown)
    assert shown["promotable"] is False
    assert {gate["name"]: gate["ok"] for gate in shown["gates"]} == {
        "ready": True,
        "smoke": True,
        "healthy": True,
        "unpinned": True,
        "origins": True,
        "replay": False,
    }
    error = refused(api, "POST", f"{TINY}/promote", {"version": 2, **WHY}, 409, "not_ready")
    assert "replay: 3 of 9" in error["message"]
    assert error["details"]["gates"] == ["replay"]
    assert f"{TINY}/versions/2/gates" in error["message"]


def test_passing_closed_gates_needs_admin_and_a_reason(second: Version, shut: None) -> None:
    body = {"version": 2, **WHY, "override": "looked at all three"}
    error = refused(changer(), "POST", f"{TINY}/promote", body, 403, "forbidden")
    assert error["details"]["scope"] == "admin"
    admin = boss()
    for wrong in ("", " ", "x" * 501):
        broken = {**body, "override": wrong}
        refused(admin, "POST", f"{TINY}/promote", broken, 422, "invalid_request")
    assert current_number() == 1
    assert post(admin, f"{TINY}/promote", body)["current"]["version"] == 2
    details = last_event().details
    assert details["overridden"] == {"replay": "3 of 9 came out otherwise"}
    assert details["override_reason"] == "looked at all three"


def test_an_override_opens_no_essential_gate(second: Version) -> None:
    VersionHealth.objects.filter(version=second).update(state=HealthState.QUARANTINED)
    body = {"version": 2, **WHY, "override": "I insist"}
    refused(boss(), "POST", f"{TINY}/promote", body, 409, "not_ready")
    assert current_number() == 1


def test_policy(second: Version, shut: None) -> None:
    api, admin = changer(), boss()
    shown = api.get(f"{TINY}/policy")
    PolicyOut.model_validate(shown)
    assert "replay" in shown["required"]
    wanted = {"required": ["smoke"], "reason": "replays are slow"}
    refused(api, "PUT", f"{TINY}/policy", wanted, 403, "forbidden")
    response = admin.call("PUT", f"{TINY}/policy", wanted)
    assert response.json()["required"] == ["healthy", "ready", "smoke", "unpinned"]
    assert last_event().actor == "token:boss"
    assert api.get(f"{TINY}/versions/2/gates")["promotable"] is True
    wrong = {"required": ["odd"], "reason": "x"}
    error = refused(admin, "PUT", f"{TINY}/policy", wrong, 422, "invalid_request")
    assert error["details"]["fields"][0]["path"] == "required"
    refused(admin, "PUT", f"{TINY}/policy", {"required": []}, 422, "invalid_request")
    assert admin.call("PUT", f"{TINY}/policy", {"required": None, **WHY}).json() == shown
    refused(admin, "PUT", "/templates/nope/policy", wanted, 404, "unknown_template")


def test_removal_needs_admin_and_a_reason(second: Version) -> None:
    path, admin = f"{TINY}/versions/2", boss()
    refused(changer(), "DELETE", f"{path}?reason=space", None, 403, "forbidden")
    refused(admin, "DELETE", path, None, 422, "invalid_request")
    refused(admin, "DELETE", f"{path}?reason=", None, 422, "invalid_request")
    refused(admin, "DELETE", f"{path}?reason=a&reason=b", None, 422, "invalid_request")
    refused(admin, "DELETE", path, {"reason": 1}, 422, "invalid_request")
    refused(admin, "DELETE", path, {"reason": "x", "force": True}, 422, "invalid_request")
    refused(admin, "DELETE", path, "{", 400, "malformed")
    response = admin.call("DELETE", path, {"reason": "space"})
    assert response.status_code == 200, response.content
    shown = response.json()
    RemovedOut.model_validate(shown)
    assert shown["version"]["state"] == "removed"
    assert shown["version"]["health"]["state"] == "retired"
    assert shown["version"]["health"]["message"] == "space"
    assert last_event().actor == "token:boss"


def test_a_needed_version_is_not_removed(second: Version) -> None:
    admin = boss()
    post(admin, f"{TINY}/promote", {"version": 2, **WHY})
    error = refused(admin, "DELETE", f"{TINY}/versions/2?reason=x", None, 409, "in_use")
    assert error["details"]["reasons"] == ["it is current"]
    error = refused(admin, "DELETE", f"{TINY}/versions/1?reason=x", None, 409, "in_use")
    assert "a roll back would make it current" in error["message"]
    factories.make_runnable_version(number=3)
    tokens.create(name="exam", scopes=["execute"], actor="ann", pins={"tiny": 3})
    error = refused(admin, "DELETE", f"{TINY}/versions/3?reason=x", None, 409, "in_use")
    assert "exam is pinned to it" in error["message"]


CHANGES = [
    ("POST", f"{TINY}/promote", {"version": 2, **WHY}),
    ("POST", f"{TINY}/rollback", WHY),
    ("POST", f"{TINY}/pin", WHY),
    ("POST", f"{TINY}/unpin", WHY),
    ("PUT", f"{TINY}/policy", {"required": [], **WHY}),
    ("DELETE", f"{TINY}/versions/2?reason=x", None),
]


def test_reading_changes_nothing(second: Version) -> None:
    looker, api = reader(), changer()
    before = AuditEvent.objects.count()
    for method, path, body in CHANGES:
        refused(looker, method, path, body, 403, "forbidden")
        if method != "POST":
            refused(api, method, path, body, 403, "forbidden")
    assert AuditEvent.objects.count() == before
    assert Promotion.objects.count() == 1


ODD_REASONS: tuple[object, ...] = ("", 1, None, [], {}, True, "x" * 501, "a\0b", " \t")


def test_reasons_are_one_to_five_hundred_characters(second: Version) -> None:
    factories.promote_runnable_version(number=3)
    api = changer()
    for act in ("promote", "rollback", "pin", "unpin"):
        for reason in ODD_REASONS:
            body = {"reason": reason, **({"version": 2} if act == "promote" else {})}
            error = refused(api, "POST", f"{TINY}/{act}", body, 422, "invalid_request")
            assert error["details"]["fields"][0]["path"] == "reason", (act, reason)
    assert current_number() == 3


def test_versions_are_whole_numbers(second: Version) -> None:
    api = changer()
    for version in (0, -1, 2**31, 2**70, "2", 2.5, True, None, [2], {"n": 2}, "٢"):
        body = {"version": version, **WHY}
        error = refused(api, "POST", f"{TINY}/promote", body, 422, "invalid_request")
        assert error["details"]["fields"][0]["path"] == "version", version
    assert current_number() == 1


def test_lone_surrogates_name_the_field(second: Version) -> None:
    text = '{"version": 2, "reason": "\\ud800"}'
    error = refused(changer(), "POST", f"{TINY}/promote", text, 422, "invalid_request")
    assert error["details"]["fields"][0]["path"] == "reason"


def test_odd_names_are_not_found(second: Version) -> None:
    api = boss()
    for name in ("nope", "%00", "a%00b", "%ff", "..", "tiny@1", "٣", "x" * 500):
        for method, path, body in CHANGES:
            odd = path.replace("/tiny", f"/{name}")
            response = api.call(method, odd, body)
            assert response.status_code == 404, (odd, response.content)
            assert set(response.json()) == {"error"}


def test_odd_versions_are_not_found(second: Version) -> None:
    api = boss()
    for number in ("0", "9", "-1", "x", "99999999999", "٢", "2.0", "%00"):
        path = f"{TINY}/versions/{number}"
        for method, end in (("DELETE", "?reason=x"), ("GET", "/gates"), ("GET", "/diff?against=1")):
            refused(api, method, f"{path}{end}", None, 404, "unknown_version")


def test_wrong_methods_are_405_in_the_one_shape(second: Version) -> None:
    api = boss()
    for method, path in (
        ("GET", f"{TINY}/promote"),
        ("PATCH", f"{TINY}/policy"),
        ("PUT", f"{TINY}/versions/1"),
        ("DELETE", TINY),
    ):
        refused(api, method, path, None, 405, "method_not_allowed")
