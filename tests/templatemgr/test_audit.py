import pytest
from django.db import connection, transaction

from core.database import triggers
from templatemgr import audit
from templatemgr.models import AuditEvent

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def events() -> list[AuditEvent]:
    with transaction.atomic():
        return [
            audit.append(
                actor="ann", action="token.create", object=f"t{n}", details={"n": n, "é": [1.5]}
            )
            for n in range(1, 5)
        ]


def tamper(statement: str) -> None:
    """Change rows past the models, as an attacker with the database file could."""
    with triggers.lifted(connection), connection.cursor() as cursor:
        cursor.execute(statement)


def test_each_event_carries_the_hash_of_the_one_before(events: list[AuditEvent]) -> None:
    assert [event.sequence for event in events] == [1, 2, 3, 4]
    assert events[0].previous_hash == audit.GENESIS
    assert events[3].previous_hash == events[2].hash
    assert audit.verify_chain() == audit.ChainResult(
        ok=True, count=4, first_broken=None, hash=events[3].hash
    )


def test_an_empty_trail_is_unbroken() -> None:
    assert audit.verify_chain() == audit.ChainResult(
        ok=True, count=0, first_broken=None, hash=audit.GENESIS
    )


def test_an_event_is_rolled_back_with_its_action(events: list[AuditEvent]) -> None:
    def fail_after_recording() -> None:
        with transaction.atomic():
            audit.append(actor="ann", action="x", object="y", details={})
            raise LookupError

    with pytest.raises(LookupError):
        fail_after_recording()
    assert AuditEvent.objects.count() == 4


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE templatemgr_auditevent SET actor = 'eve' WHERE sequence = 2", 2),
        ("UPDATE templatemgr_auditevent SET details = '{}' WHERE sequence = 4", 4),
        ("UPDATE templatemgr_auditevent SET time = '2020-01-01 00:00:00' WHERE sequence = 1", 1),
        ("DELETE FROM templatemgr_auditevent WHERE sequence = 3", 3),
        ("DELETE FROM templatemgr_auditevent WHERE sequence = 1", 1),
    ],
)
def test_tampering_is_reported_at_the_first_broken_link(
    events: list[AuditEvent], statement: str, broken: int
) -> None:
    tamper(statement)
    result = audit.verify_chain()
    assert not result.ok
    assert result.first_broken == broken
    assert result.count == broken - 1


def test_an_event_rehashed_after_a_change_breaks_the_next_one(events: list[AuditEvent]) -> None:
    forged = AuditEvent.objects.get(sequence=2)
    forged.actor = "eve"
    tamper(
        "UPDATE templatemgr_auditevent SET actor = 'eve', "  # noqa: S608 - a hash of ours
        f"hash = '{audit.event_hash(forged)}' WHERE sequence = 2"
    )
    result = audit.verify_chain()
    assert (result.ok, result.first_broken) == (False, 3)


def test_audit_outside_a_transaction_is_refused() -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        audit.append(actor="ann", action="x", object="y", details={})
