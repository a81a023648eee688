"""Starting and stopping the web server."""

import asyncio
import functools
import signal
import socket
import sys
from typing import Any, cast

import uvicorn

from webui.server.bounds import Bounds, from_settings
from webui.server.bridge import Bridge, Wsgi
from webui.server.connection import Connection
from webui.server.crowd import Crowd

GRACE_SECONDS = 4  # in which waits may still end by themselves
STOP_SECONDS = 10  # until what still runs is cut off
BACKLOG = 2048


class Server(uvicorn.Server):
    """uvicorn's, which lets those who wait go before it counts who is left."""

    def __init__(self, config: uvicorn.Config, bridge: Bridge, crowd: Crowd) -> None:
        super().__init__(config)
        self.bridge, self.crowd = bridge, crowd

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer everyone, and end."""
        timer = asyncio.get_running_loop().call_later(GRACE_SECONDS, self.bridge.stop)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()
            await self.bridge.close()


def make(application: Wsgi, host: str, port: int, bounds: Bounds) -> Server:
    """The server of a WSGI application, not started."""
    bridge = Bridge(application, bounds)
    crowd = Crowd(bounds)
    protocol: Any = functools.partial(Connection, crowd=crowd, bounds=bounds)
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
        proxy_headers=False,  # webui.middleware.forwarded decides whom to believe
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=int(bounds.idle_seconds),
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return Server(config, bridge, crowd)


def serve(application: Wsgi, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    server = make(application, host, port, from_settings())
    # uvicorn raises the signal again when it has ended in good order: that is an end, no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    # A thread that computes holds the interpreter for so long, and the event loop waits for it.
    sys.setswitchinterval(0.001)
    server.run()
