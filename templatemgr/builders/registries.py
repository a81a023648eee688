"""Find the hosts that a fetch step may reach from this machine's npm and pip configuration."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from sandbox.network import upstream
from sandbox.network.egress import Egress, Endpoint
from sandbox.network.upstream import Upstream

PORTS = {"http": 80, "https": 443}
HINT = (
    "A build reaches only the registries of this machine's configuration; name further hosts "
    "in STENCIL_FETCH_HOSTS."
)


def endpoint(address: str) -> Endpoint | None:
    """Return the host and the port of an http(s) address; None for any other address."""
    try:
        found = urlsplit(address.strip().strip("\"'"))
        port = found.port or PORTS.get(found.scheme)
    except ValueError:
        return None
    if found.scheme not in PORTS or not found.hostname or port is None:
        return None
    return found.hostname, port


def further(hosts: Iterable[str]) -> frozenset[Endpoint]:
    """Parse STENCIL_FETCH_HOSTS: "host" (port 443) or "host:port". Raises ValueError."""
    found = set()
    for text in filter(None, (host.strip() for host in hosts)):
        item = endpoint(f"https://{text}")
        if item is None or any(letter in text for letter in "/@?#"):
            raise ValueError(f"STENCIL_FETCH_HOSTS: {text[:100]!r} is neither a host nor host:port")
        found.add(item)
    return frozenset(found)


def egress(
    endpoints: tuple[frozenset[Endpoint], frozenset[Endpoint]],
    further: frozenset[Endpoint],
    proxy: Upstream,
    *,
    seconds: float,
) -> Egress:
    """Return the egress policy of a fetch step: the named, the usual and the further hosts.

    `endpoints` is the pair of named and usual hosts. `seconds` limits each connection.
    """
    named, usual = endpoints
    return Egress(
        named=named | further, usual=usual, bare=further - named - usual, upstream=proxy,
        seconds=seconds, hint=HINT,
    )  # fmt: skip


def operator_proxy(environ: Mapping[str, str], configured: str, without: str = "") -> Upstream:
    """Return the operator's proxy, from the tool's setting `configured`, else from the environment.

    `without` is the tool's list of hosts that are reached without the proxy; if it is empty, the
    list of the environment is used. Raises ValueError for an invalid address.
    """
    listed = without or environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    addresses = {
        scheme: configured or environ.get(name) or environ.get(name.upper()) or ""
        for scheme, name in (("http", "http_proxy"), ("https", "https_proxy"))
    }
    found = {scheme: upstream.parse(text) for scheme, text in addresses.items() if text}
    return Upstream(proxies=found, without=listed)


def shown(endpoint: Endpoint) -> str:
    """Return a host and port as text, like "host:443"."""
    host = f"[{endpoint[0]}]" if ":" in endpoint[0] else endpoint[0]
    return f"{host}:{endpoint[1]}"
