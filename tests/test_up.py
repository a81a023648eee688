"""Test `make up` on small definitions: the first answers early, a failed build stops no other."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.conftest import ROOT, free_port
from tests.timeouts import HANGS_SECONDS
from tests.tiny_definition import DEFINITION, RUN_CASE, RUNNER, write_definition

READY_SECONDS = 120


def write(folder: Path, name: str, **files: str) -> None:
    write_definition(
        folder / name,
        **{"template.toml": DEFINITION.replace('name = "tiny"', f'name = "{name}"'), **files},
    )


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """Write three definitions in the order of their builds: a good, a failing and a slow one."""
    folder = tmp_path / "definitions"
    write(folder, "able", **{"smoke/run/case.toml": 'title = "Says hello"\n' + RUN_CASE})
    write(folder, "broken", **{"smoke/run/case.toml": RUN_CASE.replace("hello", "goodbye")})
    write(folder, "slow", **{"runner/main.sh": RUNNER.replace("exec 3>&-", "sleep 3; exec 3>&-")})
    return folder


@dataclass
class Up:
    """A process of `manage.py up`, and its output so far."""

    process: subprocess.Popen[str]
    lines: list[str]
    ready: threading.Event
    data: Path

    def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        made = json.loads((self.data / "credentials.json").read_text())
        request = Request(  # noqa: S310 - our own http address
            f"{made['url']}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {made['token']}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)


def environment(tmp_path: Path, definitions: Path) -> dict[str, str]:
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "webui.settings",
        "STENCIL_DATA": str(tmp_path / "var"),
        "STENCIL_DEFINITIONS": str(definitions),
        "STENCIL_PORT": str(free_port()),
        "STENCIL_BUILDS": "1",
    }


@pytest.fixture
def up(tmp_path: Path, definitions: Path) -> Iterator[Up]:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "up"],
        env=environment(tmp_path, definitions),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    running = Up(process, [], threading.Event(), tmp_path / "var")

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            running.lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C stops it"):
                running.ready.set()

    reader = threading.Thread(target=read)
    reader.start()
    yield running
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.wait(HANGS_SECONDS)
    reader.join()
    assert process.stdout is not None
    process.stdout.close()


def once_more(tmp_path: Path, definitions: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run another `up` on the same data, which must end by itself."""
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "up"],
        env=environment(tmp_path, definitions) | more,
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        check=False,
    )


def wait_for(up: Up, text: str) -> None:
    for _ in range(READY_SECONDS * 10):
        if any(text in line for line in up.lines):
            return
        threading.Event().wait(0.1)
    pytest.fail(f"{text!r} was not said:\n" + "\n".join(up.lines[-40:]))


def current(up: Up) -> dict[str, Any]:
    _, page = up.api("GET", "/templates")
    return {item["name"]: item["current"] for item in page["items"]}


def test_the_first_answers_before_the_last_is_built_despite_a_failure(up: Up) -> None:
    assert up.ready.wait(READY_SECONDS), "\n".join(up.lines)
    found = current(up)
    assert found["able"]["version"] == 1
    assert (found["broken"], found["slow"]) == (None, None)
    submission = {
        "template": "able",
        "mode": "test",
        "files": [{"path": "a.test.js", "content": ""}],
        "wait": True,
    }
    status, execution = up.api("POST", "/executions", submission)
    assert (status, execution["state"]) == (201, "succeeded")
    status, refusal = up.api("POST", "/executions", submission | {"template": "slow"})
    assert (status, refusal["error"]["code"]) == (409, "not_built")
    assert "manage.py build_template slow --promote" in json.dumps(refusal)

    wait_for(up, "broken: not built.")
    [said] = [line for line in up.lines if line.startswith("broken: not built.")]
    assert "Its log is on the template's page" in said
    assert "manage.py build_template broken --promote" in said
    assert any("stdout: expected" in line for line in up.lines if line.startswith("broken:"))
    wait_for(up, "slow: slow@1 is current")
    assert current(up)["slow"]["version"] == 1


def test_ctrl_c_interrupts_running_builds(up: Up) -> None:
    wait_for(up, "slow:   smoke")
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(HANGS_SECONDS) == 0
    with closing(sqlite3.connect(up.data / "db.sqlite3")) as database:
        states = database.execute("SELECT state FROM templatemgr_build ORDER BY created_at")
        assert [state for (state,) in states] == ["ready", "failed", "interrupted"]
    assert not list((up.data / "templates/slow").glob("staging/*"))


def test_prepare_only_builds_all_and_names_failed_templates(
    tmp_path: Path, definitions: Path
) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "up", "--prepare-only"],
        env=environment(tmp_path, definitions),
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert "Not built: broken." in done.stderr
    for name in ("able", "slow"):
        assert f"{name}: {name}@1 is current" in done.stdout


def test_a_second_one_on_the_same_data_is_refused_in_a_sentence(
    up: Up, tmp_path: Path, definitions: Path
) -> None:
    wait_for(up, "Ctrl-C stops it")
    refused = once_more(tmp_path, definitions)  # on another port: the lock is on the data directory
    assert refused.returncode == 1
    said = refused.stderr.strip()
    assert f"runs on {tmp_path / 'var'} already (process {up.process.pid})" in said
    assert "STENCIL_DATA" in said
    assert len(said.splitlines()) == 1
    assert up.process.poll() is None


def test_who_waits_gets_the_answer_before_web_stops_and_no_later_start_prints_a_secret(
    up: Up, tmp_path: Path, definitions: Path
) -> None:
    assert up.ready.wait(READY_SECONDS)
    wait_for(up, "slow: slow@1 is current")
    made = json.loads((up.data / "credentials.json").read_text())
    secrets = (made["token"], made["admin"]["password"])
    assert all(any(secret in line for line in up.lines) for secret in secrets), "told once"
    submission = {
        "template": "slow",  # its runner sleeps for some seconds before it stops
        "mode": "test",
        "files": [{"path": "a.test.js", "content": ""}],
        "wait": True,
    }
    answers: list[tuple[int, Any]] = []
    waiter = threading.Thread(
        target=lambda: answers.append(up.api("POST", "/executions", submission))
    )
    waiter.start()
    for _ in range(READY_SECONDS * 10):
        if up.api("GET", "/executions?state=running")[1]["items"]:
            break
        threading.Event().wait(0.05)
    up.process.send_signal(signal.SIGTERM)
    waiter.join(HANGS_SECONDS)
    assert up.process.wait(HANGS_SECONDS) == 0
    [(status, execution)] = answers
    assert (status, execution["state"]) == (201, "succeeded")

    assert (up.data.stat().st_mode & 0o077) == 0
    readable = [path for path in up.data.iterdir() if path.lstat().st_mode & 0o077]
    assert readable == []
    (up.data / "db.sqlite3").chmod(0o644)
    up.data.chmod(0o755)
    again = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "up"],
        env=environment(tmp_path, definitions),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = []
    assert again.stdout is not None
    for line in again.stdout:
        said.append(line)
        if line.startswith("Ctrl-C stops it"):
            break
    again.send_signal(signal.SIGINT)
    said += again.stdout.readlines()
    assert again.wait(HANGS_SECONDS) == 0
    again.stdout.close()
    text = "".join(said)
    assert "Stencil is ready" in text, text
    assert not any(secret in text for secret in secrets)
    assert f"password and token are kept in {up.data / 'credentials.json'}" in text
    assert "db.sqlite3 had mode 0644: closed to other users" in text
    assert (up.data.stat().st_mode & 0o777) == 0o700
    [header] = [line for line in said if "Authorization" in line]
    shown = header.strip().removeprefix("-H ").removesuffix("\\").strip()
    read = subprocess.run(
        ["sh", "-c", f"printf %s {shown}"], capture_output=True, text=True, check=True
    )
    assert read.stdout == f"Authorization: Bearer {made['token']}", "the printed line works"
