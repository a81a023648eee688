"""What README shows is what happens, and no page of the docs points into nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Stencil

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
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


@pytest.mark.parametrize(
    "document", PAGES, ids=lambda document: document.relative_to(ROOT).as_posix()
)
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target
