"""Addresses of users and tokens."""

from django.urls import path

from webui.access import token_views, user_views

urlpatterns = [
    path("tokens", token_views.index, name="tokens"),
    path("tokens/<uuid:token_id>", token_views.detail, name="token"),
    path("tokens/<uuid:token_id>/pins", token_views.pin, name="pin_token"),
    path("tokens/<uuid:token_id>/limits", token_views.change_limits, name="token_limits"),
    path("tokens/<uuid:token_id>/rotate", token_views.rotate, name="rotate_token"),
    path("tokens/<uuid:token_id>/end-grace", token_views.end_grace, name="token_end_grace"),
    path(
        "tokens/<uuid:token_id>/callback-secret",
        token_views.signing_secret,
        name="signing_secret",
    ),
    path(
        "tokens/<uuid:token_id>/rotate-callback-secret",
        token_views.rotate_signing_secret,
        name="rotate_signing_secret",
    ),
    path("tokens/<uuid:token_id>/revoke", token_views.revoke, name="revoke_token"),
    path("users", user_views.index, name="users"),
    path("users/<int:user_id>", user_views.detail, name="user"),
    path("users/<int:user_id>/link", user_views.link, name="user_link"),
    path("users/<int:user_id>/role", user_views.change_role, name="change_role"),
    path("users/<int:user_id>/deactivate", user_views.deactivate, name="deactivate_user"),
    path("users/<int:user_id>/activate", user_views.activate, name="activate_user"),
    path("users/<int:user_id>/factor", user_views.reset_second_factor, name="reset_factor"),
]
