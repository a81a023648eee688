"""Test the benchmark command. It takes minutes: only `make test-all` runs it."""

import os
import subprocess
import sys

from tests.execapp.conftest import ROOT


def test_the_whole_benchmark_runs_in_its_short_form() -> None:
    said = subprocess.run(
        [sys.executable, "manage.py", "bench", "--short", "--samples=1", "--burst=4", "--disk=4"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "webui.settings"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert said.returncode == 0, said.stderr[-2000:]
    for part in ("cold set-up beside `npm ci`", "files left by 4 executions", "| vitest, warm |"):
        assert part in said.stdout
