"""Run the example of the page on the Piston door, with the three real templates."""

import json
import re
import shlex
import subprocess
import urllib.error
import urllib.request
from string import Template
from typing import Any

import pytest

from tests.conftest import ROOT, Stencil
from tests.test_docs import CALLS, holds
from tests.timeouts import HANGS_SECONDS


def execute(stencil: Stencil, **job: Any) -> Any:
    request = urllib.request.Request(  # noqa: S310 - our own http address
        f"{stencil.url}/api/v2/execute",
        data=json.dumps({"version": "*", **job}).encode(),
        headers={"Authorization": stencil.token, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=HANGS_SECONDS) as answer:  # noqa: S310
        return json.load(answer)


@pytest.mark.parametrize("door", ["piston", "judge0"])
def test_the_page_shows_a_real_answer(stencil: Stencil, door: str) -> None:
    page = (ROOT / f"docs/how-to/move-from-{door}.md").read_text(encoding="utf-8")
    (curl, shown), *_ = CALLS.findall(page)
    known = {
        "PISTON": f"{stencil.url}/api/v2",
        "JUDGE0": f"{stencil.url}/judge0",
        "AUTH": f"Authorization: Bearer {stencil.token}",
    }
    argv = [Template(part).substitute(known) for part in shlex.split(curl)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=HANGS_SECONDS, check=True)
    holds(json.loads(shown), json.loads(done.stdout))


def test_every_template_runs_a_file_without_a_name(stencil: Stencil) -> None:
    programs = {
        "py": "import sys; print(sys.argv[1:], input())",
        "js": "console.log(process.argv.slice(2), require('fs').readFileSync(0, 'utf8').trim())",
        "ts": "const n: number = 2; enum E { A }; console.log(n, E.A, process.argv[2])",
    }
    outputs = {"py": "['a'] typed\n", "js": "[ 'a' ] typed\n", "ts": "2 0 a\n"}
    for alias, source in programs.items():
        said = execute(
            stencil, language=alias, files=[{"content": source}], args=["a"], stdin="typed"
        )
        assert said["run"]["stdout"] == outputs[alias], said
        assert re.fullmatch(r"\d+\.\d+\.\d+", said["version"])
        assert said["version"] != "1.0.0"
