"""Test which addresses and which forms of addresses a delivery may be sent to."""

import socket
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from execapp.deliveries import addresses, urls
from execapp.deliveries.urls import UrlError

PUBLIC = ("93.184.216.34", "8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001::1")
REFUSED = (
    # loopback, private, shared, link-local with the metadata of clouds, this network
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255"),  # noqa: S104
    *("192.168.1.1", "100.64.0.1", "100.100.100.200", "169.254.169.254", "169.254.170.2"),
    # documentation, protocols, measurements, relays, multicast, reserved, broadcast, Azure
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "192.0.0.192", "198.18.0.1", "192.88.99.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
    # IPv6: unspecified, loopback, link-local, unique-local with AWS, site-local, multicast
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
    # IPv4 inside IPv6: mapped, compatible, translated, NAT64 in both prefixes, 6to4, Teredo
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"),
    *("::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1"),
    *("2002:7f00:1::", "2002:808:808::1", "2001:0:7f00:1::", "2001:20::1"),
    # documentation, discard-only, segment routing
    *("2001:db8::1", "3fff::1", "100::1", "5f00::1"),
)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_allowed(text: str) -> None:
    assert addresses.is_allowed(ip_address(text), ())


@pytest.mark.parametrize("text", REFUSED)
def test_other_addresses_are_refused(text: str) -> None:
    assert not addresses.is_allowed(ip_address(text), ())


def test_a_listed_network_is_allowed_also_in_its_mapped_form() -> None:
    listed = (ip_network("10.1.0.0/16"), ip_network("fd00:1::/64"))
    for text in ("10.1.2.3", "::ffff:10.1.2.3", "fd00:1::5"):
        assert addresses.is_allowed(ip_address(text), listed)
    for text in ("10.2.0.1", "fd00:2::5", "127.0.0.1", "fd00:1::5%eth0"):
        assert not addresses.is_allowed(ip_address(text), listed)


def test_a_name_that_resolves_to_this_machine_is_refused() -> None:
    """Ask the real resolver."""
    with pytest.raises(addresses.BlockedError):
        addresses.resolve("localhost", 80, ())


def test_only_the_allowed_addresses_of_a_name_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["10.0.0.1", "93.184.216.34", "fd00::1", "::ffff:10.0.0.1", "93.184.216.34"]
    monkeypatch.setattr(socket, "getaddrinfo", answering(*found))
    assert addresses.resolve("mixed.example", 443, ()) == ["93.184.216.34"]


def test_a_public_address_of_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback stands for it: the kernel chooses the destination itself as the source."""
    monkeypatch.setattr(socket, "getaddrinfo", answering("127.0.0.1"))
    monkeypatch.setattr(addresses, "_REFUSED_IPV4", ())
    with pytest.raises(addresses.BlockedError):
        addresses.resolve("here.example", 80, ())
    listed = (ip_network("127.0.0.1/32"),)
    assert addresses.resolve("here.example", 80, listed) == ["127.0.0.1"]


def answering(*texts: str) -> Any:
    """Return a resolver with these answers."""

    def resolver(_host: str, port: int, **_: object) -> list[Any]:
        return [
            (socket.AF_INET6 if ":" in text else socket.AF_INET, 1, 6, "", (text, port))
            for text in texts
        ]

    return resolver


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.org", ("https", "example.org", 443, "/")),
        ("http://Example.org:8080/a/b?c=d&e", ("http", "example.org", 8080, "/a/b?c=d&e")),
        ("https://example.org:443/", ("https", "example.org", 443, "/")),
        ("http://xn--bcher-kva.example/%C3%BC", ("http", "xn--bcher-kva.example", 80, "/%C3%BC")),
        ("http://[2606:4700:4700::1111]:8000/", ("http", "2606:4700:4700::1111", 8000, "/")),
        ("http://my_host/?", ("http", "my_host", 80, "/")),
    ],
)
def test_an_address_is_read_into_its_parts(url: str, target: tuple[object, ...]) -> None:
    found = urls.parse(url, ())
    assert (found.scheme, found.host, found.port, found.path) == target


def test_the_header_host_has_the_port_unless_it_is_the_usual_one() -> None:
    assert urls.parse("https://a.example:443/", ()).authority == "a.example"
    assert urls.parse("https://a.example:8443/", ()).authority == "a.example:8443"
    assert urls.parse("http://[2606:4700::1]:80/", ()).authority == "[2606:4700::1]"


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.org", "//example.org/", "ftp://example.org/", "file:///etc/passwd"),
        *("gopher://127.0.0.1:6379/_FLUSHALL", "javascript:alert(1)", "http://", "http:///x"),
        *("http://user@example.org/", "http://user:pass@example.org/", "http://@example.org/"),
        *("http://example.org\\@127.0.0.1/", "http://exa mple.org/", "http://example.org/\r\nX: y"),
        *("http://example.org/ü", "http://bücher.example/", "http://example.org/#part"),
        *("http://example.org:0/", "http://example.org:22/", "http://example.org:25/"),
        *("http://example.org:65536/", "http://example.org:80a/", "http://example.org:-1/"),
        *("http://-a.example/", "http://a..example/", "http://.example/", "http://example.org./"),
        *("http://[::1", "http://[fe80::1%25eth0]/", "http://[v1.x]/", "http://[1.2.3.4]x/"),
        "http://example.org/" + "a" * 2048,
    ],
)
def test_a_bad_address_is_refused(url: str) -> None:
    with pytest.raises(UrlError):
        urls.parse(url, ())


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.1", "0x7f.1", "0x7f000001"),
        *("2130706433", "017700000001", "0", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"),
        *("169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "[::ffff:a9fe:a9fe]"),
    ],
)
def test_a_host_in_numbers_is_checked_without_a_resolver(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", None)
    with pytest.raises(UrlError, match="not public"):
        urls.parse(f"http://{host}:8000/", ())


def test_a_redirect_keeps_its_scheme() -> None:
    start = urls.parse("https://example.org/a/b", ())
    assert urls.redirected(start, "../c?d#e", ()).url == "https://example.org/c?d"
    assert urls.redirected(start, "//other.example/", ()).url == "https://other.example/"
    for location in ("http://example.org/", "file:///etc/passwd", "//10.0.0.1/", "//localhost/"):
        with pytest.raises(UrlError):
            urls.redirected(start, location, ())
