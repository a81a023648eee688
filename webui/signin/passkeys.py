"""Decide whether a host supports passkeys. Pure."""

import ipaddress
from urllib.parse import urlsplit


def possible(host: str) -> bool:
    """Return whether `host` has a name: browsers offer no passkeys at an IP address."""
    try:
        ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return True
    return False
