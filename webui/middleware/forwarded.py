"""Whom a request comes from: what proxies say counts only if they are ours.

The server hands over the address that is connected to us. `STENCIL_PROXIES` says whom to believe
beyond that: so many proxies in a row, or proxies by address. What anybody else says of addresses,
schemes, hosts and paths is removed before anything reads it.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# What servers, frameworks and libraries are known to take from a proxy.
CLAIMS = [
    "X_FORWARDED_FOR",
    "X_FORWARDED_PROTO",
    "X_FORWARDED_PROTOCOL",
    "X_FORWARDED_SCHEME",
    "X_FORWARDED_SSL",
    "X_FORWARDED_HOST",
    "X_FORWARDED_PORT",
    "X_FORWARDED_SERVER",
    "X_FORWARDED_PREFIX",
    "X_FORWARDED_BY",
    "X_FORWARDED_PATH",
    "X_ORIGINAL_URL",
    "X_REWRITE_URL",
    "X_SCRIPT_NAME",
    "SCRIPT_NAME",
    "PATH_INFO",
    "FORWARDED",
    "X_REAL_IP",
    "X_CLIENT_IP",
    "CLIENT_IP",
    "TRUE_CLIENT_IP",
    "CF_CONNECTING_IP",
    "FASTLY_CLIENT_IP",
    "X_CLUSTER_CLIENT_IP",
    "X_URL_SCHEME",
    "FRONT_END_HTTPS",
    "REMOTE_USER",
    "X_REMOTE_USER",
]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a request comes from: the client's address, and whether it spoke https."""

    address: str
    https: bool


class Middleware:
    """The first one: everything behind it sees the client's own address and scheme."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        proxies = settings.STENCIL_PROXIES
        self._count = proxies if isinstance(proxies, int) else 0
        self._networks = () if isinstance(proxies, int) else networks(proxies)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Set the address and the scheme; remove what was claimed."""
        meta: dict[str, Any] = request.META
        said = {name: meta.pop(f"HTTP_{name}", "") for name in CLAIMS}
        hops, protos = split(said["X_FORWARDED_FOR"]), split(said["X_FORWARDED_PROTO"])
        found = origin(
            str(meta.get("REMOTE_ADDR", "")),
            hops,
            protos,
            count=self._count,
            networks=self._networks,
        )
        meta["REMOTE_ADDR"] = found.address
        if found.https:
            meta["wsgi.url_scheme"] = "https"
        return self._get_response(request)


def origin(
    peer: str,
    hops: Sequence[str],
    protos: Sequence[str],
    *,
    count: int = 0,
    networks: Sequence[Network] = (),
) -> Origin:
    """Whom `peer` speaks for. `hops` and `protos` are what it says, the nearest proxy's last.

    `count`: so many proxies stand in front, whatever their addresses. `networks`: theirs.
    """
    address = parsed(peer)
    seen = str(address) if address else peer
    believed = count if count <= len(hops) else 0
    if networks and address is not None and within(address, networks):
        # From the nearest on: the first that is not one of ours is the client.
        ours = (index for index, hop in enumerate(reversed(hops), 1) if not _ours(hop, networks))
        believed = next(ours, len(hops))
    if not believed:
        return Origin(address=seen, https=False)
    client = parsed(hops[-believed])
    proto = protos[-believed] if believed <= len(protos) else next(iter(protos), "")
    return Origin(address=str(client) if client else seen, https=proto.lower() == "https")


def networks(names: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks as `ipaddress` has them. ValueError names what is neither."""
    return tuple(ipaddress.ip_network(name, strict=False) for name in names)


def split(value: str) -> list[str]:
    """The items of a list in a header."""
    return [item for part in value.split(",") if (item := part.strip())]


def parsed(text: str) -> Address | None:
    """An address, also with a port, in brackets, or as IPv6 has those of IPv4; else None."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def within(address: Address, networks: Sequence[Network]) -> bool:
    """Whether it is one of these."""
    return any(address.version == each.version and address in each for each in networks)


def _ours(hop: str, networks: Sequence[Network]) -> bool:
    address = parsed(hop)
    return address is not None and within(address, networks)
