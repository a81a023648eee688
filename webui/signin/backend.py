"""Who is who, and what they may do."""

from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.auth.models import Permission, User
from django.db.models import Model, Q


class Backend(AuthenticationBackend):
    """Django's permissions by one query a request, where it takes two: each page asks."""

    def get_all_permissions(self, user_obj: User, obj: Model | None = None) -> set[str]:
        """Everything that an active user holds, by groups and of their own."""
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
