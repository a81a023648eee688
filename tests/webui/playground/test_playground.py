"""Test the playground: it runs the form as the signed-in user, with and without JavaScript."""

import uuid
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from execapp.errors import Field, InvalidRequestError, NoExecutorError
from execapp.models import Execution
from execapp.requests import SubmissionRequest
from execapp.services import submissions
from templatemgr import data_paths, store
from templatemgr.definitions import source_files
from templatemgr.models import Version
from tests import factories

FORM = {
    "template": "typescript",
    "mode": "test",
    "path": ["sum.test.ts", ""],
    "content": ["one\r\ntwo\r\n", ""],
    "stdin": "a\r\nb",
    "args": "first\r\n\r\nsecond one\r\n",
}
HTMX = {"HX-Request": "true"}


@pytest.fixture
def version(db: None, data_dir: object) -> Version:
    """Return a current version."""
    made = factories.make_version_row(factories.make_template_row())
    factories.make_promotion_row(made)
    return made


@pytest.fixture
def asked(version: Version, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Record submissions; answer each with a failing test."""
    found: dict[str, Any] = {}

    def submit(request: SubmissionRequest) -> tuple[Execution, bool]:
        found.update(vars(request))
        made = factories.make_execution_row(
            version, "failed", client=request.client, tests=factories.FAILING_TESTS
        )
        return made, True

    def wait(*, execution_id: uuid.UUID, seconds: float) -> Execution:
        found["seconds"] = seconds
        return Execution.objects.get(pk=execution_id)

    monkeypatch.setattr(submissions, "submit", submit)
    monkeypatch.setattr(submissions, "wait", wait)
    return found


def refusing(error: Exception) -> Any:
    """Return a service that refuses every submission."""

    def submit(request: SubmissionRequest) -> tuple[Execution, bool]:
        raise error

    return submit


def test_run_submits_the_form_as_the_user_and_waits(
    admin: Client, admin_user: User, asked: dict[str, Any]
) -> None:
    fragment = admin.post("/playground/run", FORM, headers=HTMX).content.decode()
    assert (asked["client"], asked["token"]) == (admin_user.username, None)
    assert asked["files"] == [{"path": "sum.test.ts", "content": "one\ntwo\n", "encoding": "utf8"}]
    assert (asked["stdin"], asked["args"]) == ("a\nb", ["first", "second one"])
    assert 0 < asked["seconds"] <= 20
    assert "<html" not in fragment
    for words in (
        "keeps cents",
        "expected 0.3 to be 0.4",
        f"/executions/{Execution.objects.get().pk}",
    ):
        assert words in fragment


def test_without_scripts_the_whole_page_comes_back_with_draft_and_result(
    admin: Client, asked: dict[str, Any]
) -> None:
    page = admin.post("/playground/run", FORM).content.decode()
    assert "<html" in page
    assert "one\ntwo\n</textarea>" in page
    assert "keeps cents" in page


def test_who_may_run_code_runs_it_under_their_name(
    student: Client, viewer: Client, asked: dict[str, Any]
) -> None:
    assert viewer.post("/playground/run", FORM, headers=HTMX).status_code == 403
    assert asked == {}
    assert student.post("/playground/run", FORM, headers=HTMX).status_code == 200
    assert asked["client"] == "sue"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InvalidRequestError([Field(path="files.0.path", message="Refused: ..")]), "Refused: .."),
        (NoExecutorError("No executor is running."), "No executor is running."),
    ],
)
def test_a_refusal_stands_at_the_form_and_keeps_its_input(
    admin: Client, version: Version, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    monkeypatch.setattr(submissions, "submit", refusing(error))
    whole = admin.post("/playground/run", FORM)
    assert whole.status_code == 422
    assert words in whole.content.decode()
    assert "one\ntwo\n</textarea>" in whole.content.decode()
    part = admin.post("/playground/run", FORM, headers=HTMX)
    assert part.status_code == 200  # htmx swaps nothing else
    assert words in part.content.decode()
    assert 'id="problems" hx-swap-oob="true"' in part.content.decode()


def test_nothing_in_the_form_is_refused_by_the_service(admin: Client, version: Version) -> None:
    factories.make_heartbeat_row()
    answer = admin.post("/playground/run", {"template": "typescript", "mode": "run"})
    assert "Give at least one file." in answer.content.decode()
    assert not Execution.objects.exists()


def test_files_are_added_and_removed_without_scripts(admin: Client, version: Version) -> None:
    added = admin.post("/playground/run", FORM | {"action": "add"}).content.decode()
    assert added.count('name="content"') == 3
    removed = admin.post("/playground/run", FORM | {"action": "remove 1"}).content.decode()
    assert removed.count('name="content"') == 1
    assert "one\ntwo" not in removed
    assert not Execution.objects.exists()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "takes a sign"),
        ("?example=test-fail", "toBe(0.3)"),
        ("?ends=failed", "toBe(0.3)"),
        ("?template=typescript&example=run", "Ada</textarea>"),
        ("?template=typescript@1", "takes a sign"),
        ("?example=nonsense", "takes a sign"),
        ("?template=nobody", 'name="content"'),
    ],
)
def test_examples_are_the_smoke_cases_of_the_current_version(
    admin: Client, version: Version, query: str, words: str
) -> None:
    definition = settings.BASE_DIR / "templates_runtime/typescript"
    store.copy(source_files.locate(definition), data_paths.version(version) / "inputs")
    page = admin.get(f"/playground{query}").content.decode()
    assert words in page
    assert "?template=typescript&amp;example=test-fail" in page


def test_without_readable_inputs_the_form_is_empty(admin: Client, version: Version) -> None:
    page = admin.get("/playground").content.decode()
    assert page.count('name="content"') == 1
    assert "example=" not in page


def test_earlier_execution_can_be_opened_by_who_may_see_it(
    admin: Client, student: Client, version: Version
) -> None:
    made = factories.make_execution_row(version, args=["x"])
    page = admin.get(f"/playground?from={made.pk}").content.decode()
    assert "keeps cents" in page
    assert '<option value="typescript@1" selected>' in page
    assert student.get(f"/playground?from={made.pk}").status_code == 404
    assert admin.get("/playground?from=nonsense").status_code == 404


def test_everything_that_was_submitted_comes_back(admin: Client, version: Version) -> None:
    made = factories.make_execution_row(
        version,
        env={"GREETING": "hello=you"},
        labels={"course": "cs101"},
        limits={"wall_ms": 1234},
        files=[{"path": "a.bin", "content": "/wD+", "encoding": "base64"}],
    )
    page = admin.get(f"/playground?from={made.pk}").content.decode()
    for words in ("GREETING=hello=you", "course=cs101", "wall_ms=1234", "/wD+", "Not text"):
        assert words in page


def test_environment_limits_and_labels_are_sent(admin: Client, asked: dict[str, Any]) -> None:
    more = {"env": "A=1\r\nB=x=y\r\n", "limits": "wall_ms=500", "labels": "course=cs101"}
    admin.post("/playground/run", FORM | more, headers=HTMX)
    assert asked["env"] == {"A": "1", "B": "x=y"}
    assert asked["limits"] == {"wall_ms": 500}
    assert asked["labels"] == {"course": "cs101"}


@pytest.mark.parametrize(
    ("field", "text"),
    [("env", "A"), ("env", "A=1\nA=2"), ("limits", "wall_ms=soon"), ("labels", "=x")],
)
def test_a_line_that_is_no_pair_is_named(
    admin: Client, asked: dict[str, Any], field: str, text: str
) -> None:
    page = admin.post("/playground/run", FORM | {field: text}, headers=HTMX).content.decode()
    assert asked == {}
    assert "write name=value" in page or "is not a whole number" in page


def test_the_same_runs_on_two_versions_beside_each_other(
    admin: Client, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {
        "typescript": factories.make_execution_row(
            version, "failed", tests=factories.FAILING_TESTS
        ),
        "typescript@1": factories.make_execution_row(version, "succeeded", stdout=b"other"),
    }
    monkeypatch.setattr(submissions, "submit", lambda request: (made[request.template], True))
    monkeypatch.setattr(
        submissions,
        "wait",
        lambda *, execution_id, seconds: Execution.objects.get(pk=execution_id),  # noqa: ARG005
    )
    both = FORM | {"beside": "typescript@1"}
    page = admin.post("/playground/run", both, headers=HTMX).content.decode()
    assert page.count('aria-label="Outcome on typescript 1"') == 2
    assert "What differs" in page
    assert "<td>failed</td>" in page
    assert "<td>succeeded</td>" in page
    alone = FORM | {"beside": "typescript"}
    once = admin.post("/playground/run", alone, headers=HTMX).content.decode()
    assert "What differs" not in once


def test_without_a_version_the_page_names_the_next_step(admin: Client) -> None:
    page = admin.get("/playground").content.decode()
    assert "build a version and promote it" in page
