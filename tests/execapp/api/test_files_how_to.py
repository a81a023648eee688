"""Run the programs of docs/how-to/get-files-back.md against a real installation."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import minimal_template
from tests.conftest import ROOT, Stencil
from tests.timeouts import HANGS_SECONDS

PAGE = (ROOT / "docs/how-to/get-files-back.md").read_text(encoding="utf-8")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("language", ["sh", "python", "js"])
def test_the_page_gets_files_back(stencil: Stencil, language: str, tmp_path: Path) -> None:
    (drawing,) = re.findall(r"```python program\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "draw.py").write_text(drawing, encoding="utf-8")
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / {"sh": "a.sh", "python": "a.py", "js": "a.mjs"}[language]
    path.write_text(code, encoding="utf-8")
    tools = {"sh": "sh", "python": sys.executable, "js": str(minimal_template.node_binary())}
    said = subprocess.run(
        [tools[language], str(path)],
        cwd=tmp_path,
        env={**os.environ, "STENCIL": f"{stencil.url}/api/v1", "TOKEN": stencil.token},
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
        check=True,
    ).stdout
    picture = (tmp_path / "plot.png").read_bytes()
    assert picture.startswith(PNG)
    if language != "sh":
        assert said == f"out/plot.png {len(picture)}\nreport.csv 17\n"
        assert (tmp_path / "report.csv").read_text() == "x,square\n2,4\n3,9\n"
