"""Files come back from the real runtimes: each language and mode, forked and cold."""

import pytest

from tests.conftest import Stencil

PYTHON = "open('src/out.txt', 'w').write('kept')\n"
NODE = (
    'import { writeFileSync } from "node:fs";\nwriteFileSync("/workspace/src/out.txt", "kept");\n'
)
VITEST = 'import { test } from "vitest";\n'
PROGRAMS = {
    ("python", "run"): ("main.py", PYTHON),
    ("python", "test"): ("test_a.py", f"def test_a():\n    {PYTHON}"),
    ("javascript", "run"): ("main.js", NODE),
    ("javascript", "test"): ("a.test.js", f'{VITEST}{NODE}test("a", () => {{}});\n'),
    ("typescript", "run"): ("main.ts", NODE),
    ("typescript", "test"): ("a.test.ts", f'{VITEST}{NODE}test("a", () => {{}});\n'),
}


@pytest.mark.parametrize("env", [{}, {"TZ": "Asia/Tokyo"}], ids=["usual", "cold"])
@pytest.mark.parametrize(("template", "mode"), PROGRAMS)
def test_files_come_back_from_each_runtime(
    stencil: Stencil, template: str, mode: str, env: dict[str, str]
) -> None:
    path, code = PROGRAMS[template, mode]
    status, done = stencil.api(
        "POST",
        "/executions",
        {
            "template": template,
            "mode": mode,
            "files": [{"path": path, "content": code}],
            "env": env,
            "collect": ["out.txt"],
            "wait": True,
        },
    )
    assert (status, done["state"]) == (201, "succeeded"), done
    assert (done["timings"]["start"] == "cold") or not env
    assert [(file["path"], file["content"]) for file in done["files"]] == [("out.txt", "kept")]
