"""The audit page lists every act, filters, pages, and walks the chain."""

from django.db import connection, transaction
from django.test import Client

from templatemgr import audit, triggers
from templatemgr.models import AuditEvent


def record(count: int, action: str = "template.pin") -> None:
    """Append `count` events."""
    with transaction.atomic():
        for number in range(count):
            audit.append(
                actor="ada", action=action, object="typescript", details={"reason": f"why {number}"}
            )


def test_events_are_listed_newest_first_with_their_reasons(admin: Client) -> None:
    record(2)
    page = admin.get("/audit").content.decode()
    assert page.index("why 1") < page.index("why 0")


def test_pages_follow_each_other_without_gap(admin: Client) -> None:
    record(60)
    first = admin.get("/audit")
    second = admin.get(f"/audit?before={first.context['acts'][-1].event.sequence}")
    seen = [act.event.sequence for page in (first, second) for act in page.context["acts"]]
    assert seen == list(range(60, 0, -1))
    assert second.context["older_url"] == ""


def test_filters_narrow_the_list(admin: Client) -> None:
    record(1)
    record(1, action="token.create")
    found = admin.get("/audit?action=token.create").context["acts"]
    assert [act.event.action for act in found] == ["token.create"]


def test_unbroken_chain_is_said_to_hold(admin: Client) -> None:
    record(3)
    assert "The chain holds: 3 events" in admin.post("/audit/verify", follow=True).content.decode()


def test_changed_event_is_named(admin: Client) -> None:
    record(3)
    with triggers.lifted(connection), connection.cursor() as cursor:
        table = AuditEvent._meta.db_table
        cursor.execute(f"UPDATE {table} SET actor = 'eve' WHERE sequence = 2")  # noqa: S608
    assert "broken at event 2" in admin.post("/audit/verify", follow=True).content.decode()


def test_viewer_may_look_but_not_verify(viewer: Client) -> None:
    assert viewer.get("/audit").status_code == 200
    assert viewer.post("/audit/verify").status_code == 403
