"""Test tokens in the dashboard: make, show once, list, rotate and revoke them."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from execapp.deliveries import signing_secrets
from execapp.errors import InvalidRequestError
from execapp.models import ApiToken, TokenUsage
from execapp.services import rotation, token_pins, tokens
from execapp.services.storage import day_of
from templatemgr.models import AuditEvent
from tests import factories
from webui.access import queries


def test_new_token_is_shown_once_and_works(admin: Client) -> None:
    answer = admin.post("/tokens", {"name": "ci-bot", "scopes": ["execute"], "days": "30"})
    secret = answer.context["secret"]
    assert secret in answer.content.decode()
    assert answer["Cache-Control"].startswith("max-age=0")
    token = tokens.authenticate(secret=secret)
    assert token is not None
    assert (token.name, token.scopes, token.created_by) == ("ci-bot", ["execute"], "ada")
    assert token.expires_at is not None
    assert secret not in admin.get("/tokens").content.decode()
    assert secret not in admin.get(f"/tokens/{token.id}").content.decode()


def test_the_page_leads_to_the_description_of_the_api(admin: Client) -> None:
    page = admin.get("/tokens").content.decode()
    for address in ("/api/v1/docs", "/api/v1/openapi.json"):
        assert f'href="{address}"' in page
        assert admin.get(address).status_code == 200


def test_a_token_shows_its_usage_by_day_with_the_limit(admin: Client) -> None:
    token = factories.make_token_row()
    assert "No execution ended in 30 days" in admin.get(f"/tokens/{token.id}").content.decode()
    other = factories.make_token_row(name="other")
    now = timezone.now()
    for owner, days, template in (
        (token, 0, "a"), (token, 0, "b"), (token, 29, "a"), (token, 31, "a"), (other, 1, "a"),
    ):  # fmt: skip
        TokenUsage.objects.create(
            token=owner, day=day_of(now - timedelta(days=days)), template_name=template,
            executions=1000, cpu_ms=5_000,
        )  # fmt: skip
    answer = admin.get(f"/tokens/{token.id}")
    page = answer.content.decode()
    assert "3,000 executions · 15 s of CPU" in page
    assert [day.executions for day in answer.context["usage_days"]] == [2000, 1000]
    assert [len(answer.context[name].bars) for name in ("usage_ended", "usage_cpu")] == [2, 2]
    assert answer.context["usage_cpu"].lines == ()
    ApiToken.objects.filter(id=token.id).update(cpu_seconds_per_day=20)
    answer = admin.get(f"/tokens/{token.id}")
    assert "limit 20 seconds" in answer.content.decode()
    # The limit is the end of the axis, and the largest day is half of it.
    assert answer.context["usage_cpu"].lines == (("limit", "0,0.0 600,0.0"),)
    assert max(bar.height for bar in answer.context["usage_cpu"].bars) == 70.0


def test_mistakes_stand_beside_their_fields_and_no_token_is_made(admin: Client) -> None:
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
    page = admin.get(f"/tokens/{token.id}").text
    assert "rotate-dialog" not in page
    assert "revoke-dialog" not in page


def test_viewer_sees_and_makes_no_tokens(viewer: Client) -> None:
    assert viewer.get("/tokens").status_code == 403
    assert viewer.post("/tokens", {"name": "x", "scopes": ["admin"]}).status_code == 403
    assert not ApiToken.objects.exists()


def test_rotated_token_keeps_its_id_and_both_secrets_work_until_the_grace_is_over(
    admin: Client,
) -> None:
    token, old = tokens.create(name="ci", scopes=["read"], actor="ada")
    answer = admin.post(f"/tokens/{token.id}/rotate", {"grace": "24"})
    new = answer.context["secret"]
    assert new in answer.text
    assert new != old
    assert new not in admin.get(f"/tokens/{token.id}").text
    for secret in (old, new):
        found = tokens.authenticate(secret=secret)
        assert found is not None
        assert found.id == token.id
    token.refresh_from_db()
    assert token.prefix == new[:10]
    assert token.previous_used_at is not None
    assert "a client still needs it" in admin.get(f"/tokens/{token.id}").text
    ApiToken.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    assert tokens.authenticate(secret=old) is None
    assert tokens.authenticate(secret=new) is not None


def test_old_secret_ends_at_once_when_asked(admin: Client) -> None:
    token, old = tokens.create(name="ci", scopes=["read"], actor="ada")
    admin.post(f"/tokens/{token.id}/rotate", {"grace": "0"})
    assert tokens.authenticate(secret=old) is None
    token, old = tokens.create(name="cd", scopes=["read"], actor="ada")
    admin.post(f"/tokens/{token.id}/rotate", {"grace": "1"})
    assert tokens.authenticate(secret=old) is not None
    admin.post(f"/tokens/{token.id}/end-grace")
    assert tokens.authenticate(secret=old) is None
    acts = list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))
    assert acts[-2:] == ["token.rotate", "token.end_grace"]
    admin.post(f"/tokens/{token.id}/end-grace")
    assert len(acts) == AuditEvent.objects.count()


def test_rotating_twice_leaves_the_last_two_secrets(db: None) -> None:
    token, first = tokens.create(name="ci", scopes=["read"], actor="ada")
    day = timedelta(days=1)
    _, second = rotation.rotate(token_id=token.id, actor="ada", grace=day)
    _, third = rotation.rotate(token_id=token.id, actor="ada", grace=day)
    works = [tokens.authenticate(secret=each) is not None for each in (first, second, third)]
    assert works == [False, True, True]


def test_revoking_ends_both_secrets_and_expiry_too(db: None) -> None:
    token, old = tokens.create(name="ci", scopes=["read"], actor="ada")
    _, new = rotation.rotate(token_id=token.id, actor="ada", grace=timedelta(days=1))
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert [tokens.authenticate(secret=each) for each in (old, new)] == [None, None]
    ApiToken.objects.update(expires_at=None)
    tokens.revoke(token_id=token.id, actor="ada")
    assert [tokens.authenticate(secret=each) for each in (old, new)] == [None, None]
    with pytest.raises(InvalidRequestError, match="revoked or expired"):
        rotation.rotate(token_id=token.id, actor="ada", grace=timedelta(0))


@pytest.mark.parametrize("grace", ["", "-1", "x", "9999", "721"])
def test_grace_that_cannot_be_is_refused_and_nothing_changes(admin: Client, grace: str) -> None:
    token, secret = tokens.create(name="ci", scopes=["read"], actor="ada")
    answer = admin.post(f"/tokens/{token.id}/rotate", {"grace": grace}, follow=True)
    assert "Give 0 to 30 days" in answer.text
    token.refresh_from_db()
    assert token.prefix == secret[:10]


def test_known_secret_costs_one_query(db: None) -> None:
    _, secret = tokens.create(name="ci", scopes=["read"], actor="ada")
    tokens.authenticate(secret=secret)
    with CaptureQueriesContext(connection) as captured:
        tokens.authenticate(secret=secret)
    assert len(captured) == 1


def test_clients_are_pinned_when_made_and_later(admin: Client) -> None:
    template = factories.make_template_row()
    factories.make_promotion_row(factories.make_version_row(template))
    factories.make_version_row(template)
    form = {"name": "ci", "scopes": ["execute"], "pins": "typescript@1"}
    token = admin.post("/tokens", form).context["made"]
    assert token_pins.of(token=token) == {"typescript": 1}
    assert "pinned to typescript 1" in admin.get("/tokens").text
    said = admin.post(f"/tokens/{token.id}/pins", {"pins": "typescript@2"}, follow=True)
    assert "is pinned: typescript 2" in said.text
    refused = admin.post(f"/tokens/{token.id}/pins", {"pins": "typescript@9"}, follow=True)
    assert "no version 9" in refused.text
    assert token_pins.of(token=token) == {"typescript": 2}
    admin.post(f"/tokens/{token.id}/pins", {"pins": ""})
    assert token_pins.of(token=token) == {}
    wrong = admin.post("/tokens", form | {"pins": "typescript"})
    assert list(wrong.context["problems"]) == ["pins"]


def many(count: int) -> None:
    """Make tokens of every state."""
    now = timezone.now()
    for number in range(count):
        factories.make_token_row(
            f"client {number:03}",
            prefix=f"stn_{number:06}",
            scopes=["admin"] if number % 10 == 0 else ["execute", "read"],
            created_by="ada",
            last_used_at=now if number % 2 else None,
            expires_at=now - timedelta(days=1) if number % 5 == 1 else None,
            revoked_at=now if number % 5 == 2 else None,
        )


def test_five_hundred_tokens_are_paged_without_gap_by_the_same_queries(admin: Client) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            admin.get(path)
        return len(captured)

    tokens.create(name="first", scopes=["read"], actor="ada")
    few = queries("/tokens")
    many(500)
    assert queries("/tokens") == few < 20
    seen: list[str] = []
    url = ""
    for _ in range(11):
        page = admin.get(f"/tokens{url}")
        seen += [token.name for token in page.context["tokens"]]
        url = page.context["older_url"]
    assert url == ""
    assert sorted(seen) == [*(f"client {number:03}" for number in range(500)), "first"]


def test_page_is_read_in_the_order_of_the_key(db: None) -> None:
    many(500)
    rows = ApiToken.objects.filter(id__lt=queries.tokens().next).order_by("-id")[:51]
    plan = rows.explain()
    assert "TEMP B-TREE" not in plan
    assert "USING INDEX" in plan


def test_filters_find_by_name_beginning_scope_and_state(admin: Client) -> None:
    many(20)
    for query, count in (
        ("q=CLIENT+00", 10),
        ("q=stn_000007", 1),
        ("q=stn_000007abcdefgh", 1),
        ("scope=admin", 2),
        ("scope=execute", 18),
        ("state=revoked", 4),
        ("state=expired", 4),
        ("state=usable", 12),
        ("state=unused", 6),
        ("state=unused&scope=admin", 2),
        ("q=nothing", 0),
        ("before=nonsense", 20),
    ):
        assert len(admin.get(f"/tokens?{query}").context["tokens"]) == count, query
    assert "No token matches" in admin.get("/tokens?q=nothing").text


def test_token_that_is_not_there_is_a_404(admin: Client) -> None:
    path = f"/tokens/{timezone.now():00000000-0000-7000-8000-%y%m%d%H%M%S}"
    assert admin.get(path).status_code == 404
    for act in ("rotate", "end-grace", "revoke"):
        assert admin.post(f"{path}/{act}", {"grace": "1"}).status_code == 404


def test_callback_secret_is_shown_and_rotated_on_record(admin: Client) -> None:
    token, _ = tokens.create(name="ci", scopes=["execute"], actor="ada")
    page = admin.get(f"/tokens/{token.id}").content.decode()
    assert "Made when it is first needed" in page
    shown = admin.post(f"/tokens/{token.id}/callback-secret").content.decode()
    owner = signing_secrets.owner_of_token(token.id)
    old = signing_secrets.find_or_make(owner=owner).secret
    assert old in shown
    assert old not in admin.get(f"/tokens/{token.id}").content.decode()
    rotated = admin.post(f"/tokens/{token.id}/rotate-callback-secret", {"grace": "24"})
    new = signing_secrets.find_or_make(owner=owner).secret
    assert new in rotated.content.decode()
    assert old not in rotated.content.decode()
    assert "The old one signs, too, until" in rotated.content.decode()
    assert signing_secrets.valid(owner=owner) == [new, old]
    refused = admin.post(f"/tokens/{token.id}/rotate-callback-secret", {"grace": "9999"})
    assert refused.status_code == 302
    assert signing_secrets.valid(owner=owner) == [new, old]
    acts = AuditEvent.objects.filter(object="ci").order_by("sequence")
    assert [act.action for act in acts][1:] == ["token.signing_secret_read", "token.signing_secret"]
    assert "the old one signs for 24 h more" in admin.get("/audit?object=ci").content.decode()


def test_limits_are_set_changed_and_removed_on_record(admin: Client) -> None:
    name = factories.make_template_row().name
    chosen = {"templates": name, "open_executions": "3", "exclusive": "on"}
    admin.post("/tokens", {"name": "ci", "scopes": ["execute"], **chosen})
    token = ApiToken.objects.get(name="ci")
    assert (token.templates, token.open_executions, token.exclusive) == ([name], 3, True)
    page = admin.get(f"/tokens/{token.id}").content.decode()
    assert 'name="open_executions" value="3"' in page
    for wrong in ({"open_executions": "0"}, {"templates": "nope"}):
        refusal = admin.post(f"/tokens/{token.id}/limits", wrong, follow=True)
        assert "Give 1 to" in refusal.text or "There is no template" in refusal.text
        token.refresh_from_db()
        assert token.open_executions == 3
    admin.post(f"/tokens/{token.id}/limits", {"requests_per_minute": "60"})
    token.refresh_from_db()
    assert (token.templates, token.open_executions, token.exclusive) == ([], None, False)
    assert token.requests_per_minute == 60
    assert "ci: requests_per_minute 60" in admin.get("/audit?object=ci").text
    admin.post(f"/tokens/{token.id}/limits", {})
    assert "ci: the defaults again" in admin.get("/audit?object=ci").text


def test_limits_need_the_permission(viewer: Client) -> None:
    token, _ = tokens.create(name="ci", scopes=["execute"], actor="ada")
    assert viewer.post(f"/tokens/{token.id}/limits", {"open_executions": "1"}).status_code == 403
    token.refresh_from_db()
    assert token.open_executions is None
