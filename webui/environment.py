"""Readers of environment variables for the settings. Each raises ImproperlyConfigured."""

import os
import secrets
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured


def number(name: str, default: int, *, least: int = 0) -> int:
    """Return a whole number of at least `least`, in decimal digits."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        message = f"{name} is {text!r}: give a whole number, {least} or more."
        raise ImproperlyConfigured(message)
    return int(text)


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    """Return one of `choices`."""
    value = os.environ.get(name, default)
    if value not in choices:
        message = f"{name} is {value!r}: choose one of {', '.join(choices)}."
        raise ImproperlyConfigured(message)
    return value


def items(name: str, default: str = "") -> list[str]:
    """Return the items of a comma-separated list, without blanks and empty items."""
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def numbers(name: str, default: str) -> tuple[int, ...]:
    """Return the whole numbers of a comma-separated list; a list of "none" is empty."""
    given = [] if os.environ.get(name) == "none" else items(name, default)
    for text in given:
        if not text.isdecimal() or len(text) > 9:
            message = f"{name} has {text!r}: give whole numbers with commas, or none."
            raise ImproperlyConfigured(message)
    return tuple(map(int, given))


def networks(name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks of a comma-separated list; none by default."""
    found = []
    for text in items(name):
        try:
            found.append(ip_network(text))
        except ValueError as error:
            message = f"{name} names {text!r}: give networks such as 10.1.0.0/16,fd00:1::/64."
            raise ImproperlyConfigured(message) from error
    return tuple(found)


def numbered_names(name: str, default: str) -> dict[int, str]:
    """Return the pairs of a list such as `71=python,63=javascript`."""
    found: dict[int, str] = {}
    for pair in items(name, default):
        number, _, value = pair.partition("=")
        if not (number.isascii() and number.isdecimal() and len(number) < 10 and value):
            message = f"{name} has {pair!r}: give pairs such as 71=python, with commas."
            raise ImproperlyConfigured(message)
        found[int(number)] = value
    return found


def required(name: str, because: str) -> str:
    """Return a text that is not empty; `because` is the setting that needs it."""
    if not (value := os.environ.get(name, "")):
        message = f"{name} is not set: {because} needs it."
        raise ImproperlyConfigured(message)
    return value


def proxies() -> int | tuple[str, ...]:
    """Return the number of proxies in front, or their addresses and networks."""
    given = items("STENCIL_PROXIES", "0")
    if len(given) == 1 and given[0].isdecimal() and len(given[0]) < 3:
        return int(given[0])
    for name in given:
        try:
            ip_network(name, strict=False)
        except ValueError as error:
            message = (
                f"STENCIL_PROXIES names {name!r}: give the number of proxies in front, or their "
                "addresses such as 10.0.0.5,10.1.0.0/16."
            )
            raise ImproperlyConfigured(message) from error
    return tuple(given)


def origin(name: str) -> str:
    """Return scheme and host of an http or https address, without its path."""
    parts = urlsplit(os.environ[name])
    if parts.scheme not in {"https", "http"} or not parts.netloc:
        message = f"{name} is {os.environ[name]!r}: give an address such as https://id.example.org."
        raise ImproperlyConfigured(message)
    return f"{parts.scheme}://{parts.netloc}"


def secret_key(data: Path, *, production: bool) -> str:
    """Return `STENCIL_SECRET_KEY`; in development a key made once, in a file of mode 0600."""
    given = os.environ.get("STENCIL_SECRET_KEY")
    if given:
        return given
    if production:
        message = "STENCIL_SECRET_KEY is not set: production needs a secret of its own."
        raise ImproperlyConfigured(message)
    path = data / "secret_key"
    data.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii")
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        key = secrets.token_urlsafe(48)
        file.write(key)
    return key
