"""The operator's rules for deliveries, each a setting `STENCIL_CALLBACK…`."""

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network

from django.conf import settings

MAX_URL = 2048  # characters
MAX_REDIRECTS = 3


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What one attempt may do. `networks` are reachable although they are not public."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    seconds: float = 10.0  # for the whole attempt, redirects included


def rules() -> Rules:
    """Return the rules in force."""
    return Rules(
        networks=settings.STENCIL_CALLBACK_NETWORKS,
        seconds=float(settings.STENCIL_CALLBACK_SECONDS),
    )


def retry_delays() -> tuple[timedelta, ...]:
    """Return the pause before each attempt after the first one."""
    return tuple(timedelta(seconds=each) for each in settings.STENCIL_CALLBACK_RETRY_SECONDS)
