"""What we do differently from django-allauth, through the hooks that it has for it."""

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
    """Local users, by name; every sign-in on record."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "account_inactive": "This account is deactivated. Ask an admin.",
        "incorrect_password": "That is not your password.",
        "invalid_password_reset": "This link was used, or is too old. Ask an admin for another.",
        "too_many_login_attempts": "Too many failed sign-ins. Wait a few minutes.",
        "username_password_mismatch": "That user and password do not belong together.",
        "rate_limited": "Too many tries. Wait a minute.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Only when the setting says so."""
        return bool(settings.STENCIL_SIGNUP)

    def clean_username(self, username: str, shallow: bool = False) -> str:
        """Names of Stencil's own are refused: of who signs up, and of who comes by OIDC."""
        names.validate_from_outside(username)
        cleaned: str = super().clean_username(username, shallow=shallow)
        return cleaned

    def save_user(
        self, request: HttpRequest, user: User, form: Any, commit: bool = True
    ) -> AbstractBaseUser:
        """Who signs up becomes a viewer."""
        saved: AbstractBaseUser = super().save_user(request, user, form, commit=commit)
        if commit:
            user.groups.add(Group.objects.get(name=roles.NAMES[0]))
            details = {"role": roles.NAMES[0], "ip": self.get_client_ip(request)}
            record.changed(user=user.username, action="user.sign_up", details=details)
        return saved

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the try; when there were too many, say so once in the audit trail."""
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
        """A user and a password that do not belong together."""
        ip = self.get_client_ip(request)
        record.failed(name=credentials.get("username", ""), ip=ip, by="password")

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        """Signed in, with the second factor where there is one."""
        methods = [
            str(each.get("type") or each["method"])
            for each in get_authentication_records(request, user)
        ]
        ip = self.get_client_ip(request)
        record.signed_in(user=user.username, ip=ip, methods=methods)
        response: HttpResponse = super().post_login(request, user, **kwargs)
        return response

    def set_password(self, user: User, password: str) -> None:
        """Changed by its owner, or set by a link. Failed sign-ins before it count no more."""
        super().set_password(user, password)
        request = context.request
        details = {"ip": self.get_client_ip(request)}
        record.changed(user=user.username, action="user.password", details=details)
        self._delete_login_attempts_cached_email(request, username=user.username)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Back to the account."""
        return "/account"
