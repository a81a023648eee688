"""The address and scheme of the client: headers of proxies count only if the proxies are trusted.

The server gives the address of the connection. `STENCIL_PROXIES` names the trusted proxies: their
number in a row, or their addresses. All other headers about addresses, schemes, hosts and paths are
removed before any code reads them.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from execapp.api.http.metrics import PROXIED

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Headers that servers, frameworks and libraries are known to take from a proxy.
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
    """The client's address, and whether it used https."""

    address: str
    https: bool


class Middleware:
    """The first middleware: all others see the client's own address and scheme."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        proxies = settings.STENCIL_PROXIES
        self._count = proxies if isinstance(proxies, int) else 0
        self._networks = () if isinstance(proxies, int) else networks(proxies)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Set the address and the scheme, and remove the headers."""
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
        meta[PROXIED] = any(said.values())
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
    """Return the client behind `peer`. `hops` and `protos` are its headers, nearest proxy last.

    `count` is the number of trusted proxies; `networks` are the addresses of trusted proxies.
    """
    address = parsed(peer)
    seen = str(address) if address else peer
    believed = count if count <= len(hops) else 0
    if networks and address is not None and within(address, networks):
        # From the nearest on, the first address that is no trusted proxy is the client.
        ours = (index for index, hop in enumerate(reversed(hops), 1) if not _ours(hop, networks))
        believed = next(ours, len(hops))
    if not believed:
        return Origin(address=seen, https=False)
    client = parsed(hops[-believed])
    proto = protos[-believed] if believed <= len(protos) else next(iter(protos), "")
    return Origin(address=str(client) if client else seen, https=proto.lower() == "https")


def networks(names: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks of addresses and networks. Raises ValueError."""
    return tuple(ipaddress.ip_network(name, strict=False) for name in names)


def split(value: str) -> list[str]:
    """Return the items of a list in a header."""
    return [item for part in value.split(",") if (item := part.strip())]


def parsed(text: str) -> Address | None:
    """Return an address, also from a form with port, brackets or IPv4 in IPv6; else None."""
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
    """Return whether one of the networks contains the address."""
    return any(address.version == each.version and address in each for each in networks)


def _ours(hop: str, networks: Sequence[Network]) -> bool:
    address = parsed(hop)
    return address is not None and within(address, networks)
