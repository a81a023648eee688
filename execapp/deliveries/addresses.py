"""Which addresses a delivery may be sent to.

Everything that is not plainly public is refused: the registries of special addresses of IANA
(iana-ipv4-special-registry, iana-ipv6-special-registry), every form that carries an IPv4 address
inside an IPv6 address, and this machine's own addresses.
"""

import socket
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

_REFUSED_IPV4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers; the metadata of Alibaba Cloud
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocols; the metadata of Oracle Cloud
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",  # measurements
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "168.63.129.16/32",  # public by number, but answered by the host in Azure
    )
)
# Only 2000::/3 is global unicast. It has these exceptions.
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_REFUSED_IPV6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocols: Teredo, ORCHID and others
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 carries an IPv4 address
        "3fff::/20",  # documentation
    )
)


class BlockedError(Exception):
    """The host has no address that a delivery may be sent to."""


def is_allowed(address: Address, networks: Iterable[Network]) -> bool:
    """Return whether a delivery may be sent to an address; `networks` are allowed besides."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:  # the kernel connects to the IPv4 address
            address = address.ipv4_mapped
    if any(address in network for network in networks):
        return True
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_IPV4)
    return address in _GLOBAL_IPV6 and not any(address in network for network in _REFUSED_IPV6)


def literal(host: str) -> Address | None:
    """Return the address that a host is written as, in any form that a resolver reads as one."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:  # 127.1, 0x7f000001, 2130706433
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def resolve(host: str, port: int, networks: Iterable[Network]) -> list[str]:
    """Return the allowed addresses of a host, to connect to. One query of the resolver.

    Raise OSError if the name has no address, and BlockedError if none of them is allowed.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    texts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    kept = tuple(networks)
    allowed = [text for text in texts if _may_connect(text, port, kept)]
    if not allowed:
        message = "The host has no public address."
        raise BlockedError(message)
    return allowed


def _may_connect(text: str, port: int, networks: tuple[Network, ...]) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if not is_allowed(address, networks):
        return False
    listed = any(address in network for network in networks)
    return listed or not _is_own(text, port, address.version)


def _is_own(text: str, port: int, version: int) -> bool:
    """Return whether a public address belongs to this machine, where no firewall is in between.

    A datagram socket is connected without sending anything: the kernel chooses the source address,
    which equals the destination for an address of this machine.
    """
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((text, port))
        except OSError:  # no route: connecting will fail, too
            return False
        return str(probe.getsockname()[0]) == text
