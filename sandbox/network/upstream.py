"""The operator's own proxy behind ours: its credentials stay outside of the cage."""

import base64
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from sandbox.network import http_heads

_ANSWER_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """One proxy; `authorization` is the value of its header, or empty."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)

    def tunnel(self, sock: socket.socket, host: str, port: int) -> None:
        """Ask the proxy for a tunnel. ConnectionError with its status if it refuses."""
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
        if self.authorization:
            lines.append(f"Proxy-Authorization: {self.authorization}")
        sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        try:
            head, _ = http_heads.read(sock, time.monotonic() + _ANSWER_SECONDS)
        except http_heads.BadRequestError as error:
            raise ConnectionError(0, f"the proxy's answer is malformed: {error}") from error
        status = head.split(b" ", 2)[1:2]
        if not head.startswith(b"HTTP/1.") or status != [b"200"]:
            said = b"".join(status).decode("ascii", "replace")[:3]
            raise ConnectionError(0, f"the proxy of this machine answered {said}")


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """Proxies by scheme ("http", "https"), and the hosts that need no proxy."""

    proxies: Mapping[str, Proxy] = field(default_factory=dict)
    without: str = ""

    def for_host(self, scheme: str, host: str) -> Proxy | None:
        """Return the proxy for a host, or None."""
        names = [name.strip().lstrip(".").lower() for name in self.without.split(",")]
        if any(name == "*" or f".{host}".endswith(f".{name}") for name in filter(None, names)):
            return None
        return self.proxies.get(scheme)


def parse(address: str) -> Proxy:
    """Parse a proxy's address as tools write it. ValueError, without the address in its text."""
    text = address if "://" in address else f"http://{address}"
    try:
        found = urlsplit(text)
        port = found.port or 80
    except ValueError:
        raise ValueError("the proxy's address cannot be read") from None
    if found.scheme != "http" or not found.hostname:
        raise ValueError(f"a proxy is reached by http://, not by {found.scheme[:20]}://")
    authorization = ""
    if found.username is not None:
        pair = f"{unquote(found.username)}:{unquote(found.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(host=found.hostname, port=port, authorization=authorization)
