"""System checks of a production installation: unsafe settings, and silent failures."""

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

SHORTEST_SECRET = 32
FEWEST_CHARACTERS = 8


@register(Tags.security)
def check_production(**_kwargs: Any) -> list[CheckMessage]:
    """Check the settings with each command; in development nothing is checked."""
    return [*_secret(), *_hosts(), *_transport()] if settings.PRODUCTION else []


def _secret() -> list[CheckMessage]:
    secret = settings.SECRET_KEY
    if len(secret) >= SHORTEST_SECRET and len(set(secret)) >= FEWEST_CHARACTERS:
        return []
    return [
        Error(
            "STENCIL_SECRET_KEY can be guessed: sessions and links could be forged.",
            hint="Give 50 random characters, such as those of "
            "python -c 'import secrets; print(secrets.token_urlsafe(48))'.",
            id="webui.E001",
        )
    ]


def _hosts() -> list[CheckMessage]:
    if not settings.ALLOWED_HOSTS:
        return [
            Error(
                "STENCIL_ALLOWED_HOSTS is empty: every request is answered 400.",
                hint="Name the hosts that browsers and clients use, such as stencil.example.org.",
                id="webui.E002",
            )
        ]
    if "*" in settings.ALLOWED_HOSTS:
        return [
            checks.Warning(
                "STENCIL_ALLOWED_HOSTS allows any host: links could be made to lead elsewhere.",
                hint="Name the hosts that browsers and clients use.",
                id="webui.W001",
            )
        ]
    return []


def _transport() -> list[CheckMessage]:
    if not settings.STENCIL_HTTPS:
        return [
            checks.Warning(
                "STENCIL_HTTPS is 0: passwords, sessions and tokens travel in clear text.",
                hint="Put a proxy with a certificate in front, then leave it at 1.",
                id="webui.W002",
            )
        ]
    trusted = any(origin.startswith("https://") for origin in settings.CSRF_TRUSTED_ORIGINS)
    if settings.STENCIL_PROXIES or trusted:
        return []
    return [
        checks.Warning(
            "No setting tells that requests come over https: forms behind a proxy get status 403.",
            hint="Set STENCIL_PROXIES to the number of proxies in front, or to their addresses "
            "(they must set X-Forwarded-Proto and X-Forwarded-For), or name the address in "
            "STENCIL_TRUSTED_ORIGINS.",
            id="webui.W003",
        )
    ]
