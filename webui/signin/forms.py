"""Stricter versions of allauth's forms for second factors, configured by `MFA_FORMS`.

A code works once, and the reply of a passkey must come from Stencil's own origin.
"""

from collections.abc import Callable
from typing import Any

import allauth.mfa.base.forms
import allauth.mfa.webauthn.forms
from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import Error as AnyDatabaseError
from django.forms.fields import InvalidJSONInput
from fido2.utils import websafe_decode

from core import documents
from webui.signin import codes

# A passkey's reply has some twenty values. A certificate in it takes a few kilobytes.
LONGEST_CREDENTIAL = 64 * 1024
BUDGET = documents.Budget(values=200, depth=8)


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


class CredentialField(forms.JSONField):
    """The reply of a passkey: a small JSON object. A form that is shown again does not hold it."""

    def to_python(self, value: Any) -> Any:
        """Return the object. Raise ValidationError."""
        if not isinstance(value, str) or value in self.empty_values:
            return None
        try:
            if len(value) > LONGEST_CREDENTIAL:
                raise ValueError
            found = documents.loads(value.encode(), BUDGET)
        except ValueError:  # every error of the reader is one
            found = None
        if not isinstance(found, dict) or not isinstance(found.get("response"), dict):
            raise get_adapter().validation_error("incorrect_code")
        return found

    def bound_data(self, data: Any, initial: Any) -> Any:  # noqa: ARG002 - Django's signature
        """Return an empty text: the script of the page writes it anew."""
        return InvalidJSONInput("")


class _OwnOrigin(forms.Form):
    """Require Stencil's own origin in the reply of a passkey; refuse what cannot be read."""

    credential = CredentialField(widget=forms.HiddenInput)

    def clean_credential(self) -> Any:
        """Return allauth's value. Raise ValidationError."""
        check_origin(self.cleaned_data["credential"])
        inherited = getattr(super(), "clean_credential", None)
        return _refused(inherited) if inherited else self.cleaned_data["credential"]

    def clean(self) -> Any:
        """Return allauth's values. Raise ValidationError."""
        return _refused(super().clean)


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
        said = websafe_decode(credential["response"]["clientDataJSON"])
        claimed = documents.loads(said, BUDGET)["origin"]
    except (AttributeError, LookupError, TypeError, ValueError):
        claimed = None
    if not isinstance(claimed, str) or claimed not in own_origins():
        raise get_adapter().validation_error("incorrect_code")


def _refused[T](read: Callable[[], T]) -> T:
    """Return the result of `read`. Raise ValidationError if it fails on the passkey's reply.

    The libraries read nested binary formats of the client, and raise many types of errors.
    """
    try:
        return read()
    except (ValidationError, AnyDatabaseError):
        raise
    except Exception as error:
        raise get_adapter().validation_error("incorrect_code") from error


def own_origins() -> set[str]:
    """Return the origin of this request, and the same host with https if the settings trust it."""
    host = context.request.get_host()
    trusted = {f"https://{host}"} & set(settings.CSRF_TRUSTED_ORIGINS)
    return {f"{context.request.scheme}://{host}", *trusted}
