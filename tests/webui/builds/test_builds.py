"""Test the pages of builds: request, page, live log and cancellation."""

import json
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from templatemgr import data_paths, store
from templatemgr.build import following
from templatemgr.definitions import source_files
from templatemgr.models import AuditEvent, Build
from tests.factories import (
    make_build_log_rows,
    make_build_row,
    make_promotion_row,
    make_template_row,
    make_version_row,
)


def now_and(**delta: float) -> str:
    """Return a time relative to now, in the format of steps."""
    return (timezone.now() + timedelta(**delta)).isoformat()


def streamed(client: Client, path: str, **headers: str) -> str:
    """Return everything that a stream sends until it ends."""
    answer = client.get(path, headers=headers)
    assert answer.streaming
    return answer.getvalue().decode()


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let streams poll often and end soon."""
    monkeypatch.setattr(following, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(following, "STREAM_SECONDS", 0.2)


def test_asking_for_a_build_leads_to_its_log(admin: Client) -> None:
    make_template_row()
    answer = admin.post("/templates/typescript/builds", {"kind": "refresh", "from_version": ""})
    build = Build.objects.get()
    assert answer.headers["Location"] == f"/builds/{build.pk}"
    assert (build.kind, build.state, build.requested_by) == ("refresh", "queued", "ada")


def test_build_from_the_inputs_of_a_version(admin: Client) -> None:
    version = make_version_row(make_template_row())
    definition = Path(settings.BASE_DIR) / "templates_runtime/typescript"
    store.copy(source_files.locate(definition), data_paths.version(version) / "inputs")
    admin.post("/templates/typescript/builds", {"kind": "rebuild", "from_version": "1"})
    build = Build.objects.get(state="queued")
    assert build.from_version is not None
    assert "the inputs of 1" in admin.get(f"/builds/{build.pk}").text


def test_unknown_kind_of_build_is_refused_with_words(admin: Client) -> None:
    make_template_row()
    answer = admin.post("/templates/typescript/builds", {"kind": "magic"}, follow=True)
    assert "is not a kind of build" in answer.text
    assert not Build.objects.exists()


def test_running_build_shows_steps_progress_and_log(admin: Client) -> None:
    template = make_template_row()
    make_build_row(template)  # took 19 s
    steps = [
        {
            "name": "fetching",
            "state": "done",
            "started_at": now_and(seconds=-9),
            "finished_at": now_and(seconds=-3),
        },
        {
            "name": "installing",
            "state": "active",
            "started_at": now_and(seconds=-3),
            "finished_at": None,
        },
    ]
    started = timezone.now() - timedelta(seconds=9)
    build = make_build_row(template, "installing", steps=steps, started_at=started)
    make_build_log_rows(build, "npm ci", "<b>escaped</b>")
    text = admin.get(f"/builds/{build.pk}").text
    assert "about 10 s left, estimated from the last five builds" in text
    assert "6.0 s" in text
    assert "next" in text
    assert "&lt;b&gt;escaped&lt;/b&gt;" in text
    assert f'data-events="/builds/{build.pk}/events"' in text
    assert 'data-after="2"' in text
    assert ">Cancel<" in text
    assert "Load again" in text


def test_fragment_of_a_running_build_asks_again(admin: Client) -> None:
    build = make_build_row(make_template_row(), "sealing")
    text = admin.get(f"/builds/{build.pk}/steps", headers={"HX-Request": "true"}).text
    assert 'hx-trigger="every 1s"' in text
    assert "there is no earlier build to estimate from" in text
    assert 'id="build-outcome"' not in text


def test_fragment_of_an_ended_build_brings_the_outcome_and_stops(admin: Client) -> None:
    version = make_version_row(make_template_row())
    build = make_build_row(version.template, "reproduced", reproduces=version)
    text = admin.get(f"/builds/{build.pk}/steps", headers={"HX-Request": "true"}).text
    assert "Reproduces version 1" in text
    assert 'hx-trigger="every 1s"' not in text
    assert ">Cancel<" not in text


def test_ready_build_leads_to_the_promotion(admin: Client) -> None:
    template = make_template_row()
    make_promotion_row(make_version_row(template))
    build = make_build_row(template)
    version = make_version_row(template, build=build)
    build.version = version
    build.save()
    text = admin.get(f"/builds/{build.pk}").text
    assert "Version 2 is ready" in text
    assert 'class="button primary" href="/templates/typescript/compare/1/2"' in text


def test_a_failed_build_names_its_step_and_a_remedy(admin: Client) -> None:
    build = make_build_row(
        make_template_row(), "failed", step="fetching", message="No network.\nLook at the proxy."
    )
    text = admin.get(f"/builds/{build.pk}").text
    assert "failed at fetching" in text
    assert "No network.<br>Look at the proxy." in text
    assert "data-events" not in text


def test_long_log_shows_its_end(admin: Client) -> None:
    build = make_build_row(make_template_row(), "failed")
    make_build_log_rows(build, *(f"line {number}." for number in range(1, 1201)))
    text = admin.get(f"/builds/{build.pk}").text
    assert "200 earlier lines" in text
    assert "line 200." not in text
    assert "line 201." in text


def test_log_downloads_as_text(admin: Client) -> None:
    build = make_build_row(make_template_row(), "failed")
    make_build_log_rows(build, *(f"line {number}." for number in range(1, 602)))
    answer = admin.get(f"/builds/{build.pk}/log")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert streamed(admin, f"/builds/{build.pk}/log").splitlines()[-1].endswith("line 601.")


def test_events_of_an_ended_build_are_its_lines_and_an_end(admin: Client) -> None:
    build = make_build_row(make_template_row(), "failed")
    make_build_log_rows(build, "npm ci", "two\nlines")
    text = streamed(admin, f"/builds/{build.pk}/events")
    assert "id: 1\nevent: line\n" in text
    assert text.endswith('id: 2\nevent: end\ndata: {"state": "failed"}\n\n')
    data = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert json.loads(data[1])["text"] == "two\nlines"


def test_requests_that_npm_reports_on_stderr_are_no_warnings(admin: Client) -> None:
    build = make_build_row(make_template_row(), "failed")
    make_build_log_rows(build, "npm http fetch GET 200", "npm warn deprecated")
    build.lines.update(stream="stderr")
    assert admin.get(f"/builds/{build.pk}").text.count('class="log-line stderr"') == 1
    assert streamed(admin, f"/builds/{build.pk}/events").count('"tone": "stderr"') == 1


@pytest.mark.parametrize("how", ["header", "address"])
def test_events_resume_after_the_last_line_seen(admin: Client, how: str) -> None:
    build = make_build_row(make_template_row(), "failed")
    make_build_log_rows(build, "one", "two", "three")
    if how == "header":
        text = streamed(admin, f"/builds/{build.pk}/events?after=0", **{"Last-Event-ID": "2"})
    else:
        text = streamed(admin, f"/builds/{build.pk}/events?after=2")
    assert "two" not in text
    assert "three" in text


def test_events_bring_more_lines_than_one_page(admin: Client) -> None:
    build = make_build_row(make_template_row(), "failed")
    make_build_log_rows(build, *(f"line {number}." for number in range(1, 1101)))
    assert streamed(admin, f"/builds/{build.pk}/events").count("event: line") == 1100


def test_events_of_a_running_build_end_without_an_end(admin: Client, short_waits: None) -> None:
    build = make_build_row(make_template_row(), "fetching")
    make_build_log_rows(build, "npm ci")
    text = streamed(admin, f"/builds/{build.pk}/events")
    assert text.count("npm ci") == 1
    assert "event: end" not in text


def test_events_wait_for_the_last_lines_of_a_build_that_just_ended(
    admin: Client, short_waits: None
) -> None:
    build = make_build_row(make_template_row(), "failed")
    Build.objects.update(finished_at=timezone.now())
    assert "event: end" not in streamed(admin, f"/builds/{build.pk}/events")


def test_cancelling_a_queued_build_ends_it(admin: Client) -> None:
    build = make_build_row(make_template_row(), "queued")
    text = admin.post(f"/builds/{build.pk}/cancel", follow=True).text
    assert "Only the log of this build is kept." in text
    assert Build.objects.get().state == "cancelled"


def test_cancelling_a_running_build_asks_it_to_stop(admin: Client) -> None:
    build = make_build_row(make_template_row(), "smoke")
    text = admin.post(f"/builds/{build.pk}/cancel", follow=True).text
    assert "cancelling: it stops within seconds" in text
    assert 'class="notice ok"' not in text  # which would stay when the build has ended
    assert ">Cancel<" not in text
    assert Build.objects.get().cancel_requested
    Build.objects.update(state="cancelled", finished_at=timezone.now())
    live = admin.get(f"/builds/{build.pk}/steps", headers={"HX-Request": "true"}).text
    assert 'id="build-state"' in live
    assert "cancelling" not in live


def test_cancelling_an_ended_build_says_that_it_had_ended(admin: Client) -> None:
    build = make_build_row(make_template_row(), "failed")
    assert (
        "The build had already ended" in admin.post(f"/builds/{build.pk}/cancel", follow=True).text
    )


def test_viewers_watch_and_do_not_cancel(viewer: Client) -> None:
    build = make_build_row(make_template_row(), "queued")
    assert ">Cancel<" not in viewer.get(f"/builds/{build.pk}").text
    assert viewer.post(f"/builds/{build.pk}/cancel").status_code == 403
    assert not AuditEvent.objects.exists()


def test_unknown_build_is_not_found(admin: Client) -> None:
    path = f"/builds/{uuid.uuid4()}"
    for page in (path, f"{path}/steps", f"{path}/events", f"{path}/log"):
        assert admin.get(page).status_code == 404
    assert admin.post(f"{path}/cancel").status_code == 404


def test_streams_ask_for_a_sign_in(client: Client, db: None) -> None:
    build = make_build_row(make_template_row(), "queued")
    assert client.get(f"/builds/{build.pk}/events").status_code == 302


def test_page_costs_a_fixed_number_of_queries(
    admin: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    template = make_template_row()
    make_promotion_row(make_version_row(template))
    build = make_build_row(template)
    build.version = make_version_row(template, build=build)
    build.save()
    make_build_log_rows(build, *(str(number) for number in range(300)))
    with django_assert_max_num_queries(19):
        assert admin.get(f"/builds/{build.pk}").status_code == 200


def test_lines_fold_by_step_and_the_failing_one_is_open(admin: Client) -> None:
    build = make_build_row(
        make_template_row(), "failed", step="smoke", message="run: it printed nothing"
    )
    make_build_log_rows(build, "npm ci", "npm error code E404", "run: it printed nothing")
    build.lines.filter(sequence=3).update(step="smoke", stream="build")
    text = admin.get(f"/builds/{build.pk}").text
    assert '<details class="log-step" data-step="fetching"><summary>' in text
    assert '<details class="log-step failed" data-step="smoke" open>' in text
    assert 'id="L2" data-level="error"' in text
    assert 'id="L3" data-level="error"' in text
    assert '<a class="at" href="#L1" aria-label="Line 1">1</a>' in text


def test_a_link_to_a_line_begins_the_log_near_it(admin: Client) -> None:
    build = make_build_row(make_template_row(), "failed")
    make_build_log_rows(build, *(f"line {number}." for number in range(1, 2401)))
    text = admin.get(f"/builds/{build.pk}?line=300").text
    assert 'id="L251"' in text
    assert 'id="L250"' not in text
    assert 'id="L1250"' in text
    assert "250 earlier lines" in text
    assert "1,150 later lines" in text
    assert 'id="L1401"' in admin.get(f"/builds/{build.pk}").text


def test_errors_and_warnings_of_package_managers_stand_out(admin: Client) -> None:
    build = make_build_row(make_template_row(), "failed")
    make_build_log_rows(build, "npm error x", "ERROR: y", "npm warn z", "WARNING: w", "fine")
    text = streamed(admin, f"/builds/{build.pk}/events")
    assert text.count('"level": "error"') == 2
    assert text.count('"level": "warning"') == 2


def test_all_builds_are_listed_filtered_and_paged(
    admin: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    template = make_template_row()
    assert "No builds yet" in admin.get("/builds").text
    for number in range(30):
        make_build_row(template, "failed", step="smoke", message=f"reason {number}.\nmore")
    version = make_version_row(template)
    Build.objects.filter(pk=version.build_id).update(version=version)
    with django_assert_max_num_queries(19):
        text = admin.get("/builds").text
    assert "reason 29." in text
    assert "reason 3." not in text
    assert 'rel="next"' in text
    oldest = Build.objects.order_by("-pk")[24].pk
    assert "reason 3." in admin.get(f"/builds?before={oldest}").text
    assert ">version 1<" in admin.get("/builds?state=through").text
    assert "reason" not in admin.get("/builds?state=through").text
    assert "No build matches" in admin.get("/builds?template=python").text
    assert admin.get("/builds?before=nonsense").status_code == 200


def test_the_list_of_builds_follows_open_builds(admin: Client) -> None:
    make_build_row(make_template_row(), "fetching")
    part = admin.get("/builds", headers={"HX-Request": "true"}).text
    assert part.startswith("<section")
    assert 'hx-trigger="every 3s"' in part
