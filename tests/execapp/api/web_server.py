"""The whole web server in the process of a test."""

import asyncio
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pytest

from core.database import connections
from execapp.services import submissions
from tests.webui.server.serving import Web, serve_application
from webui.server.bounds import Bounds
from webui.server.threads import Threads
from webui.server.wsgi_handler import Handler


@contextmanager
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Yield a server, whose threads close their connections as the end of a process would."""
    original, ended_among = Threads._serve, submissions.ended_among

    def serve_and_release(self: Threads, loop: asyncio.AbstractEventLoop) -> None:
        original(self, loop)
        connections.release()

    def look_and_release(execution_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        try:
            return ended_among(execution_ids)
        finally:
            connections.release()

    with monkeypatch.context() as patch:
        patch.setattr(Threads, "_serve", serve_and_release)
        patch.setattr(submissions, "ended_among", look_and_release)
        with serve_application(Handler(), Bounds()) as running:
            yield running
