"""Test builds over the API: request, read, follow and cancel them."""

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from execapp.api.v1.schemas.builds import BuildOut, BuildsOut, LogOut
from execapp.models import StoredBytes
from execapp.services import storage
from templatemgr import catalog, store, version_runtimes
from templatemgr.build import builds, following
from templatemgr.definitions import screening
from templatemgr.models import AuditEvent, Build, Version
from tests.execapp.api.api_clients import (
    changer,
    frames,
    last_event,
    post,
    reader,
    refused,
    tiny,
)
from tests.execapp.conftest import Api, make_api
from tests.factories import make_build_log_rows, make_build_row, make_heartbeat_row
from tests.tiny_definition import LIMITS, package_files, write_definition

BUILDS = "/templates/tiny/builds"
THEN = "2026-11-23T02:31:12.461578+00:00"


@pytest.fixture
def definition(committed: None, tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """Yield the folder of the tiny definition, which has no build yet."""
    settings.STENCIL_DATA = tmp_path / "var"
    settings.STENCIL_DEFINITIONS = tmp_path / "definitions"
    settings.STENCIL_DATA.mkdir()
    folder = write_definition(settings.STENCIL_DEFINITIONS / "tiny", pin="6.0.0")
    catalog.sync_definitions()
    yield folder
    version_runtimes._kept_runtime.cache_clear()
    store.remove(settings.STENCIL_DATA)


def run_next() -> Build:
    """Claim and run the next build, as the build worker does."""
    claimed = builds.claim(worker="w1")
    assert claimed is not None
    return builds.run(build=claimed, worker="w1")


def stream(api: Api, build: Build, **headers: str) -> str:
    response = api.call("GET", f"/builds/{build.pk}/events", **headers)
    assert response.status_code == 200
    assert response["Content-Type"] == "text/event-stream"
    return str(response.getvalue().decode())


def test_from_never_built_to_current_over_the_api(definition: Path) -> None:
    api = changer()
    shown = api.get("/templates/tiny")
    assert (shown["current"], shown["versions"], shown["limits"]) == (None, 0, None)
    made = post(api, BUILDS, {"kind": "rebuild"}, 202)
    BuildOut.model_validate(made)
    assert (made["state"], made["version"], made["requested_by"]) == (
        "queued",
        None,
        "token:ci-bot",
    )
    run_next()
    ready = api.get(f"/builds/{made['id']}")
    assert (ready["state"], ready["version"]) == ("ready", 1)
    assert [step["state"] for step in ready["steps"]] == ["done"] * 4
    text = api.call("GET", f"/builds/{made['id']}/log?format=text").getvalue().decode()
    assert "npm ci" in text
    post(api, "/templates/tiny/promote", {"version": 1, "reason": "first"})
    moved = {"kind": "update", "from": 1, "packages": ["is-number@7.0.0"]}
    post(api, BUILDS, moved, 202)
    assert last_event().details["packages"] == ["is-number@7.0.0"]
    assert run_next().state == "ready"
    diff = api.get("/templates/tiny/versions/2/diff?against=1")
    (package,) = diff["packages"]["changed"]
    assert (package["name"], package["before"], package["after"]) == (
        "is-number",
        ["6.0.0"],
        ["7.0.0"],
    )
    again = post(api, BUILDS, {"kind": "rebuild", "from": 2}, 202)
    run_next()
    assert api.get(f"/builds/{again['id']}")["reproduces"] == 2


def test_an_edit_takes_files(definition: Path) -> None:
    api = changer()
    files = {"package.json": package_files("7.0.0")["package.json"]}
    made = post(api, BUILDS, {"kind": "edit", "files": files}, 202)
    assert made["files"] == ["package.json"]
    assert Build.objects.get(pk=made["id"]).options["files"] == files


def test_the_files_of_an_edit_are_charged_to_the_client(
    definition: Path, settings: Settings
) -> None:
    api = changer()
    text = package_files("7.0.0")["package.json"]
    body = {"kind": "edit", "files": {"package.json": text}}
    size = storage.ROW_BYTES + len("package.json") + len(text.encode())
    settings.STENCIL_CLIENT_BYTES_PER_DAY = 2 * size + 100
    for _ in range(2):
        made = post(api, BUILDS, body, 202)
        api.call("POST", f"/builds/{made['id']}/cancel")
    row = StoredBytes.objects.get(owner=f"token:{api.token.id}")
    assert row.bytes == 2 * size
    error = refused(api, "POST", BUILDS, body, 429, "quota_exceeded")
    assert (error["details"]["left"], error["details"]["needed"]) == (100, size)
    assert Build.objects.count() == 2
    post(api, BUILDS, {"kind": "rebuild"}, 202)
    post(make_api("other", "templates"), BUILDS, body, 202)


def test_an_edit_is_refused_while_the_disk_is_nearly_full(
    definition: Path, settings: Settings
) -> None:
    settings.STENCIL_FREE_BYTES = 10**15
    body = {"kind": "edit", "files": {"package.json": package_files("7.0.0")["package.json"]}}
    storage.disk.forget()
    refused(changer(), "POST", BUILDS, body, 503, "no_space")
    assert not Build.objects.exists()
    assert not StoredBytes.objects.exists()


WRONG: list[tuple[dict[str, object], str]] = [
    ({"kind": "magic"}, "kind"),
    ({}, "kind"),
    ({"kind": "rebuild", "from": 0}, "from"),
    ({"kind": "rebuild", "from": 2**31}, "from"),
    ({"kind": "rebuild", "from": "1"}, "from"),
    ({"kind": "rebuild", "from": True}, "from"),
    ({"kind": "rebuild", "from": 1.5}, "from"),
    ({"kind": "rebuild", "packages": ["vite"]}, "packages"),
    ({"kind": "update", "packages": "vite"}, "packages"),
    ({"kind": "update", "packages": ["--registry=x"]}, "packages"),
    ({"kind": "update", "packages": ["is-number\0"]}, "packages.0"),
    ({"kind": "update", "packages": ["is-number@٢.٣.٤"]}, "packages"),
    ({"kind": "edit"}, "files"),
    ({"kind": "edit", "files": {"../x": "y"}}, "files.../x"),
    ({"kind": "edit", "files": {"package.json": "a\0b"}}, "files.package.json"),
    ({"kind": "edit", "files": {"package.json": 1}}, "files.package.json"),
    ({"kind": "edit", "files": {"package.json": "x" * 1_100_000}}, "files"),
    ({"kind": "rebuild", "form": 1}, "form"),
]


def test_wrong_requests_name_the_field(definition: Path) -> None:
    api = changer()
    for body, path in WRONG:
        error = refused(api, "POST", BUILDS, body, 422, "invalid_request")
        assert [field["path"] for field in error["details"]["fields"]] == [path], body
    assert not Build.objects.exists()


def test_unknown_names(definition: Path) -> None:
    api = changer()
    body = {"kind": "rebuild"}
    refused(api, "POST", "/templates/nope/builds", body, 404, "unknown_template")
    refused(api, "GET", "/templates/nope/builds", None, 404, "unknown_template")
    refused(api, "POST", BUILDS, {"kind": "rebuild", "from": 9}, 404, "unknown_version")
    for name in (uuid.uuid4(), "x", "%00", "0", "-", "٣"):
        for part in ("", "/log", "/events"):
            refused(api, "GET", f"/builds/{name}{part}", None, 404, "unknown_build")
        refused(api, "POST", f"/builds/{name}/cancel", None, 404, "unknown_build")


def test_reading_needs_read_and_asking_needs_templates(committed: None) -> None:
    build = make_build_row(tiny(), lines=1)
    looker = reader()
    for path in (BUILDS, f"/builds/{build.pk}", f"/builds/{build.pk}/log"):
        assert looker.call("GET", path).status_code == 200
    refused(looker, "POST", BUILDS, {"kind": "rebuild"}, 403, "forbidden")
    refused(looker, "POST", f"/builds/{build.pk}/cancel", None, 403, "forbidden")
    assert not AuditEvent.objects.filter(action__startswith="build").exists()


def test_builds_are_listed_newest_first_by_pages(
    committed: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    made = [make_build_row(tiny()) for _ in range(4)] + [make_build_row(tiny(), "failed")]
    Build.objects.update(created_at=timezone.now())  # the id breaks ties
    api = reader()
    first = api.get(f"{BUILDS}?limit=3")
    BuildsOut.model_validate(first)
    rest = api.get(f"{BUILDS}?limit=3&cursor={first['next']}")
    ids = [item["id"] for item in first["items"] + rest["items"]]
    assert ids == [str(build.pk) for build in reversed(made)]
    assert rest["next"] is None
    assert len(api.get(f"{BUILDS}?state=failed")["items"]) == 1
    refused(api, "GET", f"{BUILDS}?state=odd", None, 422, "invalid_request")
    refused(api, "GET", f"{BUILDS}?cursor=odd", None, 422, "invalid_request")
    refused(api, "GET", f"{BUILDS}?limit=0", None, 422, "invalid_request")
    refused(api, "GET", f"{BUILDS}?kind=edit", None, 422, "invalid_request")
    with django_assert_num_queries(3):  # the token, the template, its builds
        api.get(BUILDS)


def test_log_by_pages_text_and_lines(committed: None) -> None:
    build = make_build_row(tiny(), lines=5)
    api = reader()
    path = f"/builds/{build.pk}/log"
    page = api.get(f"{path}?limit=2")
    LogOut.model_validate(page)
    assert page["items"][0] | {"time": ""} == {
        "sequence": 1,
        "time": "",
        "step": "fetching",
        "stream": "stdout",
        "text": "line 1.",
    }
    rest = api.get(f"{path}?cursor={page['next']}")
    assert [line["sequence"] for line in rest["items"]] == [3, 4, 5]
    assert rest["next"] is None
    make_build_log_rows(build, "line 6.")
    assert [line["text"] for line in api.get(f"{path}?cursor=5")["items"]] == ["line 6."]
    text = api.call("GET", path, Accept="text/plain")
    assert text["Content-Type"] == "text/plain; charset=utf-8"
    assert text.getvalue().decode().splitlines()[5].endswith(" fetching line 6.")
    lines = api.call("GET", f"{path}?format=jsonl")
    assert lines["Content-Type"].startswith("application/jsonl")
    parsed = [json.loads(line) for line in lines.getvalue().decode().splitlines()]
    assert parsed == api.get(path)["items"]
    head = api.call("HEAD", f"{path}?format=text")
    assert (head.status_code, head.getvalue()) == (200, b"")


def test_wrong_log_cursors_are_refused(committed: None) -> None:
    api, path = reader(), f"/builds/{make_build_row(tiny()).pk}/log"
    for cursor in ("x", "-1", "9" * 19, "٣", "1.5", "%00"):
        refused(api, "GET", f"{path}?cursor={cursor}", None, 422, "invalid_request")


def test_a_log_cursor_behind_the_end_is_an_empty_page(committed: None) -> None:
    build = make_build_row(tiny(), lines=1)
    page = reader().get(f"/builds/{build.pk}/log?cursor={'9' * 18}")
    assert page == {"items": [], "next": None}


def test_events_are_steps_lines_and_the_end(committed: None) -> None:
    steps = [
        {"name": "fetching", "state": "done", "started_at": THEN, "finished_at": THEN},
        {"name": "installing", "state": "failed", "started_at": THEN, "finished_at": THEN},
    ]
    build = make_build_row(tiny(), "failed", lines=2, steps=steps, message="No network.")
    make_build_log_rows(build, "two\nlines")
    found = frames(stream(reader(), build))
    assert [(number, name) for number, name, _ in found] == [
        ("0", "step"),
        ("0", "step"),
        ("1", "line"),
        ("2", "line"),
        ("3", "line"),
        ("3", "end"),
    ]
    assert found[1][2] == {
        "name": "installing",
        "state": "failed",
        "started_at": "2026-11-23T02:31:12.461578Z",
        "finished_at": "2026-11-23T02:31:12.461578Z",
    }
    assert found[4][2]["text"] == "two\nlines"
    assert (found[5][2]["state"], found[5][2]["message"]) == ("failed", "No network.")


def test_events_resume_after_the_last_one_seen(committed: None) -> None:
    build = make_build_row(tiny(), "failed", lines=3)
    api = reader()
    found = frames(stream(api, build, **{"Last-Event-ID": "2"}))
    assert [data.get("text") for _, _, data in found] == ["line 3.", None]
    for wrong in ("x", "-1", "9" * 12, "1.0"):
        response = api.call("GET", f"/builds/{build.pk}/events", **{"Last-Event-ID": wrong})
        assert response.status_code == 422


def test_events_of_a_running_build_pause_and_end_after_a_while(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(following, "STREAM_SECONDS", 0.2)
    build = make_build_row(tiny(), "fetching", lines=1)
    text = stream(reader(), build)
    assert [name for _, name, _ in frames(text)] == ["line"]
    assert ": waiting" in text
    # One that ended just now may have lines on their way.
    Build.objects.update(state="failed", finished_at=timezone.now() + timedelta(seconds=60))
    assert "event: end" not in stream(reader(), build)


def test_a_changed_step_is_sent_again(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.01)
    step = {"name": "fetching", "state": "active", "started_at": THEN, "finished_at": None}
    build = make_build_row(tiny(), "fetching", steps=[step])
    states = []
    for event in following.follow(build_id=build.pk, after=0):
        if event.step is not None:
            states.append(event.step["state"])
            ended = timezone.now() - timedelta(seconds=5)
            done = [{**step, "state": "done"}]
            Build.objects.update(state="ready", steps=done, finished_at=ended)
    assert states == ["active", "done"]


def test_cancelling(committed: None) -> None:
    api = changer()
    queued, running, ended = (
        make_build_row(tiny(), "queued"),
        make_build_row(tiny(), "smoke"),
        make_build_row(tiny(), "failed"),
    )
    assert post(api, f"/builds/{queued.pk}/cancel", None, 202)["state"] == "cancelled"
    shown = post(api, f"/builds/{running.pk}/cancel", None, 202)
    assert (shown["state"], shown["cancel_requested"]) == ("smoke", True)
    assert last_event().actor == "token:ci-bot"
    assert post(api, f"/builds/{ended.pk}/cancel", None, 200)["state"] == "failed"


def test_a_submission_to_an_unbuilt_template_says_how_to_build(
    definition: Path, alive: object
) -> None:
    assert not Version.objects.exists()
    api = changer()
    api.token.scopes = ["admin"]
    api.token.save()
    body = {"template": "tiny", "mode": "run", "files": [{"path": "main.js", "content": ""}]}
    error = refused(api, "POST", "/executions", body, 409, "not_built")
    assert "manage.py build_template tiny --promote" in error["message"]
    assert "POST /api/v1/templates/tiny/builds" in error["message"]


def test_an_edit_that_is_not_taken_is_answered_with_its_line(definition: Path) -> None:
    text = (definition / "package.json").read_text()
    wanted = text.replace('"6.0.0"', '"git+https://h.example/r.git"')
    body = {"kind": "edit", "files": {"package.json": wanted}}
    error = refused(changer(), "POST", BUILDS, body, 422, "invalid_request")
    details = error["details"]
    assert details["fields"][0]["path"] == "files.package.json"
    assert (details["file"], details["key"]) == ("tiny/package.json", "dependencies.is-number")
    assert '"git+https' in wanted.split("\n")[details["line"] - 1]
    assert details["excerpt"] == '"is-number": "git+https://h.example/r.git"'
    assert "STENCIL_PACKAGE_SOURCES" in details["remedy"]
    assert f"line {details['line']}" in error["message"]
    assert not Build.objects.exists()


def test_a_definition_that_is_not_taken_is_answered_with_its_line(definition: Path) -> None:
    (definition / ".npmrc").write_text("fund=false\nshell=/bin/sh\n")
    body = {"kind": "rebuild"}
    error = refused(changer(), "POST", BUILDS, body, 422, "invalid_definition")
    details = error["details"]
    assert (details["file"], details["line"], details["key"]) == ("tiny/.npmrc", 2, "shell")
    assert "a build of kind edit" in error["message"]


def test_an_old_version_gives_no_more_than_the_ceiling(
    definition: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version was built under higher limits. Today they are refused and its own are lowered."""
    text = (definition / "template.toml").read_text()
    usual = f"[limits.maximum]{LIMITS}"
    large = text.replace(usual, usual.replace("5000", "86400000"))
    (definition / "template.toml").write_text(large)
    with monkeypatch.context() as earlier:
        earlier.setattr(screening, "check", lambda *_, **__: None)
        post(changer(), BUILDS, {"kind": "rebuild"}, 202)
        run_next()
    post(changer(), "/templates/tiny/promote", {"version": 1, "reason": "it runs"})
    settings.ROOT_URLCONF = "execapp.api.urls"
    make_heartbeat_row()
    api = make_api("client")
    body = {"template": "tiny", "mode": "run", "files": [{"path": "main.js", "content": ""}]}
    asked = {**body, "limits": {"wall_ms": 86_400_000}}
    error = refused(api, "POST", "/executions", asked, 422, "invalid_request")
    assert "at most 600000" in error["message"]
    settings.STENCIL_CEILING_WALL_MS = 700
    taken = post(api, "/executions", body, 201)
    assert taken["limits"]["wall_ms"] == 700
