"""allauth's forms of second factors, stricter in two points: a code counts once, a passkey's answer
comes from our own origin. Named by `MFA_FORMS`.
"""

import json
from typing import Any

from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base import forms as base
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn import forms as webauthn
from django.conf import settings
from fido2.utils import websafe_decode

from webui.signin import codes


class _Once:
    """A right code is refused when it was used before."""

    authenticator: Authenticator

    def clean_code(self) -> str:
        """The code. Raises ValidationError."""
        code: str = super().clean_code()  # type: ignore[misc]
        found = self.authenticator
        if found.type == Authenticator.Type.TOTP and not codes.claim(
            authenticator=found, code=code
        ):
            self._emit_authentication_failed(found)  # type: ignore[attr-defined]
            raise get_adapter().validation_error("incorrect_code")
        return code


class AuthenticateForm(_Once, base.AuthenticateForm):
    """The second step of a sign-in."""


class ReauthenticateForm(_Once, base.ReauthenticateForm):
    """The same, asked again."""


class _OwnOrigin:
    """A passkey's answer says at which address the browser was: it must be ours."""

    cleaned_data: dict[str, Any]

    def clean_credential(self) -> Any:
        """What allauth makes of it. Raises ValidationError."""
        check_origin(self.cleaned_data["credential"])
        inherited = getattr(super(), "clean_credential", None)
        return inherited() if inherited else self.cleaned_data["credential"]


class AuthenticateWebAuthnForm(_OwnOrigin, webauthn.AuthenticateWebAuthnForm):
    """A passkey as the second step."""


class LoginWebAuthnForm(_OwnOrigin, webauthn.LoginWebAuthnForm):
    """A passkey alone."""


class ReauthenticateWebAuthnForm(_OwnOrigin, webauthn.ReauthenticateWebAuthnForm):
    """A passkey, asked again."""


class AddWebAuthnForm(_OwnOrigin, webauthn.AddWebAuthnForm):
    """A new passkey."""


def check_origin(credential: Any) -> None:
    """Refuse an answer that a page of another address, scheme or port got from the browser.

    Browsers let every port, and every subdomain, of a passkey's host ask for it.
    """
    try:
        said = json.loads(websafe_decode(credential["response"]["clientDataJSON"]))["origin"]
    except (KeyError, TypeError, ValueError):
        said = None
    if not isinstance(said, str) or said not in own_origins():
        raise get_adapter().validation_error("incorrect_code")


def own_origins() -> set[str]:
    """Where this request came in; the same host by https, if the settings trust it."""
    host = context.request.get_host()
    trusted = {f"https://{host}"} & set(settings.CSRF_TRUSTED_ORIGINS)
    return {f"{context.request.scheme}://{host}", *trusted}
