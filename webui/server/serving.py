"""Start and stop the web server."""

import asyncio
import functools
import signal
import socket
import sys
from typing import Any, cast

import uvicorn

from execapp.counters import counting
from webui.server.bounds import Bounds, from_settings
from webui.server.bridge import Bridge, Wsgi
from webui.server.connection import Connection
from webui.server.connection_table import ConnectionTable

GRACE_SECONDS = 4  # in which waiting requests can end normally
STOP_SECONDS = 10  # until running requests are aborted
BACKLOG = 2048


class Server(uvicorn.Server):
    """uvicorn's server; it ends waiting requests before it counts the remaining ones."""

    def __init__(
        self, config: uvicorn.Config, bridge: Bridge, connections: ConnectionTable
    ) -> None:
        super().__init__(config)
        self.bridge, self.connections = bridge, connections

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer every open request, and end."""
        timer = asyncio.get_running_loop().call_later(GRACE_SECONDS, self.bridge.stop)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()
            await self.bridge.close()


def make(application: Wsgi, host: str, port: int, bounds: Bounds) -> Server:
    """Return the server of a WSGI application, not started."""
    bridge = Bridge(application, bounds)
    connections = ConnectionTable(bounds)
    protocol: Any = functools.partial(Connection, connections=connections, bounds=bounds)
    config = uvicorn.Config(
        bridge,
        host=host,
        port=port,
        http=cast("type[asyncio.Protocol]", protocol),
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,  # webui.middleware.forwarded decides which proxies to trust
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=int(bounds.idle_seconds),
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return Server(config, bridge, connections)


def serve(application: Wsgi, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    server = make(application, host, port, from_settings())
    # uvicorn raises the signal again after a clean shutdown. This is not a failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    # A busy thread holds the interpreter for one interval, and the event loop waits for it.
    sys.setswitchinterval(0.001)
    with counting.flushing():
        server.run()
