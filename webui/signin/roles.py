"""Four roles, as Django groups, with the permissions of each."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

LOOK = "templatemgr.view_template"  # the permission of every role


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role. `adds` are the permissions that the previous role lacks."""

    name: str
    description: str
    adds: tuple[str, ...]


ROLES = (
    Role(
        name="viewer",
        description="sees everything but tokens, users and the machine; changes nothing",
        adds=(LOOK, "execapp.view_all_executions"),
    ),
    Role(
        name="operator",
        description="a viewer who also runs code, builds, verifies, heals and cancels",
        adds=(
            "execapp.submit_execution",
            "execapp.cancel_execution",
            "templatemgr.build_version",
            "templatemgr.verify_version",
            "templatemgr.heal_version",
            "templatemgr.verify_audit",
            "webui.view_system",
        ),
    ),
    Role(
        name="releaser",
        description="an operator who also promotes, rolls back and pins",
        adds=("templatemgr.promote_version", "templatemgr.pin_template"),
    ),
    Role(
        name="admin",
        description="a releaser who also manages tokens, users and gates, removes versions and "
        "exports the audit trail",
        adds=(
            "templatemgr.override_gates",
            "templatemgr.change_gate_policy",
            "templatemgr.remove_version",
            "templatemgr.export_audit",
            "execapp.manage_tokens",
            "webui.manage_users",
        ),
    ),
)
NAMES = tuple(role.name for role in ROLES)
ADMIN = NAMES[-1]


def permissions(name: str) -> tuple[str, ...]:
    """Return all permissions of a role: its own, and those of lower roles."""
    held = ROLES[: NAMES.index(name) + 1]
    return tuple(permission for role in held for permission in role.adds)


KNOWN = frozenset(permissions(ADMIN))


def least(permission: str) -> str:
    """Return the name of the lowest role with a permission."""
    return next(role.name for role in ROLES if permission in role.adds)


def of(user: User) -> Role | None:
    """Return the highest role of a user; None without a role. A superuser is an admin."""
    held = {group.name for group in user.groups.all()}
    if user.is_superuser:
        held.add(ADMIN)
    return next((role for role in reversed(ROLES) if role.name in held), None)


class May:
    """A user's permissions by codename, for templates: `{% if may.promote_version %}`.

    Codenames are unique over all apps. Raise KeyError for an unknown codename.
    """

    _full = {permission.partition(".")[2]: permission for permission in KNOWN}

    def __init__(self, user: AbstractBaseUser | AnonymousUser) -> None:
        self._user = user

    def __getitem__(self, codename: str) -> bool:
        return allowed(self._user, self._full[codename])


def allowed(user: AbstractBaseUser | AnonymousUser, permission: str) -> bool:
    """Return whether an active user has the permission, by a role or as superuser."""
    return isinstance(user, User) and user.has_perm(permission)


def install(using: str) -> None:
    """Create the four groups with exactly their permissions. Idempotent.

    Raise ImproperlyConfigured if a permission has no row.
    """
    rows = Permission.objects.using(using).select_related("content_type")
    ids = {f"{row.content_type.app_label}.{row.codename}": row.pk for row in rows}
    missing = sorted(KNOWN - ids.keys())
    if missing:
        message = f"Permissions are missing: {', '.join(missing)}. Run makemigrations."
        raise ImproperlyConfigured(message)
    with transaction.atomic(using=using):
        for role in ROLES:
            group, _ = Group.objects.using(using).get_or_create(name=role.name)
            wanted = {ids[permission] for permission in permissions(role.name)}
            if set(group.permissions.values_list("pk", flat=True)) != wanted:
                group.permissions.set(wanted)


def install_after_migrate(*, using: str, **_kwargs: Any) -> None:
    """Receive `post_migrate` of the last app, when each permission has its row."""
    install(using)
