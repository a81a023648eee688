"""Run the programs of docs/how-to/judge-a-program.md against a real installation."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import minimal_template
from tests.conftest import ROOT, Stencil
from tests.test_docs import holds
from tests.timeouts import HANGS_SECONDS

PAGE = (ROOT / "docs/how-to/judge-a-program.md").read_text(encoding="utf-8")
SAID = {
    "python": "succeeded 20 of 20\n",
    "js": "1 accepted\n2 wrong_output\n"
    "failed 1 of 3 cases did not pass; the first is case 2: wrong output. "
    "1 case after it did not run.\n",
}


@pytest.mark.parametrize("language", ["sh", "python", "js"])
def test_the_page_judges_a_program(stencil: Stencil, language: str, tmp_path: Path) -> None:
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / {"sh": "a.sh", "python": "a.py", "js": "a.mjs"}[language]
    path.write_text(code, encoding="utf-8")
    tools = {"sh": "sh", "python": sys.executable, "js": str(minimal_template.node_binary())}
    said = subprocess.run(
        [tools[language], str(path)],
        env={**os.environ, "STENCIL": f"{stencil.url}/api/v1", "TOKEN": stencil.token},
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
        check=True,
    ).stdout
    if language == "sh":
        (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
        holds(json.loads(shown), json.loads(said)["cases"])
    else:
        assert said == SAID[language]
