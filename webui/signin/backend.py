"""The authentication backend: sign-in by allauth, permissions in one query."""

from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.auth.models import Permission, User
from django.db.models import Model, Q


class Backend(AuthenticationBackend):
    """Read Django's permissions in one query per request instead of two; each page needs them."""

    def get_all_permissions(self, user_obj: User, obj: Model | None = None) -> set[str]:
        """Return all permissions of an active user, from groups and their own."""
        if not user_obj.is_active or user_obj.is_anonymous or obj is not None:
            return set()
        held: set[str] | None = user_obj.__dict__.get("_perm_cache")
        if held is None:
            rows = Permission.objects.all()
            if not user_obj.is_superuser:
                rows = rows.filter(Q(group__user=user_obj) | Q(user=user_obj))
            pairs = rows.order_by().values_list("content_type__app_label", "codename")
            held = user_obj.__dict__["_perm_cache"] = {f"{app}.{name}" for app, name in pairs}
        return held
