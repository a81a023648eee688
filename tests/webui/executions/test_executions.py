"""Test the pages of executions: filters, the failing line, a repeated run and cancellation."""

import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from execapp.models import Execution
from execapp.requests import SubmissionRequest
from execapp.services import submissions
from templatemgr.models import Version
from tests import factories
from webui.executions import annotated_source, result_page
from webui.shell import charts


@pytest.fixture
def version(db: None, data_dir: object) -> Version:
    """Return a current version."""
    made = factories.make_version_row(factories.make_template_row())
    factories.make_promotion_row(made)
    return made


def shown(client: Client, query: str = "") -> list[Any]:
    """Return the ids that the list shows."""
    return [each.pk for each in client.get(f"/executions{query}").context["page"].items]


def test_every_filter_finds_its_own_and_nothing_else(admin: Client, version: Version) -> None:
    wanted = factories.make_execution_row(
        version, "failed", client="ci", labels={"course": "cs101"}, tests=factories.FAILING_TESTS
    )
    other = factories.make_version_row(
        factories.make_template_row("python", title="Python"), number=2
    )
    factories.make_execution_row(other, client="bob", labels={"course": "cs102"})
    for query in (
        "template=typescript", "version=1", "state=failed", "mode=test", "client=ci",
        "label=course:cs101", f"q={wanted.pk}",
    ):  # fmt: skip
        assert shown(admin, f"?{query}") == [wanted.pk], query


@pytest.mark.parametrize(
    "query",
    ["q=zebra", "version=two", "label=course", "cursor=x", "newer=x", "state=x", "since=noon"],
)
def test_filter_that_cannot_be_is_said_and_breaks_nothing(
    admin: Client, version: Version, query: str
) -> None:
    answer = admin.get(f"/executions?{query}")
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()


def test_older_pages_follow_without_gap_and_keep_the_filter(
    admin: Client, version: Version
) -> None:
    now = timezone.now()
    made = [
        factories.make_execution_row(version, created_at=now - timedelta(seconds=number)).pk
        for number in range(60)
    ]
    factories.make_execution_row(version, "failed")
    first = admin.get("/executions?state=succeeded")
    older = first.context["older_url"]
    assert "state=succeeded" in older
    second = admin.get(f"/executions{older}")
    seen = [each.pk for page in (first, second) for each in page.context["page"].items]
    assert seen == made
    assert "every 3s" in first.content.decode()
    assert "every 3s" not in second.content.decode()


def test_pages_lead_back_up_to_the_newest(admin: Client, version: Version) -> None:
    now = timezone.now()
    made = [
        factories.make_execution_row(version, created_at=now - timedelta(seconds=number)).pk
        for number in range(130)
    ]
    first = admin.get("/executions?mode=run")
    assert first.context["newer_url"] == ""
    second = admin.get(f"/executions{first.context['older_url']}")
    third = admin.get(f"/executions{second.context['older_url']}")
    assert [each.pk for each in third.context["page"].items] == made[100:]
    back = admin.get(f"/executions{third.context['newer_url']}")
    assert [each.pk for each in back.context["page"].items] == made[50:100]
    assert 'rel="prev"' in back.content.decode()
    assert "mode=run" in back.context["newer_url"]
    top = admin.get(f"/executions{back.context['newer_url']}")
    assert [each.pk for each in top.context["page"].items] == made[:50]
    assert top.context["newer_url"] == ""
    again = admin.get(f"/executions{top.context['older_url']}")
    assert [each.pk for each in again.context["page"].items] == made[50:100]


def test_times_bound_the_list_and_the_first_is_within(admin: Client, version: Version) -> None:
    noon = datetime(2026, 3, 5, 12, tzinfo=UTC)
    made = [
        factories.make_execution_row(version, created_at=noon + timedelta(minutes=number)).pk
        for number in range(4)
    ]
    assert shown(admin, "?since=2026-03-05T12:01&until=2026-03-05T12:03") == [made[2], made[1]]
    assert shown(admin, "?since=2026-03-05T13:03:00%2B01:00") == [made[3]]
    page = admin.get("/executions?since=2026-03-05T12:01&label=a:b&label=c:d").content.decode()
    for value in ("2026-03-05T12:01", "a:b", "c:d"):
        assert f'value="{value}"' in page


def test_label_with_any_signs_leads_to_its_executions(admin: Client, version: Version) -> None:
    made = factories.make_execution_row(version, labels={"a/b&c": "d/e ?#:é"})
    factories.make_execution_row(version, labels={"a/b&c": "other"})
    page = admin.get(f"/executions/{made.pk}").content.decode()
    query = page.partition('href="/executions?label=')[2].partition('"')[0]
    assert "/" not in query
    assert shown(admin, f"?label={query}") == [made.pk]


def test_json_holds_the_submission_and_its_result(admin: Client, version: Version) -> None:
    made = factories.make_execution_row(
        version, stdin="in", env={"A": "1"}, stdout=b"out", tests=factories.FAILING_TESTS
    )
    whole = admin.get(f"/executions/{made.pk}/json").json()
    assert (whole["files"], whole["stdin"], whole["env"]) == (made.files, "in", {"A": "1"})
    assert (whole["stdout"], whole["tests"], whole["id"]) == ("out", made.tests, str(made.pk))
    assert whole["template"]["version"] == version.number


def test_run_again_offers_every_healthy_version_and_takes_the_chosen(
    admin: Client, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def submit(request: SubmissionRequest) -> tuple[Execution, bool]:
        asked.update(vars(request))
        return factories.make_execution_row(version, "queued"), True

    monkeypatch.setattr(submissions, "submit", submit)
    factories.make_version_row(version.template)
    factories.make_version_row(version.template, health="quarantined")
    factories.make_promotion_row(factories.make_version_row(version.template))
    made = factories.make_execution_row(version)
    page = admin.get(f"/executions/{made.pk}").content.decode()
    assert '<option value="4">on 4, current</option>' in page
    assert '<option value="2">on 2</option>' in page
    assert '<option value="3">' not in page
    for on, template in (("2", "typescript@2"), ("", "typescript@1"), ("current", "typescript")):
        admin.post(f"/executions/{made.pk}/rerun", {"on": on})
        assert asked["template"] == template


def test_empty_list_says_how_to_make_the_first(admin: Client) -> None:
    page = admin.get("/executions").content.decode()
    assert "No executions yet" in page
    assert "/playground" in page


def test_a_user_without_the_permission_sees_only_own_executions(
    student: Client, version: Version
) -> None:
    token = factories.make_token_row("sue")
    own = factories.make_execution_row(version, client="sue")
    foreign = factories.make_execution_row(version, client="ada")
    namesake = factories.make_execution_row(version, client="sue", token=token)
    assert shown(student) == [own.pk]
    assert student.get(f"/executions/{own.pk}").status_code == 200
    for hidden in (foreign, namesake):
        for way in ("", "/json"):
            assert student.get(f"/executions/{hidden.pk}{way}").status_code == 404
        for act in ("cancel", "rerun"):
            assert student.post(f"/executions/{hidden.pk}/{act}").status_code == 404
    assert Execution.objects.count() == 3


def test_viewers_see_every_execution_and_change_none(viewer: Client, version: Version) -> None:
    made = factories.make_execution_row(version, client="ada")
    page = viewer.get(f"/executions/{made.pk}").text
    assert "Run again" not in page
    assert "Open in the playground" not in page
    for act in ("cancel", "rerun"):
        assert viewer.post(f"/executions/{made.pk}/{act}").status_code == 403
    assert Execution.objects.count() == 1


def test_failing_line_is_marked_with_its_message(admin: Client, version: Version) -> None:
    made = factories.make_execution_row(version, "failed", tests=factories.FAILING_TESTS)
    page = admin.get(f"/executions/{made.pk}").content.decode()
    assert '<span class="code-line failing">  expect(0.3).toBe(0.4)</span>' in page
    assert '<span class="code-note">expected 0.3 to be 0.4</span>' in page
    assert page.count("code-line failing") == 1
    assert "sum.test.ts:3:15" in page


def with_output(**said: Any) -> dict[str, Any]:
    """Return a report whose first case wrote output."""
    first, *others = factories.FAILING_TESTS["cases"]
    return {**factories.FAILING_TESTS, "cases": [{**first, **said}, *others]}


def test_the_output_of_a_test_is_folded_and_never_markup(admin: Client, version: Version) -> None:
    evil = "<script>alert(1)</script>"
    said = with_output(stdout=f"\x1b[31m{evil}\x1b[0m\x1b[2J", stderr="warned", truncated=True)
    made = factories.make_execution_row(version, "failed", tests=said)
    page = admin.get(f"/executions/{made.pk}").content.decode()
    [shown] = re.findall(r'<details class="detail case-output">.*?</details>', page, re.DOTALL)
    assert evil not in page
    assert "\x1b" not in page
    assert '<span class="ansi-red">&lt;script&gt;' in shown
    assert "warned" in shown
    assert "cut at the limit" in shown
    assert 'aria-label="stderr of adds"' in shown


def test_a_page_shows_a_bounded_part_of_the_output_of_tests(
    admin: Client, version: Version
) -> None:
    most = result_page.MAX_CASE_OUTPUT
    cases = [{**factories.FAILING_TESTS["cases"][0], "stdout": "x" * (most + 5)} for _ in range(30)]
    shown = result_page.tests({**factories.FAILING_TESTS, "cases": cases})
    outputs = [output for case in shown.groups[0].cases for output in case.outputs]
    assert [len(output.text) for output in outputs] == [most] * 10 + [0] * 20
    assert all(output.cut for output in outputs)
    made = factories.make_execution_row(
        version, "failed", tests={**factories.FAILING_TESTS, "cases": cases}
    )
    page = admin.get(f"/executions/{made.pk}").content.decode()
    assert page.count("The rest is not shown") == 30


def test_the_output_of_a_program_is_text_and_never_markup(admin: Client, version: Version) -> None:
    evil = "<script>alert(1)</script>"
    made = factories.make_execution_row(
        version,
        stdout=f"\x1b[31m{evil}\x1b[0m".encode(),
        stderr=b"\xff\xfe\x00",
        stderr_truncated=True,
        files=[{"path": f"{evil}.ts", "content": evil, "encoding": "utf8"}],
        labels={evil: evil},
        message=evil,
        stdin=evil,
        args=[evil],
    )
    page = admin.get(f"/executions/{made.pk}").content.decode()
    assert evil not in page
    assert '<span class="ansi-red">&lt;script&gt;' in page
    assert "base64" in page
    assert "cut at the limit" in page


def test_open_execution_refreshes_itself_until_it_has_ended(
    admin: Client, version: Version
) -> None:
    made = factories.make_execution_row(version, "running")
    assert "every 1s" in admin.get(f"/executions/{made.pk}").content.decode()
    htmx = {"HX-Request": "true"}
    fragment = admin.get(f"/executions/{made.pk}", headers=htmx)
    assert "<html" not in fragment.content.decode()
    assert "HX-Request" in fragment["Vary"]
    Execution.objects.filter(pk=made.pk).update(state="succeeded", timings=factories.TIMINGS)
    ended = admin.get(f"/executions/{made.pk}", headers=htmx).content.decode()
    assert "every 1s" not in ended
    assert "Run again" in ended


def test_run_again_makes_a_new_one_on_the_same_version(
    admin: Client, admin_user: User, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def submit(request: SubmissionRequest) -> tuple[Execution, bool]:
        asked.update(vars(request))
        return factories.make_execution_row(version, "queued", client=request.client), True

    monkeypatch.setattr(submissions, "submit", submit)
    earlier = factories.make_execution_row(version, client="ci", args=["a"])
    answer = admin.post(f"/executions/{earlier.pk}/rerun")
    newest = Execution.objects.exclude(pk=earlier.pk).get()
    assert answer["Location"] == f"/executions/{newest.pk}"
    assert (asked["client"], asked["token"]) == (admin_user.username, None)
    assert (asked["template"], asked["args"]) == ("typescript@1", ["a"])


def test_refused_run_says_why_on_the_page_it_came_from(admin: Client, version: Version) -> None:
    made = factories.make_execution_row(version, limits={})
    Version.objects.get(pk=version.pk).health.__class__.objects.update(state="quarantined")
    answer = admin.post(f"/executions/{made.pk}/rerun", follow=True)
    assert "is quarantined and is not served" in answer.content.decode()
    assert Execution.objects.count() == 1


def test_queued_execution_can_be_cancelled_once(admin: Client, version: Version) -> None:
    made = factories.make_execution_row(version, "queued")
    admin.post(f"/executions/{made.pk}/cancel")
    made.refresh_from_db()
    assert (made.state, made.message) == ("cancelled", "Cancelled by ada.")
    again = admin.post(f"/executions/{made.pk}/cancel", follow=True).content.decode()
    assert "The execution had ended" in again


def test_queries_do_not_grow_with_rows(
    admin: Client, version: Version, django_assert_max_num_queries: Any
) -> None:
    token = factories.make_token_row()
    for _ in range(40):
        made = factories.make_execution_row(version, token=token, labels={"a": "b"})
    for path in ("/executions", f"/executions/{made.pk}"):
        with django_assert_max_num_queries(12):
            admin.get(path)


def test_curl_says_the_same_submission_and_stays_one_argument(version: Version) -> None:
    made = factories.make_execution_row(version, files=[
        {"path": "a.ts", "content": "console.log('it\\'s; $(id)')", "encoding": "utf8"}
    ])  # fmt: skip
    command = result_page.curl(made, "http://here")
    words = shlex.split(command.replace("\\\n", " "))
    body = json.loads(words[words.index("-d") + 1])
    assert (body["template"], body["files"]) == ("typescript@1", made.files)
    assert "id" not in body


@pytest.mark.parametrize(
    "timings",
    [
        factories.TIMINGS,
        {"queued_ms": 9.0, "total_ms": 9.0, "warm": False},
        {"queued_ms": 5.0, "setup_ms": None, "run_ms": 40.0, "total_ms": 30.0},
    ],
)
def test_the_timing_bar_fills_its_width_for_any_times(timings: dict[str, Any]) -> None:
    bar = charts.timing_bar(timings)
    assert sum(part.width for part in bar) == pytest.approx(charts.BAR_WIDTH, abs=0.1)
    assert all(part.width >= 0 and part.ms >= 0 for part in bar)


def test_nothing_measured_draws_no_bar() -> None:
    assert charts.timing_bar({}) == ()
    assert charts.sparkline([]).line == "0.0,43.0 240.0,43.0"


def test_line_that_several_tests_blame_says_each_sentence_once() -> None:
    case = {"name": "a", "file": "x.ts", "state": "failed", "location": {"line": 2, "column": 1}}
    notes = annotated_source.notes_of([case | {"message": "no"}, case | {"message": "no"}, case])
    assert notes == {("x.ts", 2): ["no", "a failed"]}
    lines = annotated_source.code_lines("x.ts", "one\r\ntwo\n", notes)
    assert [(line.text, list(line.notes)) for line in lines] == [
        ("one", []),
        ("two", ["no", "a failed"]),
    ]
