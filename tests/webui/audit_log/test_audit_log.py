"""Test the audit trail: filters, the check in parts, and an export that others can verify."""

import csv
import io
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from core.database import triggers
from templatemgr import audit
from templatemgr.models import AuditEvent
from tests import factories
from tests.conftest import ROOT
from webui.audit_log import event_text, queries
from webui.audit_log.forms import AuditFilters


def record(count: int, action: str = "template.pin", actor: str = "ada", **details: Any) -> None:
    """Append `count` events."""
    with transaction.atomic():
        for number in range(count):
            audit.append(
                actor=actor,
                action=action,
                object="typescript",
                details={"reason": f"why {number}", **details},
            )


def tamper(statement: str) -> None:
    """Change a row without its triggers."""
    with triggers.lifted(connection), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a check read four events per request."""
    monkeypatch.setattr(queries, "PART", 4)


def test_events_are_listed_newest_first_with_their_reasons(admin: Client) -> None:
    record(2)
    page = admin.get("/audit").content.decode()
    assert page.index("why 1") < page.index("why 0")


def test_pages_follow_each_other_without_gap(admin: Client) -> None:
    record(60)
    first = admin.get("/audit")
    second = admin.get(f"/audit?before={first.context['entries'][-1].event.sequence}")
    seen = [entry.event.sequence for page in (first, second) for entry in page.context["entries"]]
    assert seen == list(range(60, 0, -1))
    assert second.context["older_url"] == ""


def at(day: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record one event at noon of a day."""
    moment = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: moment)
    record(1, actor=day)
    monkeypatch.undo()


def test_filters_narrow_the_list(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in ("2026-11-01", "2026-11-02", "2026-11-03"):
        at(day, monkeypatch)
    with transaction.atomic():
        audit.append(actor="eve", action="token.create", object="typescript@2", details={})
    for query, actors in (
        ("action=token.create", ["eve"]),
        ("actor=2026-11-02", ["2026-11-02"]),
        ("object=typescript", ["eve", "2026-11-03", "2026-11-02", "2026-11-01"]),
        ("object=type", []),
        ("since=2026-11-02&until=2026-11-02", ["2026-11-02"]),
        ("until=2026-11-01", ["2026-11-01"]),
        ("since=2026-11-03&actor=2026-11-03", ["2026-11-03"]),
        ("since=2999-01-01", []),
        ("until=2999-01-01&action=token.create", ["eve"]),
    ):
        found = admin.get(f"/audit?{query}").context["entries"]
        assert [entry.event.actor for entry in found] == actors, query


@pytest.mark.parametrize("query", ["since=yesterday", "until=2026-13-01"])
def test_day_that_is_none_is_named(admin: Client, query: str) -> None:
    answer = admin.get(f"/audit?{query}")
    assert answer.status_code == 422
    assert "give a day such as" in answer.text


@pytest.mark.parametrize(
    ("given", "index"),
    [
        ({"actor": "ada"}, "audit_actor"),
        ({"action": "template.pin"}, "audit_action"),
        ({"since": "2026-11-01"}, "sequence"),
        ({}, "INDEX"),
    ],
)
def test_pages_are_read_by_an_index_and_never_sorted(
    db: None, given: dict[str, str], index: str
) -> None:
    record(300)
    filters = AuditFilters(given)
    assert filters.is_valid()
    plan = queries.filtered(filters.cleaned_data).order_by("-sequence")[:51].explain()
    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_day_is_found_by_the_index_on_time(db: None) -> None:
    record(5)
    rows = AuditEvent.objects.filter(time__gte=timezone.now()).order_by("time", "sequence")
    assert "audit_time" in rows.values_list("sequence", flat=True)[:1].explain()


def test_unbroken_chain_is_said_to_hold(admin: Client) -> None:
    record(3)
    assert "The chain holds: 3 events" in admin.post("/audit/verify", follow=True).content.decode()


def test_changed_event_is_named(admin: Client) -> None:
    record(3)
    tamper("UPDATE templatemgr_auditevent SET actor = 'eve' WHERE sequence = 2")
    assert "broken at event 2" in admin.post("/audit/verify", follow=True).content.decode()


def parts(client: Client, **headers: str) -> list[str]:
    """Return every reply of a check, following its state as the page does."""
    state, seen = "", list[str]()
    while True:
        answer = client.post("/audit/verify", {"state": state}, headers=headers, follow=True)
        seen.append(answer.text)
        check = answer.context.get("chain_check")
        if check is None or check.done:
            return seen
        state = check.state


def test_long_chain_is_walked_in_parts_with_progress(admin: Client, small_parts: None) -> None:
    record(10)
    seen = parts(admin, **{"HX-Request": "true"})
    assert len(seen) == 3
    assert re.search(r"4\s+of 10 events valid", seen[0])
    assert 'value="40"' in seen[0]
    assert 'hx-trigger="load"' in seen[0]
    assert "<html" not in seen[0]
    assert "The chain holds: 10 events" in seen[2]


def test_long_chain_is_walked_without_scripts_too(admin: Client, small_parts: None) -> None:
    record(9)
    seen = parts(admin)
    assert "Continue" in seen[0]
    assert "<html" in seen[0]
    assert "The chain holds: 9 events" in seen[-1]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE templatemgr_auditevent SET actor = 'eve' WHERE sequence = 7", "broken at event 7"),
        ("DELETE FROM templatemgr_auditevent WHERE sequence = 5", "event 5 is missing"),
        ("DELETE FROM templatemgr_auditevent WHERE sequence < 3", "event 1 is missing"),
    ],
)
def test_break_in_any_part_is_named(
    admin: Client, small_parts: None, statement: str, words: str
) -> None:
    record(10)
    tamper(statement)
    assert words in parts(admin, **{"HX-Request": "true"})[-1]


def test_event_replaced_between_two_parts_is_found(admin: Client, small_parts: None) -> None:
    record(8)
    headers = {"HX-Request": "true"}
    first = admin.post("/audit/verify", headers=headers).context["chain_check"]
    tamper("UPDATE templatemgr_auditevent SET previous_hash = 'x' WHERE sequence = 5")
    answer = admin.post("/audit/verify", {"state": first.state}, headers=headers)
    assert "broken at event 5" in answer.text


def test_no_part_of_a_check_can_be_skipped(admin: Client, small_parts: None) -> None:
    record(8)
    answer = admin.post("/audit/verify", {"state": "WzgsIngiXQ:x:y"}, follow=True)
    assert "start it again" in answer.text


def test_viewer_may_look_but_neither_verify_nor_export(viewer: Client) -> None:
    page = viewer.get("/audit")
    assert page.status_code == 200
    assert "Verify the chain" not in page.text
    assert "Export" not in page.text
    assert viewer.post("/audit/verify").status_code == 403
    assert viewer.post("/audit/export", {"format": "csv"}).status_code == 403


def test_operator_verifies_and_does_not_export(db: None, data_dir: Path) -> None:
    client = Client()
    client.force_login(factories.make_user("olga", "operator"))
    assert "export-dialog" not in client.get("/audit").text
    assert client.post("/audit/verify").status_code == 302
    assert client.post("/audit/export", {"format": "csv"}).status_code == 403


def exported(client: Client, form: str, **filters: str) -> str:
    """Return the content of the export."""
    answer = client.post("/audit/export", {"format": form, **filters})
    assert answer.streaming
    assert "attachment" in answer["Content-Disposition"]
    return b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]


def check(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the checker, which needs neither Django nor the database."""
    script = ROOT / "scripts" / "check_audit_export.py"
    return subprocess.run(
        [sys.executable, "-I", str(script), *options, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_export_can_be_checked_without_us(
    admin: Client, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "BATCH", 4)
    record(9, cell="=1+1", umlaut="Ä", quote='"', apostrophe="'x")
    path = tmp_path / f"audit.{form}"
    path.write_text(exported(admin, form), newline="")
    done = check(path)
    assert (done.returncode, done.stdout) == (
        0,
        "10 events hold, each follows the one before it.\n",
    )
    text = path.read_text()
    path.write_text(text.replace("why 4", "why five"))
    assert check(path).stdout == "Event 5: its contents do not match its hash.\n"
    lines = text.splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "why 4" not in line))
    assert check(path).stdout == "Event 6: event 5 is missing.\n"
    assert check(path, "--part").returncode == 0
    path.write_text("no export")
    assert check(path).returncode in {0, 2} if form == "csv" else check(path).returncode == 2


def test_a_filtered_export_holds_the_filtered_events(admin: Client) -> None:
    record(3)
    record(2, actor="eve")
    rows = [json.loads(line) for line in exported(admin, "jsonl", actor="eve").splitlines()]
    assert [row["sequence"] for row in rows] == [4, 5]
    event = AuditEvent.objects.get(action="audit.export")
    assert event.details == {"format": "jsonl", "filters": {"actor": "eve"}}
    assert event_text.describe(event).text == "audit as JSONL, filtered"


def test_no_cell_is_a_formula(admin: Client) -> None:
    for actor in ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", "'quoted", "plain"):
        record(1, actor=actor)
    rows = list(csv.DictReader(io.StringIO(exported(admin, "csv"))))
    cells = [row["actor"] for row in rows][:7]
    assert cells == [
        "'=cmd|' /C calc'!A0", "'+1", "'-1", "'@SUM(A1)", "'\tx", "''quoted", "plain",
    ]  # fmt: skip
    for row in rows:
        assert not any(value.startswith(queries.FORMULA) for value in row.values())


def test_format_or_filter_that_cannot_be_is_refused_and_nothing_is_recorded(admin: Client) -> None:
    for form in ({"format": "xls"}, {"format": "csv", "since": "x"}):
        assert admin.post("/audit/export", form).status_code == 302
    assert not AuditEvent.objects.exists()


def test_every_act_that_is_known_has_a_sentence(db: None) -> None:
    details = {
        "by": ["password", "totp"], "from": "viewer", "to": "operator", "factor": "webauthn",
        "scopes": ["read"], "format": "csv", "role": "viewer",
    }  # fmt: skip
    for action in event_text.WORDS:
        event = AuditEvent(
            sequence=1, time=timezone.now(), actor="ada", action=action, object="grace@example.org",
            details=details,
        )  # fmt: skip
        read = event_text.describe(event)
        assert read.word != action
        assert read.text
        if action.startswith(("user.", "token.")):
            assert read.template == ""
            assert "grace@example.org" in read.text


def test_acts_of_users_read_as_sentences(db: None) -> None:
    def text(action: str, **details: Any) -> str:
        return event_text.describe(
            AuditEvent(action=action, object="grace", details=details, time=timezone.now())
        ).text

    assert text("user.sign_in", by=["password", "totp"]) == (
        "grace by password and authenticator app"
    )
    assert text("user.sign_in_failed", by="webauthn") == "grace by passkey"
    assert text("user.factor_reset", factors=["recovery_codes", "totp"]) == (
        "grace: recovery code, authenticator app"
    )
    assert text("user.invite", role="viewer") == "grace: viewer"
    assert text("token.rotate", old="stn_a", prefix="stn_b", grace_seconds=7200) == (
        "grace: stn_a… → stn_b…, the old one works for 2 h more"
    )
    assert text("token.rotate", old="stn_a", prefix="stn_b", grace_seconds=0).endswith("at once")
    assert text("token.pin", to={"typescript": 7}, **{"from": {}}) == "grace at typescript 7"
    assert text("token.pin", to={}) == "grace: the current versions again"
