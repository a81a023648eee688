"""Stricter versions of allauth's forms for second factors, configured by `MFA_FORMS`.

A code works once, and the reply of a passkey must come from Stencil's own origin.
"""

import json
from typing import Any

import allauth.mfa.base.forms
import allauth.mfa.webauthn.forms
from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from fido2.utils import websafe_decode

from webui.signin import codes


class _Once:
    """Refuse a correct code that was used before."""

    authenticator: Authenticator

    def clean_code(self) -> str:
        """Return the code. Raise ValidationError."""
        code: str = super().clean_code()  # type: ignore[misc]
        found = self.authenticator
        if found.type == Authenticator.Type.TOTP and not codes.claim(
            authenticator=found, code=code
        ):
            self._emit_authentication_failed(found)  # type: ignore[attr-defined]
            raise get_adapter().validation_error("incorrect_code")
        return code


class AuthenticateForm(_Once, allauth.mfa.base.forms.AuthenticateForm):
    """The second step of a sign-in."""


class ReauthenticateForm(_Once, allauth.mfa.base.forms.ReauthenticateForm):
    """The second step again, before an important action."""


class _OwnOrigin:
    """Require Stencil's own origin in the reply of a passkey."""

    cleaned_data: dict[str, Any]

    def clean_credential(self) -> Any:
        """Return allauth's value. Raise ValidationError."""
        check_origin(self.cleaned_data["credential"])
        inherited = getattr(super(), "clean_credential", None)
        return inherited() if inherited else self.cleaned_data["credential"]


class AuthenticateWebAuthnForm(_OwnOrigin, allauth.mfa.webauthn.forms.AuthenticateWebAuthnForm):
    """A passkey as the second step."""


class LoginWebAuthnForm(_OwnOrigin, allauth.mfa.webauthn.forms.LoginWebAuthnForm):
    """A passkey as the only factor."""


class ReauthenticateWebAuthnForm(_OwnOrigin, allauth.mfa.webauthn.forms.ReauthenticateWebAuthnForm):
    """A passkey, before an important action."""


class AddWebAuthnForm(_OwnOrigin, allauth.mfa.webauthn.forms.AddWebAuthnForm):
    """A new passkey."""


def check_origin(credential: Any) -> None:
    """Raise ValidationError for a passkey's reply to a page of another host, scheme or port.

    Browsers offer a passkey to every port and subdomain of its host.
    """
    try:
        claimed = json.loads(websafe_decode(credential["response"]["clientDataJSON"]))["origin"]
    except (KeyError, TypeError, ValueError):
        claimed = None
    if not isinstance(claimed, str) or claimed not in own_origins():
        raise get_adapter().validation_error("incorrect_code")


def own_origins() -> set[str]:
    """Return the origin of this request, and the same host with https if the settings trust it."""
    host = context.request.get_host()
    trusted = {f"https://{host}"} & set(settings.CSRF_TRUSTED_ORIGINS)
    return {f"{context.request.scheme}://{host}", *trusted}
