"""Test that the examples of the page on MCP work as they are."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable

from execapp.api.mcp.tools import TOOLS
from execapp.executor.daemon import Daemon
from tests.conftest import ROOT
from tests.execapp.conftest import Api
from tests.timeouts import HANGS_SECONDS

PAGE = (ROOT / "docs/how-to/connect-an-mcp-client.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def run(argv: list[str], url: str, secret: str) -> str:
    given = os.environ | {"STENCIL_URL": url, "STENCIL_TOKEN": secret}
    return subprocess.run(
        argv, env=given, stdout=subprocess.PIPE, text=True, check=True, timeout=HANGS_SECONDS
    ).stdout


def test_the_examples_of_the_page(
    api: Api, executor: Daemon, web_process: Callable[[], str]
) -> None:
    url = web_process()
    assert run([sys.executable, "-c", block("python")], url, api.secret) == "42\n\n"
    found = json.loads(run(["sh", "-c", block("sh")], url, api.secret))
    assert found["result"]["structuredContent"]["templates"][0]["name"] == "tiny"


def test_the_page_lists_every_tool_with_its_scope_and_arguments() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert {name: scope for name, scope, _ in rows} == {
        name: tool.scope.value for name, tool in TOOLS.items()
    }
    for name, _, text in rows:
        shown = set(re.findall(r"`(\w+)`", text))
        optional = {"wait_seconds", "cursor"}
        assert shown | optional == set(TOOLS[name].arguments.model_fields) | optional
