"""Heads of HTTP/1.1 messages for a proxy (RFC 9112), bounded and read strictly."""

import re
import socket
import time
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

MAX_HEAD = 64 * 1024
_LINE = re.compile(r"(CONNECT|GET|HEAD) ([\x21-\x5b\x5d-\x7e]{1,16000}) HTTP/1\.[01]", re.ASCII)
_AUTHORITY = re.compile(
    r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>\d{1,5})", re.ASCII
)
_FIELD = re.compile(
    r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}):(?P<value>[^\x00\r\n]*)", re.ASCII
)
# Headers of one connection only (RFC 9110, 7.6.1), or that this proxy writes itself.
_HOP = frozenset(
    ("connection", "keep-alive", "te", "trailer", "upgrade", "host", "expect", "proxy-connection",
     "proxy-authorization", "proxy-authenticate")
)  # fmt: skip
_PORTS = {"http": 80}


class BadRequestError(ValueError):
    """A message that this proxy refuses."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The request of a client. `fields` are the forwarded headers, unchanged."""

    connect: bool
    method: str
    host: str  # lower case; an IPv6 address without its brackets
    port: int
    path: str = ""
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def authority(self) -> str:
        """Return the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 80 else f"{host}:{self.port}"

    def without_credentials(self) -> "Request":
        """Return the same request without credentials."""
        secret = ("authorization", "cookie")
        return replace(self, fields=tuple(f for f in self.fields if f[0].lower() not in secret))

    def onward(self, proxy_authorization: str | None) -> bytes:
        """Return the head for the server; in absolute form, with this header, for a proxy ("")."""
        proxied = proxy_authorization is not None
        target = f"http://{self.authority}{self.path}" if proxied else self.path
        lines = [f"{self.method} {target} HTTP/1.1", f"Host: {self.authority}"]
        lines += [f"{name}:{value}" for name, value in self.fields]
        if proxy_authorization:
            lines.append(f"Proxy-Authorization: {proxy_authorization}")
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


def read(sock: socket.socket, deadline: float) -> tuple[bytes, bytes]:
    """Return a head and the bytes after it. BadRequestError, OSError."""
    data = b""
    while b"\r\n\r\n" not in data:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no head in time")
        sock.settimeout(left)
        more = sock.recv(MAX_HEAD)
        if not more:
            raise BadRequestError("the head never ended")
        data += more
        if len(data) > 2 * MAX_HEAD:
            raise BadRequestError(f"a head of more than {MAX_HEAD} bytes")
    head, _, rest = data.partition(b"\r\n\r\n")
    if len(head) > MAX_HEAD:
        raise BadRequestError(f"a head of more than {MAX_HEAD} bytes")
    return head, rest


def request(head: bytes) -> Request:
    """Read a request to a proxy. Raises BadRequestError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    line = _LINE.fullmatch(first)
    if line is None:
        raise BadRequestError("only CONNECT, GET and HEAD are known here")
    fields = tuple(_field(text) for text in lines)
    if line[1] == "CONNECT":
        host, port = _authority(line[2])
        return Request(connect=True, method="CONNECT", host=host, port=port)
    if any(name.lower() == "transfer-encoding" for name, _ in fields) or any(
        name.lower() == "content-length" and value.strip() != "0" for name, value in fields
    ):
        raise BadRequestError("a request with a body")
    try:
        target = urlsplit(line[2])
        default = _PORTS[target.scheme]
    except (ValueError, KeyError):
        raise BadRequestError("a target that is not http://…") from None
    authority = target.netloc.rpartition("@")[2]
    host, port = _authority(
        authority if _AUTHORITY.fullmatch(authority) else f"{authority}:{default}"
    )
    path = f"{target.path or '/'}{'?' + target.query if target.query else ''}"
    kept = tuple(field for field in fields if field[0].lower() not in _HOP)
    return Request(connect=False, method=line[1], host=host, port=port, path=path, fields=kept)


def closing(head: bytes) -> bytes:
    """Return a response's head that says that the connection ends with it. BadRequestError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    if not re.match(r"HTTP/1\.[01] \d{3}", first):
        raise BadRequestError("an answer that is not HTTP/1")
    kept = [line for line in lines if line.partition(":")[0].lower() not in _HOP]
    return "\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1")


def _authority(text: str) -> tuple[str, int]:
    found = _AUTHORITY.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise BadRequestError("a malformed host")
    return found["host"].strip("[]").lower(), int(found["port"])


def _field(text: str) -> tuple[str, str]:
    found = _FIELD.fullmatch(text)
    if found is None:
        raise BadRequestError("a malformed header")
    return found["name"], found["value"]
