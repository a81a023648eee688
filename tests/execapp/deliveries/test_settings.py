"""Test the settings of callbacks as the environment gives them."""

from ipaddress import ip_network

import pytest
from django.core.exceptions import ImproperlyConfigured

from webui import environment


def test_networks_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.networks("STENCIL_TRIED") == ()
    monkeypatch.setenv("STENCIL_TRIED", " 10.1.0.0/16, fd00:1::/64,10.2.0.1 ")
    expected = ("10.1.0.0/16", "fd00:1::/64", "10.2.0.1/32")
    assert environment.networks("STENCIL_TRIED") == tuple(map(ip_network, expected))


@pytest.mark.parametrize("text", ["10.1.0.1/16", "localhost", "10.0.0.0/33", "10.1/16", "*"])
def test_a_network_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("STENCIL_TRIED", text)
    with pytest.raises(ImproperlyConfigured, match="STENCIL_TRIED names"):
        environment.networks("STENCIL_TRIED")


@pytest.mark.parametrize(
    ("text", "numbers"), [("", (7, 8)), ("1, 2", (1, 2)), ("none", ()), ("0", (0,))]
)
def test_pauses_are_read(
    monkeypatch: pytest.MonkeyPatch, text: str, numbers: tuple[int, ...]
) -> None:
    if text:
        monkeypatch.setenv("STENCIL_TRIED", text)
    assert environment.numbers("STENCIL_TRIED", "7,8") == numbers


@pytest.mark.parametrize("text", ["x", "1,-2", "1.5", "9999999999", "none,1"])
def test_a_pause_that_is_no_number_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("STENCIL_TRIED", text)
    with pytest.raises(ImproperlyConfigured, match="STENCIL_TRIED has"):
        environment.numbers("STENCIL_TRIED", "7,8")
