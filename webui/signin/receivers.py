"""Record changes of second factors. allauth reports them only by signals."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.mfa import signals
from django.contrib.auth.models import User
from django.http import HttpRequest

from webui.signin import record


def connect() -> None:
    """Connect the receivers. Call once at start."""
    signals.authentication_failed.connect(on_failed, dispatch_uid="webui.mfa.failed")
    signals.authenticator_added.connect(on_added, dispatch_uid="webui.mfa.added")
    signals.authenticator_removed.connect(on_removed, dispatch_uid="webui.mfa.removed")
    signals.authenticator_reset.connect(on_reset, dispatch_uid="webui.mfa.reset")


def on_failed(*, request: HttpRequest, user: User, authenticator: Any, **_kwargs: Any) -> None:
    """Record a wrong code."""
    ip = get_adapter().get_client_ip(request)
    record.failed(name=user.username, ip=ip, by=str(authenticator.type))


def on_added(*, user: User, authenticator: Any, **_kwargs: Any) -> None:
    """Record a new authenticator app, passkey, or recovery codes."""
    if authenticator.type == "totp":
        from webui.signin import codes  # the cryptography below it takes long to load

        codes.begin(authenticator=authenticator)
    _changed(user, "user.factor_add", authenticator)


def on_removed(*, user: User, authenticator: Any, **_kwargs: Any) -> None:
    """Record a removed factor."""
    _changed(user, "user.factor_remove", authenticator)


def on_reset(*, user: User, authenticator: Any, **_kwargs: Any) -> None:
    """Record new recovery codes, which replace the old ones."""
    _changed(user, "user.factor_renew", authenticator)


def _changed(user: User, action: str, authenticator: Any) -> None:
    record.changed(user=user.username, action=action, details={"factor": str(authenticator.type)})
