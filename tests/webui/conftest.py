"""Fixtures: signed-in clients, and rows of every kind without a build."""

from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django import Settings

from tests.factories import make_user


@pytest.fixture(autouse=True)
def static_root(settings: Settings) -> None:
    """Make the folder that whitenoise reads when a client starts; it stays empty."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@pytest.fixture
def data_dir(tmp_path: Path, settings: Settings) -> Path:
    """Return an empty data directory."""
    settings.STENCIL_DATA = tmp_path / "var"
    settings.STENCIL_DATA.mkdir()
    return tmp_path / "var"


@pytest.fixture
def admin_user(db: None) -> User:
    """Return a user who may change things."""
    return make_user("ada", "admin")


@pytest.fixture
def admin(admin_user: User, data_dir: Path) -> Client:
    """Return the browser of a user who may change things."""
    client = Client()
    client.force_login(admin_user)
    return client


@pytest.fixture
def viewer(db: None, data_dir: Path) -> Client:
    """Return the browser of a user who may only read."""
    client = Client()
    client.force_login(make_user("vic", "viewer"))
    return client


@pytest.fixture
def releaser(db: None, data_dir: Path) -> Client:
    """Return the browser of a user who may promote, but not override a closed gate."""
    client = Client()
    client.force_login(make_user("rex", "releaser"))
    return client


@pytest.fixture
def student(db: None, data_dir: Path) -> Client:
    """Return the browser of a user who may run code and see only their own executions."""
    user = make_user("sue")
    codenames = ("view_template", "submit_execution", "cancel_execution")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client
