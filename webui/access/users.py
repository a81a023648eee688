"""Invite users, change their roles, deactivate them.

No user is deleted, because the audit trail names them. Each function records its event.
"""

from collections.abc import Mapping
from typing import Any

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.urls import reverse

from core import actors
from templatemgr import audit
from webui.signin import roles, sessions

LONGEST_NAME = 150


class UserError(Exception):
    """A change of a user is refused; `message` says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UnknownUserError(UserError):
    """No user has this id."""


class InvalidUserError(UserError):
    """Values of a new user are refused; `problems` has a message by field."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


def invite(*, name: str, role: str, actor: str, email: str = "") -> User:
    """Create a user without a password; `link` lets them set one. Raises InvalidUserError."""
    user = User(username=name, email=email)
    user.set_unusable_password()
    problems = _problems(user, role)
    if problems:
        raise InvalidUserError(problems)
    with transaction.atomic():
        user.save(force_insert=True)
        user.groups.add(Group.objects.get(name=role))
        _record(actor, "user.invite", user, {"role": role})
    return user


def link(*, user: User, actor: str) -> str:
    """Return the path where the user sets a password. It works once, within three days.

    Raises UserError for a deactivated user.
    """
    if not user.is_active:
        message = f"{user} is deactivated: activate them first."
        raise UserError(message)
    with transaction.atomic():
        _record(actor, "user.link", user, {})
    uid = user_pk_to_url_str(user)
    key = default_token_generator.make_token(user)
    return reverse("account_reset_password_from_key", kwargs={"uidb36": uid, "key": key})


def change_role(*, user: User, role: str, actor: str) -> User:
    """Replace the user's role; "none" removes it.

    Raises UserError for the actor's own role, for the last admin, and for an unknown role.
    """
    if role not in {*roles.NAMES, "none"}:
        message = f"There is no role {role!r}."
        raise UserError(message)
    _not_oneself(user, actor, "change your own role")
    with transaction.atomic():
        row = _locked(user)
        before = roles.of(row)
        if role != roles.ADMIN:
            _keep_an_admin(row)
        row.groups.remove(*Group.objects.filter(name__in=roles.NAMES))
        if role != "none":
            row.groups.add(Group.objects.get(name=role))
        row.is_superuser = row.is_staff = False
        row.save(update_fields=["is_superuser", "is_staff"])
        details = {"from": before.name if before else "none", "to": role}
        _record(actor, "user.role", row, details)
    return row


def deactivate(*, user: User, actor: str) -> User:
    """Deactivate a user and end their sessions. Idempotent.

    Raises UserError for the actor's own account and for the last admin.
    """
    _not_oneself(user, actor, "deactivate yourself")
    with transaction.atomic():
        row = _locked(user)
        if row.is_active:
            _keep_an_admin(row)
            row.is_active = False
            row.save(update_fields=["is_active"])
            _record(actor, "user.deactivate", row, {"sessions": sessions.end(row)})
    return row


def activate(*, user: User, actor: str) -> User:
    """Activate a deactivated user. Idempotent."""
    with transaction.atomic():
        row = _locked(user)
        if not row.is_active:
            row.is_active = True
            row.save(update_fields=["is_active"])
            _record(actor, "user.activate", row, {})
    return row


def reset_second_factor(*, user: User, actor: str) -> int:
    """Remove the user's authenticator app, passkeys and recovery codes; return how many."""
    with transaction.atomic():
        row = _locked(user)
        rows = Authenticator.objects.filter(user=row)
        types = sorted(rows.values_list("type", flat=True))
        if types:
            rows.delete()
            details = {"factors": types, "sessions": sessions.end(row)}
            _record(actor, "user.factor_reset", row, details)
    return len(types)


def _locked(user: User) -> User:
    # The row of the admins' group locks every change of roles. Otherwise two admins could demote
    # each other at the same moment.
    Group.objects.select_for_update().get(name=roles.ADMIN)
    return User.objects.select_for_update().get(pk=user.pk)


def _keep_an_admin(row: User) -> None:
    admins = User.objects.filter(Q(groups__name=roles.ADMIN) | Q(is_superuser=True))
    active = admins.filter(is_active=True)
    if active.filter(pk=row.pk).exists() and not active.exclude(pk=row.pk).exists():
        message = f"{row} is the last admin. Give another user the role admin first."
        raise UserError(message)


def _not_oneself(user: User, actor: str, act: str) -> None:
    if user.username == actor:
        message = f"You cannot {act}: ask another admin."
        raise UserError(message)


def _problems(user: User, role: str) -> dict[str, str]:
    """Return a message by field. Only a valid value is looked up: databases bound a pattern."""
    problems: dict[str, str] = {}
    try:
        User._meta.get_field("username").clean(user.username, user)
    except ValidationError:
        problems["name"] = "Give 1 to 150 letters, digits or any of @ . + - _"
    if len(user.username) <= LONGEST_NAME and actors.stands_for_system(user.username):
        problems["name"] = actors.SAYS
    elif not problems and User.objects.filter(username__iexact=user.username).exists():
        problems["name"] = "This name is already taken."
    if user.email:
        try:
            User._meta.get_field("email").clean(user.email, user)
        except ValidationError:
            problems["email"] = "Enter a valid email address."
        else:
            if User.objects.filter(email__iexact=user.email).exists():
                problems["email"] = "This email address is already taken."
    if role not in roles.NAMES:
        problems["role"] = f"Choose one of {', '.join(roles.NAMES)}."
    return problems


def _record(actor: str, action: str, user: User, details: dict[str, Any]) -> None:
    audit.append(actor=actor, action=action, object=user.username, details=details)
