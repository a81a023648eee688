"""Seconds until damage is found, seconds until the version is served again, and refusals meanwhile.

The benchmark damages the current TypeScript version of a running Stencil in each of the ten
likeliest ways while a client submits. It requests a verification at once; without a request, a
verification runs at a start and by the schedule.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.installation import Installation, InstallationError
from templatemgr import store

WAIT_SECONDS = 900.0
LOOK_SECONDS = 0.05
PROGRAM = {"main.ts": "console.log(1)\n"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of damage to a version's folder."""

    name: str
    do: Callable[[Path], object]
    unsafe: bool = True


def _opened(folder: Path, act: Callable[[], object]) -> None:
    mode = folder.stat().st_mode & 0o7777
    folder.chmod(0o755)
    act()
    if folder.is_dir():
        folder.chmod(mode)


def _file(version: Path) -> Path:
    return version / "tree/package.json"


def _write(file: Path) -> None:
    mode = file.stat().st_mode & 0o7777
    file.chmod(0o644)
    with file.open("r+b") as opened:
        opened.write(b"~")
    file.chmod(mode)


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    def act() -> None:
        store.remove(path)
        make(path)

    _opened(path.parent, act)


def _object(version: Path) -> Path:
    inode = _file(version).stat().st_ino
    objects = version.parents[3] / "objects"
    return next(path for path in objects.glob("*/*") if path.stat().st_ino == inode)


FAULTS = (
    Fault(name="a file replaced", do=lambda v: _replace(_file(v), lambda p: p.write_text("~"))),
    Fault(name="a file missing", do=lambda v: _replace(_file(v), lambda _: None)),
    Fault(name="nested folders added", do=lambda v: _opened(
        v / "tree", lambda: (v / "tree/added/more/folders").mkdir(parents=True))),
    Fault(name="another mode", do=lambda v: _file(v).chmod(0o666)),
    Fault(name="a folder missing", do=lambda v: _replace(v / "tree/node_modules", lambda _: None)),
    Fault(name="the tree missing", do=lambda v: _replace(v / "tree", lambda _: None)),
    Fault(name="a byte of the cache", unsafe=False, do=lambda v: _write(
        next(path for path in (v / "cache").rglob("*") if path.is_file()))),
    Fault(name="a byte of the manifest", unsafe=False, do=lambda v: _write(v / "manifest.json.gz")),
    Fault(name="an object missing", unsafe=False, do=lambda v: _object(v).unlink()),
    Fault(name="a byte in a shared file", do=lambda v: _write(_file(v))),
)  # fmt: skip


@dataclass(kw_only=True)
class Client:
    """A client that submits one execution after the other and counts the answers."""

    installation: Installation
    done: threading.Event
    refused: int = 0
    served: int = 0

    def run(self) -> None:
        """Submit until `stop` is called."""
        while not self.done.is_set():
            try:
                self.installation.submit("run", PROGRAM)
                self.served += 1
            except InstallationError as error:
                # Not admitted; or admitted before the damage was known, and then not run.
                if not str(error).startswith(("503", "201: error")):
                    raise
                self.refused += 1
                time.sleep(LOOK_SECONDS)


def measure(installation: Installation, faults: tuple[Fault, ...] = FAULTS) -> str:
    """Do each kind of damage in turn and return the table as Markdown."""
    lines = [
        "| damage | found after | served again after | refused meanwhile |",
        "|---|---:|---:|---:|",
    ]
    lines += [_row(installation, fault) for fault in faults]
    return "\n".join(lines)


def _row(installation: Installation, fault: Fault) -> str:
    client = Client(installation=installation, done=threading.Event())
    submitting = threading.Thread(target=client.run)
    number = int(installation.version.name.split("-")[0])
    submitting.start()
    try:
        began = time.monotonic()
        fault.do(installation.version)
        _call(installation, "POST", f"/templates/typescript/versions/{number}/verify")
        _await(installation, number, lambda found: str(found["severity"]) != "none")
        found = time.monotonic() - began
        _await(installation, number, lambda health: health["severity"] == "none")
        whole = time.monotonic() - began - found
    finally:
        client.done.set()
        submitting.join()
    back = f"{whole:.1f} s" if fault.unsafe else f"served throughout; repaired in {whole:.1f} s"
    return f"| {fault.name} | {found:.1f} s | {back} | {client.refused} |"


def _await(
    installation: Installation, number: int, holds: Callable[[dict[str, Any]], bool]
) -> None:
    """Wait until the condition holds, or until the verification has ended without a finding."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        shown = _call(installation, "GET", f"/templates/typescript/versions/{number}")
        health, last = shown["health"], shown["verification"]
        if holds(health) or (last and last["state"] == "healed"):
            return
        time.sleep(LOOK_SECONDS)
    message = f"it did not happen in {WAIT_SECONDS:.0f} s: {health}"
    raise InstallationError(message)


def _call(installation: Installation, method: str, path: str) -> Any:
    link = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=90)
    try:
        headers = {
            "Authorization": f"Bearer {installation.token}",
            "Content-Type": "application/json",
        }
        link.request(method, f"/api/v1{path}", "{}" if method == "POST" else None, headers)
        answer = link.getresponse()
        said = answer.read()
    finally:
        link.close()
    if answer.status >= 300:
        raise InstallationError(f"{answer.status}: {said[:500]!r}")
    return json.loads(said)
