"""Fixtures: a machine with registries on loopback, and a workspace with unscreened files."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from templatemgr.builders.base import Job
from templatemgr.builders.npm import npm_builder
from tests.attacks.loopback_registries import Registry, serve

TOKEN = "npm_S3cretOfTheMachine42"


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serve() as found:
        found.publish_npm("good", "1.0.0", {"index.js": "1\n"})
        yield found


@pytest.fixture
def elsewhere() -> Iterator[Registry]:
    """Serve an attacker's registry on loopback that no configuration names."""
    with serve() as found:
        found.publish_npm("good", "1.0.0", {"index.js": "'evil'\n"})
        yield found


@pytest.fixture
def machine(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Configure one registry with a token, and hide the configuration of the real machine."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".npmrc").write_text(
        f"registry={registry.url}/\n//127.0.0.1:{registry.port}/:_authToken=${{CORP_TOKEN}}\n"
    )
    (home / ".netrc").write_text(f"machine 127.0.0.1 login me password {TOKEN}\n")
    (home / "pip.conf").write_text(f"[global]\nindex-url = {registry.url}/simple/\nretries = 0\n")
    for name in os.environ:
        if name.lower().startswith(("npm_config_", "pip_")):
            monkeypatch.delenv(name)
    values = {
        "HOME": str(home),
        "CORP_TOKEN": TOKEN,
        "npm_config_globalconfig": "/none",
        "PIP_CONFIG_FILE": str(home / "pip.conf"),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        npm_builder, "FETCH_RETRY_OPTIONS", ("--fetch-retries=0", "--fetch-timeout=10000")
    )
    return values


class Workspace:
    """A job on the files of a tree, with its log."""

    def __init__(self, folder: Path, **values: object) -> None:
        self.said: list[str] = []
        wanted = {"install_scripts": (), "prune": (), "toolchain": {}} | values
        self.job = Job(
            definition=cast("Any", SimpleNamespace(**wanted)),
            workspace=folder,
            log=lambda _stream, text: self.said.append(text),
        )
        self.job.downloads.mkdir(parents=True)
        self.job.tree.mkdir()

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.job.tree / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)

    @property
    def ran(self) -> bool:
        """Return whether a program of the tree was started."""
        return any(self.job.workspace.rglob("ran"))


@pytest.fixture
def workspace(tmp_path: Path, machine: dict[str, str]) -> Workspace:
    return Workspace(tmp_path / "work")


def package_json(**dependencies: str) -> str:
    return json.dumps({"name": "x", "private": True, "dependencies": dependencies})
