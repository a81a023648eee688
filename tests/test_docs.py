"""What README shows is what happens, and no page of the docs points into nothing."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import pytest

from execapp.api.http.error_replies import STATUSES
from tests.conftest import ROOT, Stencil

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
API = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
CALLS = re.compile(r"```sh\n(curl .*?)```\n(?:\n```json\n(.*?)```)?", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def shown_request() -> dict[str, Any]:
    """The body of README's curl."""
    found = re.search(r"-d '(\{.*?\n\})'", README, re.DOTALL)
    assert found is not None
    body: dict[str, Any] = json.loads(found[1])
    return body


def shown_answer() -> dict[str, Any]:
    """The answer that README prints beneath it."""
    found = re.search(r"```json\n(.*?)```", README, re.DOTALL)
    assert found is not None
    answer: dict[str, Any] = json.loads(found[1])
    return answer


def holds(shown: Any, real: Any, where: str = "answer") -> None:
    """Everything shown is in the real answer; the real one may say more."""
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
    """A curl of the page on the API, and the answer that stands beneath it, if any."""

    argv: list[str]
    answer: Any

    @property
    def address(self) -> str:
        """What is asked for."""
        return next(part for part in self.argv if part.startswith("http"))


def shown_calls(variables: dict[str, str]) -> Iterator[Example]:
    """Every curl of the page, in order; `variables` are looked up as each comes."""
    for curl, answer in CALLS.findall(API):
        argv = [Template(part).substitute(variables) for part in shlex.split(curl)]
        yield Example(argv=argv, answer=json.loads(answer) if answer else None)


def call(argv: list[str]) -> str:
    """What the curl answers, by real curl."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True).stdout


def follow(argv: list[str]) -> None:
    """Read events to the end of the build, as the page says: with the last id after a minute."""
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
    assert count == 14


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
