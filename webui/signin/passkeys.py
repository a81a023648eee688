"""Where passkeys work. Pure: nothing is read."""

import ipaddress
from urllib.parse import urlsplit


def possible(host: str) -> bool:
    """Browsers tie passkeys to a host's name: at a bare address there can be none."""
    try:
        ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return True
    return False
