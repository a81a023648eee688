"""Changes to django-allauth in the hooks of its adapter."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.core import context
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, Group, User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse

from webui.signin import names, record, roles


class AccountAdapter(DefaultAccountAdapter):
    """Local users by name. The audit trail records each sign-in."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "account_inactive": "This account is deactivated. Ask an admin.",
        "incorrect_password": "The password is wrong.",
        "invalid_password_reset": "This link was used or is too old. Ask an admin for a new one.",
        "too_many_login_attempts": "Too many failed sign-ins. Wait a few minutes.",
        "username_password_mismatch": "User name or password is wrong.",
        "rate_limited": "Too many attempts. Wait a minute.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Return STENCIL_SIGNUP."""
        return bool(settings.STENCIL_SIGNUP)

    def clean_username(self, username: str, shallow: bool = False) -> str:
        """Refuse Stencil's own names at sign-up and at single sign-on."""
        names.validate_from_outside(username)
        cleaned: str = super().clean_username(username, shallow=shallow)
        return cleaned

    def save_user(
        self, request: HttpRequest, user: User, form: Any, commit: bool = True
    ) -> AbstractBaseUser:
        """Give the role viewer to a user who signs up."""
        saved: AbstractBaseUser = super().save_user(request, user, form, commit=commit)
        if commit:
            user.groups.add(Group.objects.get(name=roles.NAMES[0]))
            details = {"role": roles.NAMES[0], "ip": self.get_client_ip(request)}
            record.changed(user=user.username, action="user.sign_up", details=details)
        return saved

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the attempt. A lockout is recorded once in the audit trail."""
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            record.locked_out(
                name=credentials.get("username", ""),
                ip=self.get_client_ip(request),
                seconds=settings.STENCIL_LOCKOUT_SECONDS,
            )
            raise

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Record a failed sign-in."""
        ip = self.get_client_ip(request)
        record.failed(name=credentials.get("username", ""), ip=ip, by="password")

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        """Record a sign-in and the factors it used."""
        methods = [
            str(each.get("type") or each["method"])
            for each in get_authentication_records(request, user)
        ]
        ip = self.get_client_ip(request)
        record.signed_in(user=user.username, ip=ip, methods=methods)
        response: HttpResponse = super().post_login(request, user, **kwargs)
        return response

    def set_password(self, user: User, password: str) -> None:
        """Set a password, record it, and reset the count of failed sign-ins."""
        super().set_password(user, password)
        request = context.request
        details = {"ip": self.get_client_ip(request)}
        record.changed(user=user.username, action="user.password", details=details)
        self._delete_login_attempts_cached_email(request, username=user.username)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Return the account page."""
        return "/account"
