"""The server's time for each page of the dashboard, with the rows of a year.

The measure uses a data folder of its own and the commands of the dashboard.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from django.conf import settings

from benchmarks.installation import Installation
from benchmarks.measures import FULL, Size
from benchmarks.table import Row

MUST_MS = 50.0
PREPARE_SECONDS = 900
EXECUTIONS = 100_000


def every(_installation: Installation, size: Size) -> Iterator[Row]:
    """Yield a row for each page: server time over several calls, beside the aim for its p95."""
    executions = EXECUTIONS if size.burst >= FULL.burst else EXECUTIONS // 20
    with tempfile.TemporaryDirectory(prefix="stencil-pages-") as folder:
        _manage(folder, "migrate", "--verbosity=0")
        _manage(folder, "collectstatic", "--verbosity=0", "--no-input")
        _manage(folder, "seed", f"--executions={executions}")
        said = _manage(folder, "page_times", f"--samples={size.samples}")
    for address, times in json.loads(said).items():
        yield Row(
            measure=f"page `{address}`, of {executions:,} executions",
            ours=f"{times['median_ms']:.1f} ms",
            other="–",
            ratio=f"p95 {times['p95_ms']:.1f} ms",
            must=f"p95 ≤ {MUST_MS:g} ms",
            holds=times["p95_ms"] <= MUST_MS,
        )


def _manage(data: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
        env={**os.environ, "STENCIL_DATA": data, "DJANGO_SETTINGS_MODULE": "webui.settings"},
        stdout=subprocess.PIPE,
        timeout=PREPARE_SECONDS,
        check=True,
    )
    return done.stdout.decode()
