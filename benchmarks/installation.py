"""A Stencil of its own for a benchmark: started by `manage.py up` and used over HTTP."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from templatemgr.definitions import source_files

READY_SECONDS = 300
TICKS = os.sysconf("SC_CLK_TCK")


class InstallationError(Exception):
    """The installation did not start, or refused a submission."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A running Stencil with every template; TypeScript is the default."""

    data: Path
    port: int
    token: str
    pid: int

    @property
    def version(self) -> Path:
        """Return the folder of the current TypeScript version."""
        return (self.data / "templates/typescript/current").resolve()

    def submit(
        self,
        mode: str,
        files: dict[str, str],
        *,
        client: str = "",
        ended: Sequence[str] = ("succeeded",),
        **more: Any,
    ) -> tuple[float, dict[str, Any]]:
        """Submit; return the milliseconds from the connect to the whole reply, and the reply.

        InstallationError for another state than one of `ended`.
        """
        body = {
            "template": "typescript",
            "mode": mode,
            "wait": True,
            "files": [{"path": path, "content": text} for path, text in files.items()],
            "labels": {"client": client} if client else {},
            **more,
        }
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        began = time.perf_counter()
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        try:
            link.request("POST", "/api/v1/executions", json.dumps(body), headers)
            answer = link.getresponse()
            reply = json.loads(answer.read())
        finally:
            link.close()
        took = (time.perf_counter() - began) * 1000
        if answer.status != 201 or reply["state"] not in ended:
            raise InstallationError(f"{answer.status}: {reply.get('state')} {reply.get('error')}")
        return took, reply

    def cpu_ms(self) -> float:
        """Return the CPU time of web and executor and their reaped children, without sandboxes."""
        parents = {pid: int(fields[1]) for pid, fields in _processes().items()}
        mine = {self.pid}
        while more := {pid for pid, parent in parents.items() if parent in mine} - mine:
            mine |= more
        ticks = (sum(map(int, fields[11:15])) for p, fields in _processes().items() if p in mine)
        return sum(ticks) * 1000 / TICKS

    def own_cpu_ms(self, command: str) -> float:
        """Return the CPU time of the processes `manage.py <command>`, without their children."""
        mine = [pid for pid, fields in _processes().items() if int(fields[1]) == self.pid]
        return sum(_clock_ms(pid) for pid in mine if _argument(pid) == command)


def _argument(pid: int) -> str:
    """Return the command of `python manage.py <command>`; empty for another process."""
    try:
        given = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:  # it has just ended
        return ""
    return given[2] if len(given) > 2 else ""


def _clock_ms(pid: int) -> float:
    """Return the CPU time of all threads of a process, by its clock (see clock_getcpuclockid)."""
    return time.clock_gettime((~pid << 3) | 2) * 1000


def _processes() -> dict[int, list[str]]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text(errors="replace")
            except OSError:  # it has just ended
                continue
            found[int(entry.name)] = text.rpartition(")")[2].split()
    return found


@contextmanager
def started(data: Path) -> Iterator[Installation]:
    """Run `manage.py up` on `data` (made if missing) until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    env = os.environ | {
        "STENCIL_DATA": str(data),
        "STENCIL_HOST": "127.0.0.1",
        "STENCIL_PORT": str(port),
    }
    argv = [sys.executable, str(settings.BASE_DIR / "manage.py"), "up"]
    log = data.parent / "up.log"
    with log.open("wb") as said:
        process = subprocess.Popen(argv, env=env, stdout=said, stderr=subprocess.STDOUT)
    try:
        _await_ready(process, log)
        _await_templates(process, log, data)
        made = json.loads((data / "credentials.json").read_text())
        yield Installation(data=data, port=port, token=made["token"], pid=process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _await_templates(process: subprocess.Popen[bytes], log: Path, data: Path) -> None:
    """Wait for every template: `up` is ready with its first one, a benchmark when no build runs."""
    deadline = time.monotonic() + READY_SECONDS
    wanted = [
        data / "templates" / name / "current"
        for name in source_files.list_definitions(_definitions())
    ]
    while not all(link.exists() for link in wanted):
        said = log.read_text(errors="replace")
        if process.poll() is not None or time.monotonic() > deadline or ": not built." in said:
            raise InstallationError("a template was not built:\n" + said[-2000:])
        time.sleep(0.2)


def _definitions() -> Path:
    return Path(settings.STENCIL_DEFINITIONS)


def _await_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while "Ctrl-C stops it" not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise InstallationError(
                "manage.py up did not become ready:\n" + log.read_text()[-2000:]
            )
        time.sleep(0.1)
