"""Sign-in through the trusted OpenID Connect provider of the settings."""

from typing import Any

from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.http import HttpRequest

from webui.signin import record


class OidcAdapter(DefaultSocialAccountAdapter):
    """Decide which users of the provider can sign in, and their roles."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Return whether an unknown user gets an account."""
        return bool(settings.STENCIL_OIDC_SIGNUP)

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Connect an invited user by email address, if the provider has verified the address."""
        for each in sociallogin.email_addresses:
            each.verified = each.verified and _is_verified(sociallogin)
        if sociallogin.is_existing or request.user.is_authenticated:
            return
        verified = [each.email for each in sociallogin.email_addresses if each.verified]
        invited = (
            User.objects.filter(email__iexact=verified[0]) if verified else User.objects.none()
        )
        if len(found := list(invited[:2])) == 1:
            sociallogin.connect(request, found[0])

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """Create a user with the role of the settings."""
        user: User = super().save_user(request, sociallogin, form)
        role = settings.STENCIL_OIDC_ROLE
        if role != "none":
            user.groups.add(Group.objects.get(name=role))
        details = {"role": role, "by": "oidc"}
        record.changed(user=user.username, action="user.sign_up", details=details)
        return user


def _is_verified(sociallogin: SocialLogin) -> bool:
    """Return whether the claim `email_verified` is true. Some providers send it as text."""
    data: dict[str, Any] = sociallogin.account.extra_data or {}
    parts = [data, *(part for part in data.values() if isinstance(part, dict))]
    claims = [part["email_verified"] for part in parts if "email_verified" in part]
    return bool(claims) and all(value is True or value == "true" for value in claims)
