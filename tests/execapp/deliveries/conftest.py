"""Fixtures: receivers on loopback, which the rules of these tests allow."""

from collections.abc import Callable, Iterator
from ipaddress import ip_network

import pytest
from pytest_django.fixtures import Settings

from execapp.deliveries.rules import Rules
from tests.execapp.deliveries.receiver import Receiver

LOOPBACK = (ip_network("127.0.0.1/32"), ip_network("::1/128"))
RULES = Rules(networks=LOOPBACK, seconds=20.0)


@pytest.fixture
def make_receiver() -> Iterator[Callable[..., Receiver]]:
    """Yield a function that starts receivers; close them at the end."""
    made: list[Receiver] = []

    def make(**options: object) -> Receiver:
        made.append(Receiver(**options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


@pytest.fixture
def receiver(make_receiver: Callable[..., Receiver]) -> Receiver:
    """Return a receiver on 127.0.0.1, which is allowed."""
    return make_receiver()


@pytest.fixture
def loopback_allowed(settings: Settings) -> None:
    """Allow 127.0.0.1 and ::1, and no other address of loopback."""
    settings.STENCIL_CALLBACK_NETWORKS = LOOPBACK
