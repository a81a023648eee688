"""Addresses of sign-in and of the user's own account.

The addresses of allauth for email and, by default, for sign-up are omitted. allauth resolves these
names itself. Its views are imported at their first request: the import of their cryptography takes
50 ms, and commands and the API do not need it.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.utils.module_loading import import_string

from webui.signin import account_views


def later(name: str) -> Callable[..., HttpResponseBase]:
    """Return a view that imports allauth's view of this name at its first request."""

    def view(request: HttpRequest, **kwargs: object) -> HttpResponseBase:
        found: HttpResponseBase = import_string(f"allauth.{name}")(request, **kwargs)
        return found

    return view


urlpatterns: list[URLPattern | URLResolver] = [
    path("login", later("account.views.login"), name="account_login"),
    path("login", later("account.views.login"), name="account_reset_password_from_key_done"),
    path("login/code", later("mfa.base.views.authenticate"), name="mfa_authenticate"),
    path("login/passkey", later("mfa.webauthn.views.login_webauthn"), name="mfa_login_webauthn"),
    path("login/inactive", later("account.views.account_inactive"), name="account_inactive"),
    path("logout", later("account.views.logout"), name="account_logout"),
    re_path(
        r"^welcome/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)$",
        later("account.views.password_reset_from_key"),
        name="account_reset_password_from_key",
    ),
    path("account", account_views.index, name="account"),
    path("account", account_views.index, name="mfa_index"),
    path("account", account_views.index, name="mfa_list_webauthn"),
    path("account/sessions/end", account_views.end_sessions, name="end_sessions"),
    path(
        "account/password", later("account.views.password_change"), name="account_change_password"
    ),
    path("account/password/set", later("account.views.password_set"), name="account_set_password"),
    path("account/confirm", later("account.views.reauthenticate"), name="account_reauthenticate"),
    path("account/confirm/code", later("mfa.base.views.reauthenticate"), name="mfa_reauthenticate"),
    path(
        "account/confirm/passkey",
        later("mfa.webauthn.views.reauthenticate_webauthn"),
        name="mfa_reauthenticate_webauthn",
    ),
    path("account/app/add", later("mfa.totp.views.activate_totp"), name="mfa_activate_totp"),
    path("account/app/remove", later("mfa.totp.views.deactivate_totp"), name="mfa_deactivate_totp"),
    path("account/passkeys/add", later("mfa.webauthn.views.add_webauthn"), name="mfa_add_webauthn"),
    path(
        "account/passkeys/<int:pk>/edit",
        later("mfa.webauthn.views.edit_webauthn"),
        name="mfa_edit_webauthn",
    ),
    path(
        "account/passkeys/<int:pk>/remove",
        later("mfa.webauthn.views.remove_webauthn"),
        name="mfa_remove_webauthn",
    ),
    path(
        "account/codes",
        later("mfa.recovery_codes.views.view_recovery_codes"),
        name="mfa_view_recovery_codes",
    ),
    path(
        "account/codes/new",
        later("mfa.recovery_codes.views.generate_recovery_codes"),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "account/codes/download",
        later("mfa.recovery_codes.views.download_recovery_codes"),
        name="mfa_download_recovery_codes",
    ),
]
if settings.STENCIL_SIGNUP:
    urlpatterns.append(path("signup", later("account.views.signup"), name="account_signup"))
if settings.STENCIL_OIDC_ISSUER:
    urlpatterns += [
        path("account/sso/", include("allauth.socialaccount.urls")),
        path("", include("allauth.socialaccount.providers.openid_connect.urls")),
    ]
