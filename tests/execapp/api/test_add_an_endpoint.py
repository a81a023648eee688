"""Test the code of docs/how-to/add-an-endpoint.md in a running API."""

import re
import sys
from types import ModuleType
from typing import Any

import pytest
from django.urls import include, path
from pytest_django import Settings

from execapp.api import v1
from execapp.api.http import error_replies
from execapp.api.http.json_parser import StrictParser
from execapp.api.urls import shaped
from tests.conftest import ROOT
from tests.execapp.conftest import Api

PAGE = ROOT / "docs/how-to/add-an-endpoint.md"


def run(name: str) -> dict[str, Any]:
    """Run the code of one step; return its names."""
    found = re.search(rf"```python {name}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None, name
    module = ModuleType(f"how_to.{name}")
    exec(compile(found[1], f"{PAGE}:{name}", "exec"), vars(module))  # noqa: S102 - our own page
    return vars(module)


def test_the_endpoint_of_the_page_works(
    api: Api, alive: object, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = run("presenter")["present_queue"]
    monkeypatch.setattr("execapp.api.presenters.executions.present_queue", step, raising=False)
    monkeypatch.setattr(
        "execapp.api.v1.schemas.executions.QueueOut", run("schema")["QueueOut"], raising=False
    )
    served = v1.Api(urls_namespace="how-to", parser=StrictParser())
    error_replies.install(served)
    served.add_router("/queue", run("route")["router"])
    routes = ModuleType("how_to.urls")
    added = path("api/v1/", include(shaped(served)[:2], namespace="how-to"))
    vars(routes)["urlpatterns"] = [added, path("", include("execapp.api.urls"))]
    monkeypatch.setitem(sys.modules, "how_to.urls", routes)
    settings.ROOT_URLCONF = "how_to.urls"
    run("test")["test_queue"](api, alive)
