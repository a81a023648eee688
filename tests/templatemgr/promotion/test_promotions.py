import threading
from functools import partial

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from templatemgr import data_paths
from templatemgr.errors import (
    CurrentChangedError,
    GateError,
    InvalidReasonError,
    NothingToRollBackToError,
    PinnedError,
    TemplateError,
    UnknownTemplateError,
    UnknownVersionError,
)
from templatemgr.models import AuditEvent, Promotion, Template, VersionHealth
from templatemgr.promotion import gates, promotions
from tests import factories
from tests.templatemgr.conftest import MakeSealedVersion, link_of
from tests.timeouts import HANGS_SECONDS

pytestmark = pytest.mark.usefixtures("three")


@pytest.fixture
def three(make_sealed_version: MakeSealedVersion) -> None:
    """Make the template "fake" with versions 1 to 3, none of them current."""
    for number in range(1, 4):
        make_sealed_version({"a": str(number)})


def promote(version: int, reason: str = "because") -> Promotion:
    return promotions.promote(template="fake", version=version, actor="ann", reason=reason)


def roll_back() -> int:
    promotion = promotions.roll_back(template="fake", actor="ann", reason="it broke")
    return promotion.to_version.number


def current() -> int | None:
    row = Template.objects.select_related("current").get(name="fake")
    return row.current.number if row.current else None


def directory(number: int) -> str:
    return Template.objects.get(name="fake").versions.get(number=number).directory


def test_promoting_changes_row_log_audit_and_link() -> None:
    promote(1)
    promotion = promote(2, "  vitest 5.2  ")
    assert (promotion.kind, promotion.reason, promotion.actor) == ("promote", "vitest 5.2", "ann")
    assert promotion.from_version is not None
    assert (promotion.from_version.number, promotion.to_version.number) == (1, 2)
    assert current() == 2
    assert link_of("fake") == directory(2)
    assert (data_paths.template("fake") / "current" / "tree" / "a").read_text() == "2"
    event = AuditEvent.objects.order_by("-sequence")[0]
    assert (event.action, event.object) == ("version.promote", "fake@2")
    assert event.details == {"from": 1, "to": 2, "reason": "vitest 5.2"}


def test_rolling_back_walks_the_stack() -> None:
    for version in (1, 2, 3):
        promote(version)
    target = promotions.rollback_target("fake")
    assert target is not None
    assert target.number == 2
    assert [roll_back(), roll_back()] == [2, 1]
    assert link_of("fake") == directory(1)
    with pytest.raises(NothingToRollBackToError):
        roll_back()
    assert promotions.rollback_target("fake") is None


def test_the_roll_back_targets_of_many_templates_cost_one_query(
    make_sealed_version: MakeSealedVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for version in (1, 2, 3, 2):
        promote(version)
    roll_back()
    never = factories.make_template_row("never", title="Never promoted")
    rows = [*Template.objects.all()]
    with django_assert_num_queries(1):
        found = promotions.previous_of(rows)
    assert never.pk not in found
    assert {key: version.number for key, version in found.items()} == {
        row.pk: 2 for row in rows if row.name == "fake"
    }
    assert promotions.previous_of([]) == {}


def test_a_promotion_after_a_roll_back_goes_on_from_there() -> None:
    for version in (1, 2):
        promote(version)
    assert roll_back() == 1
    promote(3)
    assert roll_back() == 1
    with pytest.raises(NothingToRollBackToError):
        roll_back()


def test_promoting_the_current_version_adds_no_roll_back_target() -> None:
    promote(1)
    promote(2)
    promote(2)
    assert roll_back() == 1


def test_a_pin_refuses_promotion_and_roll_back_until_unpinned() -> None:
    promote(1)
    promote(2)
    template = promotions.pin(template="fake", actor="bob", reason="exam week")
    assert (template.pinned, template.pinned_by, template.pin_reason) == (True, "bob", "exam week")
    with pytest.raises(PinnedError, match="pinned by bob: exam week"):
        promote(3)
    with pytest.raises(PinnedError):
        roll_back()
    assert current() == 2
    assert not promotions.unpin(template="fake", actor="bob", reason="over").pinned
    promotions.unpin(template="fake", actor="bob", reason="over, again")
    promote(3)
    actions = AuditEvent.objects.order_by("sequence").values_list("action", flat=True)
    assert list(actions) == [
        "version.promote",
        "version.promote",
        "template.pin",
        "template.unpin",
        "version.promote",
    ]


def test_expected_current_must_hold() -> None:
    promote(1)
    act = partial(promotions.promote, template="fake", version=3, actor="ann", reason="r")
    with pytest.raises(CurrentChangedError) as caught:
        act(expected_current=2)
    assert caught.value.details == {"template": "fake", "expected": 2, "current": 1}
    assert current() == 1
    act(expected_current=1)
    assert current() == 3


@pytest.mark.parametrize("reason", ["", "  \n ", "x" * 501])
def test_every_action_needs_a_reason(reason: str) -> None:
    promote(1)
    for act in (promotions.roll_back, promotions.pin, promotions.unpin):
        with pytest.raises(InvalidReasonError):
            act(template="fake", actor="ann", reason=reason)
    with pytest.raises(InvalidReasonError):
        promote(2, reason)


def test_an_unknown_template_or_version_is_named() -> None:
    with pytest.raises(UnknownVersionError, match="fake has no version 9"):
        promote(9)
    with pytest.raises(UnknownTemplateError):
        promotions.promote(template="none", version=1, actor="ann", reason="r")
    with pytest.raises(UnknownTemplateError):
        promotions.rollback_target("none")


def test_gates_are_all_shown_and_the_closed_ones_refuse(
    make_sealed_version: MakeSealedVersion,
) -> None:
    make_sealed_version({"a": "4"}, smoke_ok=False)
    version = Template.objects.get(name="fake").versions.get(number=4)
    VersionHealth.objects.filter(version=version).update(
        state="quarantined", checked_at=timezone.now()
    )
    shown = {gate.name: gate.ok for gate in gates.evaluate(version=version)}
    found = {"ready": True, "smoke": False, "healthy": False, "unpinned": True, "origins": True}
    assert shown == found
    with pytest.raises(GateError) as caught:
        promote(4)
    assert caught.value.details["gates"] == ["smoke", "healthy"]
    assert current() is None
    assert AuditEvent.objects.count() == 0


def test_reconciling_repairs_a_wrong_missing_or_surplus_link() -> None:
    promote(1)
    link = data_paths.template("fake") / "current"
    link.unlink()
    promotions.reconcile_all()
    assert link_of("fake") == directory(1)
    link.unlink()
    link.symlink_to("versions/elsewhere")
    promotions.reconcile(template="fake")
    assert link_of("fake") == directory(1)
    Template.objects.update(current=None)
    promotions.reconcile(template="fake")
    assert link_of("fake") is None


def test_the_second_of_two_concurrent_promotions_is_refused() -> None:
    promote(1)
    results: list[str] = []

    def race(version: int) -> None:
        try:
            promotions.promote(
                template="fake", version=version, actor="ann", reason="r", expected_current=1
            )
            results.append("done")
        except TemplateError as error:
            results.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=race, args=(version,)) for version in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS_SECONDS)
    assert sorted(results) == ["done", "expected_current"]
    number = current()
    assert number is not None
    assert link_of("fake") == directory(number)
