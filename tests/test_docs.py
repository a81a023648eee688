"""Test that README shows real requests and replies, and that no link of the docs is broken."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import pytest

from execapp.api.http.error_replies import STATUSES
from tests import minimal_template
from tests.conftest import ROOT, Stencil
from tests.timeouts import HANGS_SECONDS

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
API = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
CALLS = re.compile(r"```sh\n(curl .*?)```\n(?:\n```json\n(.*?)```)?", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def shown_request() -> dict[str, Any]:
    """Return the body of README's curl."""
    found = re.search(r"-d '(\{.*?\n\})'", README, re.DOTALL)
    assert found is not None
    body: dict[str, Any] = json.loads(found[1])
    return body


def shown_answer() -> dict[str, Any]:
    """Return the reply that README prints below it."""
    found = re.search(r"```json\n(.*?)```", README, re.DOTALL)
    assert found is not None
    answer: dict[str, Any] = json.loads(found[1])
    return answer


def holds(shown: Any, real: Any, where: str = "answer") -> None:
    """Assert that the real reply contains everything that the page shows; it may contain more."""
    if isinstance(shown, dict):
        for key, value in shown.items():
            assert key in real, f"{where}.{key}"
            holds(value, real[key], f"{where}.{key}")
    elif isinstance(shown, str) and shown.endswith("…"):  # left out on the page
        assert str(real).startswith(shown[:-1]), where
    elif isinstance(shown, list):
        assert len(shown) == len(real), where
        for index, (left, right) in enumerate(zip(shown, real, strict=True)):
            holds(left, right, f"{where}[{index}]")
    elif where != "answer.timings.warm":  # a busy machine may have none waiting
        assert shown == real, where


def test_readme_shows_the_real_answer(stencil: Stencil) -> None:
    status, real = stencil.api("POST", "/executions", shown_request())
    assert status == 201
    holds(shown_answer(), real)


@dataclass(frozen=True, kw_only=True)
class Example:
    """A curl of the page on the API, and the reply below it, if any."""

    argv: list[str]
    answer: Any

    @property
    def address(self) -> str:
        """Return the address that the curl requests."""
        return next(part for part in self.argv if part.startswith("http"))


def shown_calls(variables: dict[str, str]) -> Iterator[Example]:
    """Yield every curl of the page in order, each with the current `variables` filled in."""
    for curl, answer in CALLS.findall(API):
        argv = [Template(part).substitute(variables) for part in shlex.split(curl)]
        yield Example(argv=argv, answer=json.loads(answer) if answer else None)


def call(argv: list[str]) -> str:
    """Run the curl command; return its reply."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True).stdout


def follow(argv: list[str]) -> None:
    """Read events to the end of the build; reconnect with the last id, as the page says."""
    last = "0"
    for _ in range(10):
        text = call([*argv, "-H", f"Last-Event-ID: {last}"])
        assert "event: step" in text
        if "event: end" in text:
            return
        last = re.findall(r"^id: (\d+)$", text, re.MULTILINE)[-1]
    pytest.fail("the build did not end:\n" + text)


def test_the_page_on_the_api_shows_a_real_life(stencil: Stencil) -> None:
    variables = {
        "STENCIL": f"{stencil.url}/api/v1",
        "AUTH": f"Authorization: Bearer {stencil.token}",
    }
    count = 0
    for example in shown_calls(variables):
        count += 1
        if example.address.endswith("/events"):
            follow(example.argv)
            continue
        real = json.loads(call(example.argv))
        holds(example.answer, real, example.address)
        if real.get("kind") == "update":
            variables["BUILD"] = real["id"]
    assert count == 16


def test_the_page_on_the_api_names_every_code() -> None:
    for code in set(STATUSES) - {"unknown_token", "unknown_verification"}:
        assert f"`{code}`" in API, code


@pytest.mark.parametrize(
    "document", PAGES, ids=lambda document: document.relative_to(ROOT).as_posix()
)
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


FOLLOW = (ROOT / "docs/how-to/follow-an-execution.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", ["sh", "python", "js"])
def test_the_page_on_events_follows_a_program(
    stencil: Stencil, language: str, tmp_path: Path
) -> None:
    found = re.search(rf"```{language}\n(.*?)```", FOLLOW, re.DOTALL)
    assert found is not None
    program = "import time\nprint('one', flush=True)\ntime.sleep(1)\nprint('zwei ü')"
    files = [{"path": "main.py", "content": program}]
    _, made = stencil.api(
        "POST", "/executions", {"template": "python", "mode": "run", "files": files}
    )
    names = {"sh": "a.sh", "python": "a.py", "js": "a.mjs"}
    path = tmp_path / names[language]
    path.write_text(found[1], encoding="utf-8")
    tools = {"sh": "sh", "python": sys.executable, "js": str(minimal_template.node_binary())}
    given = {"STENCIL": f"{stencil.url}/api/v1", "TOKEN": stencil.token, "ID": made["id"]}
    said = subprocess.run(
        [tools[language], str(path)],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
        check=True,
    ).stdout
    if language == "sh":
        assert '"one\\n"' in said
        assert "event: result" in said
    else:
        assert said.replace("\r", "") == "one\nzwei ü\nsucceeded\n"
