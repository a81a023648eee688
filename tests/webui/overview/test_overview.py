"""Test the overview: it lists what needs attention, and running work."""

from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from execapp.models import Execution
from templatemgr import audit
from templatemgr.models import Version
from tests import factories
from webui.overview.metrics import by_minute


def run_on(version: Version, total_ms: float, state: str = "succeeded") -> Execution:
    """Make an execution that has just finished and took `total_ms`."""
    now, timings = timezone.now(), {"total_ms": total_ms}
    return factories.make_execution_row(
        version, state, timings=timings, created_at=now, finished_at=now
    )


def test_asks_for_a_build_when_nothing_is_current(admin: Client) -> None:
    factories.make_template_row()
    page = admin.get("/").content.decode()
    assert "Not built" in page
    assert "submissions to it are refused" in page


def test_offers_the_newer_version_with_the_way_to_compare(admin: Client) -> None:
    template = factories.make_template_row()
    factories.make_promotion_row(factories.make_version_row(template))
    factories.make_version_row(template)
    page = admin.get("/").content.decode()
    assert "/templates/typescript/compare/1/2" in page


def test_a_version_that_was_rolled_back_from_is_offered_no_more(admin: Client) -> None:
    template = factories.make_template_row()
    first = factories.make_version_row(template)
    second = factories.make_version_row(template)
    for version in (first, second, first):
        factories.make_promotion_row(version)
    assert "compare" not in admin.get("/").content.decode()


def test_quarantined_current_version_comes_first(admin: Client) -> None:
    factories.make_promotion_row(
        factories.make_version_row(factories.make_template_row(), health="quarantined")
    )
    page = admin.get("/").content.decode()
    assert "is not served" in page
    assert "trouble" in page or "No executor" in page


def test_damaged_versions_that_are_not_current_are_listed(admin: Client) -> None:
    template = factories.make_template_row()
    factories.make_version_row(template, health="quarantined")
    factories.make_promotion_row(factories.make_version_row(template))
    page = admin.get("/").content.decode()
    assert "cannot be promoted or rolled back to before healing" in page
    assert 'href="/templates/typescript/versions/1">What differs' in page
    assert "is not served" not in page
    factories.make_version_row(template, health="quarantined")
    page = admin.get("/").content.decode()
    assert "typescript 3, 1</strong> are not current" in page
    assert 'href="/templates/typescript?state=quarantined">What differs' in page


def test_a_new_user_is_offered_a_passing_and_a_failing_example(
    admin: Client, viewer: Client
) -> None:
    version = factories.make_version_row(factories.make_template_row())
    offered = ('href="/playground">Open one that passes', 'href="/playground?ends=failed">Open')
    assert not any(link in admin.get("/").text for link in offered)  # nothing can be run yet
    factories.make_promotion_row(version)
    assert all(link in admin.get("/").text for link in offered)
    assert not any(link in viewer.get("/").text for link in offered)
    run_on(version, 5.0)
    assert not any(link in admin.get("/").text for link in offered)


def test_metrics_count_the_last_hour_and_our_own_failures(admin: Client) -> None:
    version = factories.make_version_row(factories.make_template_row())
    factories.make_promotion_row(version)
    for total in (10.0, 20.0, 30.0):
        run_on(version, total)
    run_on(version, 5.0, state="error")
    answer = admin.get("/")
    metrics = answer.context["metrics"]
    assert metrics.last_hour == 4
    assert metrics.median_ms == pytest.approx(15.0)
    assert (metrics.failed_by_us, metrics.today) == (1, 4)
    assert sum(by_minute(timezone.now())) == 4


def test_live_part_is_a_fragment(admin: Client) -> None:
    fragment = admin.get("/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in fragment
    assert "Executions, last hour" in fragment


def test_rail_says_that_no_executor_lives(admin: Client) -> None:
    assert "No executor" in admin.get("/health").content.decode()
    factories.make_heartbeat_row(slots=2, warm=3)
    assert "2 slots" in admin.get("/health").content.decode()


def test_queries_do_not_grow_with_rows(admin: Client, django_assert_max_num_queries: Any) -> None:
    template = factories.make_template_row()
    versions = [factories.make_version_row(template) for _ in range(10)]
    factories.make_promotion_row(versions[0])
    for _ in range(30):
        run_on(versions[0], 10.0)
    with django_assert_max_num_queries(20):
        admin.get("/")


def test_stranger_is_sent_to_sign_in(client: Client, db: None) -> None:
    answer = client.get("/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login")


def test_pages_carry_no_inline_script_or_style_and_the_policy(admin: Client) -> None:
    factories.make_promotion_row(factories.make_version_row(factories.make_template_row()))
    for path in ("/", "/templates", "/templates/typescript", "/audit", "/tokens", "/executions"):
        answer = admin.get(path)
        text = answer.content.decode()
        assert " style=" not in text, path
        assert "<style" not in text, path
        assert "<script>" not in text, path
        assert "default-src 'none'" in answer["Content-Security-Policy"], path


def test_sign_ins_do_not_crowd_out_other_events(admin: Client) -> None:
    with transaction.atomic():
        audit.append(actor="ada", action="template.pin", object="typescript", details={})
        for _ in range(10):
            audit.append(actor="ada", action="user.sign_in", object="ada", details={})
    assert [act.word for act in admin.get("/").context["events"]] == ["pinned"]
