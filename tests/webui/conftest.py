"""Signed-in clients, and rows of every kind without a build having run."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from templatemgr.models import Build, BuildLogLine, Promotion, Template, Version, VersionHealth

PACKAGES = {"typescript": "7.0.2", "vitest": "5.1.0", "zod": "4.6.7"}


@pytest.fixture(autouse=True)
def static_root(settings: Settings) -> None:
    """The folder that whitenoise looks for when a client starts; nothing is collected into it."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@pytest.fixture
def data_dir(tmp_path: Path, settings: Settings) -> Path:
    """A data directory of this test's own."""
    settings.STENCIL_DATA = tmp_path / "var"
    settings.STENCIL_DATA.mkdir()
    return tmp_path / "var"


@pytest.fixture
def admin_user(db: None) -> User:
    """A person who may change things."""
    return make_user("ada", "admin")


@pytest.fixture
def admin(admin_user: User, data_dir: Path) -> Client:
    """A browser of somebody who may change things."""
    client = Client()
    client.force_login(admin_user)
    return client


@pytest.fixture
def viewer(db: None, data_dir: Path) -> Client:
    """A browser of somebody who may only look."""
    client = Client()
    client.force_login(make_user("vic", "viewer"))
    return client


@pytest.fixture
def releaser(db: None, data_dir: Path) -> Client:
    """A browser of somebody who may promote, and not past a closed gate."""
    client = Client()
    client.force_login(make_user("rex", "releaser"))
    return client


@pytest.fixture
def student(db: None, data_dir: Path) -> Client:
    """A browser of somebody with permissions of their own: runs code, sees what is theirs."""
    user = make_user("sue")
    codenames = ("view_template", "submit_execution", "cancel_execution")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def make_user(name: str, role: str = "") -> User:
    """A user in a role; in none when it is empty."""
    user = User.objects.create_user(name, password="x")
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


def packages(direct: Sequence[str] = ("typescript", "vitest"), **moved: str) -> list[Any]:
    """The usual packages, some at other versions."""
    return [
        {"name": name, "version": version, "direct": name in direct}
        for name, version in (PACKAGES | moved).items()
    ]


def make_template(name: str = "typescript", **values: Any) -> Template:
    """A template's row."""
    template, _ = Template.objects.get_or_create(
        name=name, defaults={"title": values.pop("title", "TypeScript"), **values}
    )
    return template


def make_build(template: Template, state: str = "ready", **values: Any) -> Build:
    """A build that took 19 seconds, ten minutes ago; it has no end while it is running."""
    started = values.pop("started_at", timezone.now() - timedelta(minutes=10))
    ended = state in {"ready", "reproduced", "failed", "cancelled", "interrupted"}
    return Build.objects.create(
        template=template,
        kind=values.pop("kind", "rebuild"),
        state=state,
        requested_by="ada",
        created_at=started,
        started_at=None if state == "queued" else started,
        finished_at=started + timedelta(seconds=19) if ended else None,
        **values,
    )


def make_version(template: Template, number: int = 0, **values: Any) -> Version:
    """A ready version with its health, numbered after the last one."""
    number = number or template.versions.count() + 1
    digest = sha256(f"{template.name} {number}".encode()).hexdigest()
    health = values.pop("health", "verified")
    problems = values.pop("problems", [])
    fields: dict[str, Any] = {
        "identity": digest,
        "tree_digest": digest[::-1],
        "definition_digest": sha256(b"definition").hexdigest(),
        "cache_digest": sha256(b"cache").hexdigest(),
        "platform": "linux-x64-glibc",
        "size_bytes": 262_000_000,
        "own_bytes": 5_100_000,
        "file_count": 3914,
        "packages": packages(),
        "toolchain": "Node 24.19.0, vitest 5.1.1",
        "smoke": [{"case": "run", "state": "succeeded", "ok": True, "ms": 412.0}],
        "created_by": "ada",
        "created_at": timezone.now() - timedelta(minutes=10),
    }
    version = Version.objects.create(
        template=template,
        number=number,
        directory=f"versions/{number:04d}-{digest[:12]}",
        build=values.pop("build", None) or make_build(template),
        **(fields | values),
    )
    VersionHealth.objects.create(
        version=version,
        state=health,
        problems=problems,
        checked_at=timezone.now() - timedelta(minutes=6),
        checked_by="ada",
    )
    return version


def make_current(version: Version, reason: str = "first one") -> Promotion:
    """Make a version current as a promotion does, without its gates."""
    template = Template.objects.get(pk=version.template_id)
    promotion = Promotion.objects.create(
        template=template,
        from_version=template.current,
        to_version=version,
        actor="ada",
        reason=reason,
        kind="promote",
    )
    template.current = version
    template.save()
    return promotion


def make_lines(build: Build, *texts: str, time: datetime | None = None) -> list[BuildLogLine]:
    """Lines of a build's log, numbered from 1."""
    return BuildLogLine.objects.bulk_create(
        BuildLogLine(
            build=build,
            sequence=number,
            time=time or timezone.now(),
            step="fetching",
            stream="stdout",
            text=text,
        )
        for number, text in enumerate(texts, start=1)
    )
