"""Test the pages of templates, and the actions that change the current version."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from templatemgr.models import AuditEvent, Template
from templatemgr.promotion import promotions
from tests.factories import (
    make_build_row,
    make_execution_row,
    make_promotion_row,
    make_template_row,
    make_version_row,
    package_list,
)

PAGE = "/templates/typescript"


def current() -> int | None:
    """Return the number of the current version."""
    version = Template.objects.get(name="typescript").current
    return version.number if version else None


def test_index_says_how_to_make_the_first(admin: Client) -> None:
    assert "build_template typescript --promote" in admin.get("/templates").text


def test_index_shows_current_and_pinned_versions(admin: Client) -> None:
    template = make_template_row()
    make_promotion_row(make_version_row(template))
    promotions.pin(template="typescript", actor="ops", reason="exam week")
    text = admin.get("/templates").text
    assert "TypeScript" in text
    assert "verified" in text
    assert "“exam week”" in text


def test_pages_ask_for_a_sign_in(client: Client, db: None) -> None:
    assert client.get(PAGE).status_code == 302
    assert client.post(f"{PAGE}/pin").status_code == 302


def test_unknown_template_is_not_found(admin: Client) -> None:
    assert admin.get("/templates/cobol").status_code == 404
    for act in ("promote", "rollback", "pin", "unpin", "builds"):
        answer = admin.post(f"/templates/cobol/{act}", {"reason": "why", "kind": "rebuild"})
        assert answer.status_code == 404, act


def test_a_template_without_versions_names_the_next_step(admin: Client) -> None:
    make_template_row()
    text = admin.get(PAGE).text
    assert "No version is current" in text
    assert "No versions yet" in text


def test_template_shows_current_its_reason_and_the_way_back(admin: Client) -> None:
    template = make_template_row()
    make_promotion_row(make_version_row(template))
    make_promotion_row(
        make_version_row(template, packages=package_list(vitest="6.0.0")), "vitest 6 & timers"
    )
    text = admin.get(PAGE).text
    assert "“vitest 6 &amp; timers”" in text
    assert "Roll back to 1" in text
    assert "vitest 5.1.0 → 6.0.0" in text
    assert 'href="/templates/typescript/compare/2/1"' in text


def test_builds_that_made_no_version_stand_among_the_versions(admin: Client) -> None:
    template = make_template_row()
    make_version_row(template)
    failed = make_build_row(template, "failed", step="smoke", message="run: it printed nothing")
    make_build_row(template, "interrupted")
    running = make_build_row(template, "fetching")
    answer = admin.get(PAGE)
    assert "failed at smoke" in answer.text
    assert f"/builds/{failed.pk}" in answer.text
    assert f"/builds/{running.pk}" in answer.text
    assert 'hx-trigger="every 3s"' in answer.text


def test_table_is_not_polled_when_nothing_is_building(admin: Client) -> None:
    make_version_row(make_template_row())
    assert 'hx-trigger="every 3s"' not in admin.get(PAGE).text


def test_htmx_gets_the_table_alone(admin: Client) -> None:
    make_version_row(make_template_row())
    text = admin.get(PAGE, headers={"HX-Request": "true"}).text
    assert text.startswith("<section")
    assert "<html" not in text


def test_thirty_versions_cost_no_more_queries_than_three(
    admin: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    template = make_template_row()
    for number in range(1, 31):
        make_version_row(template, number, packages=package_list(zod=f"4.{number}.0"))
        if number < 4:
            make_promotion_row(template.versions.get(number=number))
    for _ in range(10):
        make_build_row(template, "failed", step="smoke")
    with django_assert_max_num_queries(19):
        assert admin.get(PAGE).status_code == 200
    with django_assert_max_num_queries(19):
        assert admin.get("/templates").status_code == 200


def test_versions_come_by_pages(admin: Client) -> None:
    template = make_template_row()
    for number in range(1, 53):
        make_version_row(template, number)
    first = admin.get(PAGE).text
    assert f'{PAGE}/versions/28"' in first
    assert f'{PAGE}/versions/27"' not in first
    assert 'href="?before=28" rel="next"' in first
    last = admin.get(f"{PAGE}?before=3").text
    assert f'{PAGE}/versions/1"' in last
    assert 'rel="next"' not in last


def test_promote_reports_the_change_and_the_way_back(admin: Client) -> None:
    template = make_template_row()
    make_promotion_row(make_version_row(template))
    make_version_row(template)
    form = {"version": "2", "expected_current": "1", "reason": "new zod"}
    answer = admin.post(f"{PAGE}/promote", form, follow=True)
    receipt = template.promotions.get(to_version__number=2)
    assert answer.redirect_chain == [(f"{PAGE}/promotions/{receipt.pk}", 302)]
    said = "Version 2 is current. Version 1 was current before: roll back to return to it."
    assert said in answer.text
    assert current() == 2
    assert template.promotions.first().actor == "ada"  # type: ignore[union-attr]


def test_first_promotion_needs_no_current(admin: Client) -> None:
    make_version_row(make_template_row())
    form = {"version": "1", "expected_current": "", "reason": "first"}
    assert admin.post(f"{PAGE}/promote", form).status_code == 302
    assert current() == 1


@pytest.mark.parametrize(
    ("reason", "expected", "pinned", "words"),
    [
        ("", "1", False, "A reason is needed"),
        ("kept <b>words</b>", "2", False, "is on version 1, not 2"),
        ("kept <b>words</b>", "1", True, "pinned by ops"),
    ],
)
def test_refused_promotion_keeps_the_typed_reason(
    admin: Client, reason: str, expected: str, pinned: bool, words: str
) -> None:
    template = make_template_row()
    make_promotion_row(make_version_row(template))
    make_version_row(template)
    make_version_row(template)
    if pinned:
        promotions.pin(template="typescript", actor="ops", reason="exam week")
    form = {"version": "3", "expected_current": expected, "reason": reason}
    answer = admin.post(f"{PAGE}/promote", form)
    assert answer.status_code == 409
    assert words in answer.text
    assert reason.replace("<", "&lt;").replace(">", "&gt;") in answer.text
    assert current() == 1


def test_promoting_a_version_that_is_not_there_is_not_found(admin: Client) -> None:
    make_template_row()
    assert admin.post(f"{PAGE}/promote", {"version": "x", "reason": "y"}).status_code == 404


def test_roll_back_returns_to_the_previous_version(admin: Client) -> None:
    template = make_template_row()
    make_promotion_row(make_version_row(template))
    make_promotion_row(make_version_row(template))
    form = {"expected_current": "2", "reason": "timers broke"}
    answer = admin.post(f"{PAGE}/rollback", form, follow=True)
    assert "Version 1 is current again. Version 2 stays" in answer.text
    assert "“timers broke”" in answer.text


def test_roll_back_sent_twice_goes_back_once(admin: Client) -> None:
    template = make_template_row()
    for _ in range(3):
        make_promotion_row(make_version_row(template))
    form = {"expected_current": "3", "reason": "timers broke"}
    admin.post(f"{PAGE}/rollback", form)
    answer = admin.post(f"{PAGE}/rollback", form, follow=True)
    assert "is on version 2, not 3" in answer.text
    assert current() == 2


def test_roll_back_without_an_earlier_version_is_refused(admin: Client) -> None:
    make_promotion_row(make_version_row(make_template_row()))
    form = {"expected_current": "1", "reason": "x"}
    answer = admin.post(f"{PAGE}/rollback", form, follow=True)
    assert "No earlier version is left to roll back to." in answer.text


def test_pin_and_unpin_say_why(admin: Client) -> None:
    make_promotion_row(make_version_row(make_template_row()))
    text = admin.post(f"{PAGE}/pin", {"reason": "exam week"}, follow=True).text
    assert "Pinned at 1 by ada" in text
    assert "“exam week”. Unpin to promote." in text
    text = admin.post(f"{PAGE}/unpin", {"reason": "over"}, follow=True).text
    assert "Unpin to promote" not in text
    assert AuditEvent.objects.filter(action="template.unpin").count() == 1


def test_pin_without_a_reason_is_refused(admin: Client) -> None:
    make_template_row()
    text = admin.post(f"{PAGE}/pin", {"reason": " "}, follow=True).text
    assert "A reason is needed" in text
    assert not Template.objects.get().pinned


@pytest.mark.parametrize("act", ["promote", "rollback", "pin", "unpin", "builds"])
def test_viewers_look_and_change_nothing(viewer: Client, act: str) -> None:
    template = make_template_row()
    make_promotion_row(make_version_row(template))
    text = viewer.get(PAGE).text
    assert '<dialog id="pin-dialog' not in text
    assert ">Verify<" not in text
    answer = viewer.post(f"{PAGE}/{act}", {"reason": "x", "version": "1", "kind": "rebuild"})
    assert answer.status_code == 403
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("act", ["promote", "rollback", "pin", "unpin", "builds"])
def test_changes_are_posts(admin: Client, act: str) -> None:
    make_template_row()
    assert admin.get(f"{PAGE}/{act}").status_code == 405


def test_filters_narrow_the_table_and_stay_in_its_pages(admin: Client) -> None:
    template = make_template_row()
    for number in range(1, 61):
        values = {"health": "quarantined"} if number % 2 else {}
        make_version_row(template, number, created_by="ops" if number < 5 else "ada", **values)
    text = admin.get(f"{PAGE}?state=quarantined").text
    assert f'{PAGE}/versions/59"' in text
    assert f'{PAGE}/versions/60"' not in text
    assert 'href="?state=quarantined&amp;before=11" rel="next"' in text
    assert f'{PAGE}/versions/4"' in admin.get(f"{PAGE}?by=ops").text
    assert f'{PAGE}/versions/5"' not in admin.get(f"{PAGE}?by=ops").text
    assert "No version matches" in admin.get(f"{PAGE}?kind=edit").text
    make_promotion_row(template.versions.get(number=4))
    assert "◆ promoted" not in admin.get(f"{PAGE}?state=promoted").text  # it is current still
    make_promotion_row(template.versions.get(number=60))
    assert "◆ promoted" in admin.get(f"{PAGE}?state=promoted").text


def test_two_hundred_versions_cost_no_more_queries(
    admin: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    template = make_template_row()
    build = make_build_row(template)
    for number in range(1, 201):
        make_version_row(template, number, build=build)
    make_promotion_row(template.versions.get(number=200))
    for query in ("", "?before=100", "?state=ready&kind=rebuild&by=ada"):
        with django_assert_max_num_queries(19):
            assert admin.get(f"{PAGE}{query}").status_code == 200


def test_the_current_version_shows_its_usage(admin: Client) -> None:
    version = make_version_row(make_template_row())
    make_promotion_row(version)
    for total in (10.0, 30.0, 50.0):
        make_execution_row(version, timings={"total_ms": total})
    text = admin.get(PAGE).text
    assert "3 executions</a> in 24 h, median 30.0 ms" in text


def test_the_log_of_promotions_is_read_without_the_large_columns(admin: Client) -> None:
    template = make_template_row()
    for _ in range(3):
        make_promotion_row(make_version_row(template))
    for page in (PAGE, f"{PAGE}/promotions"):
        with CaptureQueriesContext(connection) as queries:
            assert admin.get(page).status_code == 200
        logs = [
            query["sql"]
            for query in queries
            if query["sql"].startswith('SELECT "templatemgr_promotion"')
        ]
        assert logs
        assert [sql for sql in logs if '"packages"' in sql] == []


def test_changes_are_shown_even_if_a_filter_hides_the_version_before(admin: Client) -> None:
    template = make_template_row()
    make_version_row(template, created_by="bob")
    make_version_row(template, packages=package_list(zod="4.6.8"))
    text = admin.get(f"{PAGE}?by=ada").text
    assert "zod 4.6.7 → 4.6.8" in text
