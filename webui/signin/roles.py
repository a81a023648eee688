"""Four roles, as Django groups. What each may do is written here and nowhere else."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

LOOK = "templatemgr.view_template"  # what everybody with a role may do, and nobody without one


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role by name; `adds` is what it may do beyond the role before it."""

    name: str
    says: str
    adds: tuple[str, ...]


ROLES = (
    Role(
        name="viewer",
        says="sees everything but tokens, users and the machine; changes nothing",
        adds=(LOOK, "execapp.view_all_executions"),
    ),
    Role(
        name="operator",
        says="a viewer who also runs code, builds, verifies, heals and cancels",
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
        says="an operator who also promotes, rolls back and pins",
        adds=("templatemgr.promote_version", "templatemgr.pin_template"),
    ),
    Role(
        name="admin",
        says="a releaser who also manages tokens, users and gates, removes versions and exports "
        "the audit trail",
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
    """Everything that a role may do: what it adds, and what the roles before it do."""
    held = ROLES[: NAMES.index(name) + 1]
    return tuple(permission for role in held for permission in role.adds)


KNOWN = frozenset(permissions(ADMIN))


def least(permission: str) -> str:
    """The name of the first role that holds a permission."""
    return next(role.name for role in ROLES if permission in role.adds)


def of(user: User) -> Role | None:
    """The user's role, the highest of several; None without one. A superuser is an admin."""
    held = {group.name for group in user.groups.all()}
    if user.is_superuser:
        held.add(ADMIN)
    return next((role for role in reversed(ROLES) if role.name in held), None)


class May:
    """What a user may do, by the permission's codename: `{% if may.promote_version %}`.

    Works on codenames, so no two apps may share one. An unknown name is a KeyError.
    """

    _full = {permission.partition(".")[2]: permission for permission in KNOWN}

    def __init__(self, user: AbstractBaseUser | AnonymousUser) -> None:
        self._user = user

    def __getitem__(self, codename: str) -> bool:
        return allowed(self._user, self._full[codename])


def allowed(user: AbstractBaseUser | AnonymousUser, permission: str) -> bool:
    """Whether an active user holds the permission, by a role or as superuser."""
    return isinstance(user, User) and user.has_perm(permission)


def install(using: str) -> None:
    """Make the four groups, and give each exactly its permissions. Repeating it does nothing."""
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
    """Receive `post_migrate` of the last app, when every permission has its row."""
    install(using)
