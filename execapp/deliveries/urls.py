"""The address of a receiver, read once: the request and its checks use these parts alone."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from core import parsing
from execapp.deliveries import addresses
from execapp.deliveries.rules import MAX_URL

PORTS = {"http": 80, "https": 443}
LOWEST_FREE_PORT = 1024  # below, other protocols listen, such as mail
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*")
_LOOPBACK = re.compile(r"(?i:(.*\.)?localhost)")


class UrlError(ValueError):
    """The address is refused; `message` is a sentence for the client."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Target:
    """The parts of an address. `host` is without brackets; `path` has the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as text."""
        return f"{self.scheme}://{self.authority}{self.path}"


def parse(url: str, networks: Iterable[addresses.Network]) -> Target:
    """Return the parts of an address. Raise UrlError.

    An address that is written in numbers is checked here; a name is checked when it is resolved.
    """
    if len(url) > MAX_URL:
        message = f"At most {MAX_URL} characters are taken."
        raise UrlError(message)
    if not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        message = "Give printable ASCII without spaces and backslashes; encode other characters."
        raise UrlError(message)
    try:
        parts = urlsplit(url)
        port_text = parts.netloc.rpartition("@")[2].rpartition("]")[2].partition(":")[2]
        host = parts.hostname or ""
    except ValueError:
        message = "This is not an address such as https://example.org/path."
        raise UrlError(message) from None
    if parts.scheme not in PORTS:
        message = "Give an address that begins with https:// or http://."
        raise UrlError(message)
    if "@" in parts.netloc:
        message = "User names and passwords are not taken: the signature shows the sender."
        raise UrlError(message)
    if "#" in url:
        message = "An address with # is not taken."
        raise UrlError(message)
    _check_host(host, parts.netloc, tuple(networks))
    path = parts.path or "/"
    return Target(
        scheme=parts.scheme,
        host=host,
        port=_port(port_text, parts.scheme),
        path=f"{path}?{parts.query}" if parts.query else path,
    )


def redirected(target: Target, location: str, networks: Iterable[addresses.Network]) -> Target:
    """Return the address that a redirect leads to, with the same scheme. Raise UrlError."""
    found = parse(urljoin(target.url, location.partition("#")[0]), networks)
    if found.scheme != target.scheme:
        message = f"The redirect leads from {target.scheme} to {found.scheme}."
        raise UrlError(message)
    return found


def _check_host(host: str, netloc: str, networks: tuple[addresses.Network, ...]) -> None:
    if netloc.startswith("["):
        known = "%" not in host and addresses.literal(host) is not None
    else:
        known = _HOST.fullmatch(host) is not None
    if not known:
        message = "Give the name of a host; write an international name in its xn-- form."
        raise UrlError(message)
    address = addresses.literal(host)
    if address is None and _LOOPBACK.fullmatch(host):
        address = addresses.literal("127.0.0.1")
    if address is not None and not addresses.is_allowed(address, networks):
        message = "The host is not public. The setting STENCIL_CALLBACK_NETWORKS can allow it."
        raise UrlError(message)


def _port(text: str, scheme: str) -> int:
    if not text:
        return PORTS[scheme]
    port = parsing.whole_or_none(text) or 0
    if port in PORTS.values() or LOWEST_FREE_PORT <= port < 2**16:
        return port
    message = f"Give port 80, 443, or one from {LOWEST_FREE_PORT} to 65535."
    raise UrlError(message)
