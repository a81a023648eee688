"""The first admin and the first token, made once and kept in a file of mode 0600."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction

from execapp.services import tokens
from webui.signin import roles

ALL_SCOPES = ("execute", "read", "templates", "admin")


@dataclass(frozen=True, kw_only=True)
class Admin:
    """The admin in `credentials.json`."""

    username: str
    password: str


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The content of `credentials.json`: the address, the admin and a token."""

    url: str
    admin: Admin
    token: str


def path() -> Path:
    """Return the path of the file."""
    return Path(settings.STENCIL_DATA) / "credentials.json"


def base_url() -> str:
    """Return the address that a client on this machine uses."""
    host = settings.STENCIL_HOST
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{settings.STENCIL_PORT}"


def load() -> Credentials | None:
    """Return the credentials of an earlier start with the present address; None without a file."""
    try:
        data = json.loads(path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    found = Credentials(url=base_url(), admin=Admin(**data["admin"]), token=data["token"])
    if found.url != data["url"]:
        _write(found)
    return found


def create() -> Credentials | None:
    """Make the admin and a token with every scope; return None if an admin exists already."""
    users = get_user_model().objects
    if users.filter(username="admin").exists():
        return None
    password = secrets.token_urlsafe(12)
    with transaction.atomic():
        admin = users.create_superuser(username="admin", password=password)
        admin.groups.add(Group.objects.get(name=roles.ADMIN))
        _, token = tokens.create(name="admin", scopes=list(ALL_SCOPES), actor="make up")
        made = Credentials(
            url=base_url(), admin=Admin(username="admin", password=password), token=token
        )
        # Written before the commit: otherwise a crash leaves an admin whose password is lost.
        _write(made)
    return made


def _write(credentials: Credentials) -> None:
    temporary = path().with_suffix(".json.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(credentials), file, indent=2)
        file.write("\n")
    temporary.replace(path())
