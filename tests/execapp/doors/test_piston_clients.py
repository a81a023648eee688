"""Test that unmodified clients of Piston work against a live server, by changing one URL."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import ultra_piston
from pytest_django import Settings

from tests.execapp.conftest import Api
from tests.execapp.doors.conftest import run_node
from tests.timeouts import HANGS_SECONDS

ECHO = """process.stdin.on('data', (text) => {
  console.log(JSON.stringify([`${text}`, process.argv.slice(2)]))
})"""
PATIENCE = 10  # requests
RUNTIME = {"language": "tiny", "version": "1.0.0", "aliases": []}


def test_piston_client_of_npm(site: str, api: Api, npm_clients: Path, settings: Settings) -> None:
    settings.STENCIL_PISTON_ANONYMOUS = api.token.prefix  # this client can send no token
    said = json.loads(run_node(npm_clients, "calls.mjs", site))
    assert said["runtimes"] == [RUNTIME]
    assert "run" in said["hello"], said
    assert (said["hello"]["language"], said["hello"]["version"]) == ("tiny", "1.0.0")
    assert said["hello"]["run"]["stdout"] == "other\ntyped [ 'a', 'b c' ]\n"
    assert (said["hello"]["run"]["code"], said["hello"]["run"]["status"]) == (0, None)
    assert said["slow"]["run"]["status"] == "TO"
    assert said["slow"]["run"]["signal"] == "SIGKILL"
    assert "cobol-* runtime is unknown" in json.dumps(said["unknown"])
    assert "run_timeout cannot exceed the configured limit of 20000" in json.dumps(said["much"])


@pytest.fixture
def ultra(site: str, api: Api) -> ultra_piston.PistonClient:
    client = ultra_piston.PistonClient(base_url=f"{site}/api/v2/", api_key=api.secret, rate_limit=0)
    assert client.get_runtimes()[0].language == "tiny"
    return client


def run(client: Any, source: str, **more: Any) -> Any:
    """Run a program; again if the client gave up, which it does after 5 s of a busy machine."""
    file = ultra_piston.File(name="main.mjs", content=source)
    for _ in range(PATIENCE):
        try:
            return client.post_execute(language="tiny", version="1.x", file=file, **more)
        except httpx.ReadTimeout:
            continue
    pytest.fail(f"no answer {PATIENCE} times")


def test_ultra_piston(ultra: ultra_piston.PistonClient) -> None:
    assert [each.language for each in ultra.get_packages()] == ["tiny"]
    done = run(ultra, ECHO, stdin="typed", args=["x", "y z"])
    assert json.loads(done.run.stdout) == ["typed\n", ["x", "y z"]]
    assert done.run.output == done.run.stdout
    failed = run(ultra, "console.error('no'); process.exit(3)")
    assert (failed.run.code, failed.run.stderr, failed.run.signal) == (3, "no\n", None)
    slow = run(ultra, "setTimeout(() => {}, 60000)", run_timeout=300)
    assert slow.run.signal == "SIGKILL"
    flood = run(ultra, "for (;;) console.log('x'.repeat(1000))")
    assert flood.run.signal == "SIGKILL"
    for wrong in ({"run_timeout": 20_001}, {"run_memory_limit": 10**12}):
        with pytest.raises(ultra_piston.errors.BadRequestError):
            run(ultra, "", **wrong)
    with pytest.raises(ultra_piston.errors.BadRequestError):
        ultra.post_execute(language="cobol", version="*", file=ultra_piston.File(content=""))


def test_aiopyston(site: str, api: Api) -> None:
    program = Path(__file__).with_name("aiopyston_calls.py")
    done = subprocess.run(
        [sys.executable, str(program), f"{site}/api/v2/piston/", api.secret, ECHO],
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["runtimes"] == ["tiny"]
    assert json.loads(said["stdout"]) == ["typed\n", ["x"]]
    limit, unknown = said["errors"]
    assert "run_timeout cannot exceed the configured limit of 20000" in limit
    assert "tiny-9 runtime is unknown" in unknown
