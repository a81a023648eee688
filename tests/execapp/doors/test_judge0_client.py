"""Run the quick start of Judge0's official client against a live server."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pytest_django import Settings

from tests.conftest import Stencil
from tests.execapp.conftest import Api
from tests.timeouts import HANGS_SECONDS

JAVASCRIPT = (
    "process.stdin.on('data', (name) => console.log('hello ' + name))",
    "for (;;);",
    "console.error('boom'); process.exit(3)",
    "console.log('hello, world')",
)
PYTHON = (
    "print('hello', input())",
    "while True: pass",
    "import sys; sys.exit('boom')",
    "print('hello, world')",
)


def quick_start(url: str, token: str, language: str, *programs: str) -> Any:
    program = Path(__file__).with_name("judge0_calls.py")
    headers = json.dumps({"X-Auth-Token": token})
    done = subprocess.run(
        [sys.executable, str(program), language, *programs],
        env=os.environ
        | {"JUDGE0_CE_ENDPOINT": f"{url}/judge0", "JUDGE0_CE_AUTH_HEADERS": headers}
        | {"JUDGE0_EXTRA_CE_ENDPOINT": f"{url}/judge0/extra"}
        | {"JUDGE0_EXTRA_CE_AUTH_HEADERS": headers},
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(said: Any) -> None:
    assert (said["version"], said["statuses"]) == ("1.14.0", 14)
    assert said["single"]["stdout"] == "hello Bob\n"
    assert said["plain"] == "hello, world\n"
    assert said["single"]["status"] == 3
    assert said["single"]["exit_code"] == 0
    right, wrong = said["cases"]
    assert (right["status"], wrong["status"]) == (3, 4)
    assert (right["expected_output"], wrong["stdout"]) == ("hello Ann", "hello Bob\n")
    assert said["late"]["status"] == 5
    # Judge0 encodes the message, and its client does not decode it.
    assert "Time limit exceeded" in base64.b64decode(said["late"]["message"]).decode()
    assert said["failed"]["status"] == 11
    assert said["failed"]["stderr"] == "boom\n"


def test_quick_start(site: str, api: Api, settings: Settings) -> None:
    settings.STENCIL_JUDGE0_LANGUAGES = {102: "tiny", 33: "tiny"}
    check(quick_start(site, api.secret, "JAVASCRIPT", *JAVASCRIPT))


def test_quick_start_with_the_real_templates(stencil: Stencil) -> None:
    check(quick_start(stencil.url, stencil.token, "PYTHON", *PYTHON))
    check(quick_start(stencil.url, stencil.token, "JAVASCRIPT", *JAVASCRIPT[:3], PYTHON[3]))
