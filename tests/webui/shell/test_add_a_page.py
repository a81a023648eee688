"""Test the code of docs/how-to/add-a-page.md in the dashboard."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.test import Client
from django.urls import include, path
from pytest_django import Settings

from tests.conftest import ROOT

PAGE = ROOT / "docs/how-to/add-a-page.md"


def block(kind: str) -> str:
    """Return the code of one step."""
    found = re.search(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None, kind
    return found[1]


def run(name: str, monkeypatch: pytest.MonkeyPatch, package: str = "webui.lookups") -> Any:
    """Run the code of one step as a module of the new family."""
    module = ModuleType(f"{package}.{name}")
    exec(compile(block(f"python {name}"), f"{PAGE}:{name}", "exec"), vars(module))  # noqa: S102 - our page
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(sys.modules[package], name, module, raising=False)
    return module


def test_the_page_of_the_guide_works(
    admin: Client, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = ModuleType("webui.lookups")
    family.__path__ = []
    monkeypatch.setitem(sys.modules, "webui.lookups", family)
    for name in ("forms", "queries", "views"):
        run(name, monkeypatch)
    addresses = run("urls", monkeypatch)
    addresses.urlpatterns.append(path("", include("webui.urls")))
    template = tmp_path / "templates/lookups/index.html"
    template.parent.mkdir(parents=True)
    template.write_text(block("html"))
    engine = dict(settings.TEMPLATES[0])
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path / "templates", *engine["DIRS"]]}]
    settings.ROOT_URLCONF = "webui.lookups.urls"
    run("test", monkeypatch).test_lookups(admin)
