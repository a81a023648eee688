"""Test that names of Stencil itself are refused at every entrance that takes a name."""

import io
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from allauth.account.adapter import get_adapter
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.test import Client
from pytest_django import Settings

from core import actors
from execapp.errors import InvalidRequestError
from execapp.services import rotation, tokens
from tests import factories
from tests.webui.signin.test_single_sign_on import Provider, come_in, provider  # noqa: F401 - a fixture
from webui.access import users

# As they are, and as people would write them to be taken for them.
LOOKS = [
    "executor",
    "Executor",
    "EXECUTOR",
    "exec_utor",
    "executor.",
    "еxecutor",
    "ехесutor",
    "exécutor",
    "ｅｘｅｃｕｔｏｒ",
    "execut0r",
    "doctor",
    "d0ct0r",
    "ⅾoctor",
    "stencil",
    "St3ncil",
    "stencіl",
    "cli",
    "CLI",
    "c1i",
    "сӏі",
    "system",
    "systern",
    "ѕуѕtеm",
    "command-line",
    "command.line",
    "make_up",
    "unknown_user",
]
SPACED = ["make up", "command line", "exec utor", "Unknown User"]
HIDDEN = ["exec\u200butor", " executor", "executor\u00a0", "e\u0301xecutor", "𝐝𝐨𝐜𝐭𝐨𝐫"]
ADMINS = ["admin", "Admin", "root", "administrator"]
FALSE_ADMINS = ["аdmin", "adm1n", "ad.min", "r00t", "roоt"]
FREE = ["ada", "ci-bot", "clive", "systems", "executor2", "doctor-who", "Ольга", "管理员", "admin2"]


@pytest.mark.parametrize("name", [*LOOKS, *SPACED, *HIDDEN, *ADMINS, *FALSE_ADMINS])
def test_names_of_the_system_are_reserved(name: str) -> None:
    assert actors.stands_for_system(name)
    assert actors.stands_for_system(name, local=True) is (name not in ADMINS)


@pytest.mark.parametrize("name", [*FREE, "", "x" * 200, "\0", "\ud800"])
def test_other_names_are_free(name: str) -> None:
    assert not actors.stands_for_system(name)
    assert not actors.stands_for_system(name, local=True)


@pytest.mark.parametrize("name", [*LOOKS, *ADMINS, *FALSE_ADMINS])
def test_an_invitation_refuses_a_reserved_name(db: None, name: str) -> None:
    with pytest.raises(users.InvalidUserError) as refused:
        users.invite(name=name, role="viewer", actor="ada")
    assert refused.value.problems["name"] == actors.SAYS


@pytest.mark.parametrize("name", [*LOOKS, *ADMINS, *FALSE_ADMINS])
def test_sign_up_refuses_a_reserved_name(db: None, name: str) -> None:
    for shallow in (True, False):
        with pytest.raises(ValidationError) as refused:
            get_adapter().clean_username(name, shallow=shallow)
        assert actors.SAYS in refused.value.messages


def test_the_form_of_signing_up_says_so(
    db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allauth.account.forms import SignupForm

    words = "correct horse battery"
    form = SignupForm({"username": "Execut0r", "password1": words, "password2": words})
    assert form.errors["username"] == [actors.SAYS]


@pytest.mark.parametrize("name", [*LOOKS, *ADMINS, *FALSE_ADMINS])
def test_single_sign_on_refuses_a_reserved_name(
    provider: Provider,  # noqa: F811 - the fixture
    settings: Settings,
    name: str,
) -> None:
    settings.STENCIL_OIDC_SIGNUP = True
    come_in(provider, Client(), preferred_username=name, email="m@example.org")
    for user in User.objects.all():
        assert not actors.stands_for_system(user.username), user.username


@pytest.mark.parametrize("name", [*LOOKS, *FALSE_ADMINS])
def test_no_superuser_is_made_under_it(
    db: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "correct horse battery")
    out: Any = io.StringIO()
    with pytest.raises(CommandError, match="stands for Stencil"):
        call_command("createsuperuser", "--noinput", username=name, email="", stdout=out)
    assert not User.objects.exists()


def test_the_first_admin_may_be_called_so(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "correct horse battery")
    call_command("createsuperuser", "--noinput", "-v0", username="admin", email="")
    assert User.objects.get().username == "admin"


@pytest.mark.parametrize("name", [*LOOKS, *SPACED, *FALSE_ADMINS])
def test_no_token_carries_it(db: None, name: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        tokens.create(name=name, scopes=["read"], actor="ada")
    [field] = refused.value.fields
    assert field.path == "name"
    with pytest.raises(CommandError):
        call_command("create_token", name)


def test_who_has_such_a_name_keeps_it(db: None, data_dir: object) -> None:
    user = factories.make_user("executor", "viewer")
    client = Client()
    user.set_password("correct horse battery")
    user.save()
    answer = client.post("/login", {"login": "executor", "password": "correct horse battery"})
    assert answer.status_code == 302
    assert client.get("/").status_code == 200
    users.change_role(user=user, role="operator", actor="ada")
    token, _ = tokens.create(name="ci", scopes=["read"], actor="ada")
    type(token).objects.update(name="executor")
    token.refresh_from_db()
    rotation.rotate(token_id=token.id, actor="ada", grace=timedelta(hours=1))
    assert tokens.authenticate(secret="stn_nothing") is None


def default_actors() -> set[str]:
    """Return the default of `--actor` of every command, and the actors that the code names."""
    found = set()
    for name, app in get_commands().items():
        if not app.startswith("django"):
            command = load_command_class(app, name)
            actor = command.create_parser("manage.py", name).get_default("actor")
            found |= {actor} if actor else set()
    root = Path(__file__).parents[3]
    for folder in ("core", "execapp", "templatemgr", "webui"):
        for file in (root / folder).rglob("*.py"):
            found |= set(re.findall(r'\bactor(?:: str)? ?= ?"([^"]+)"', file.read_text()))
    return found


def test_every_default_actor_is_reserved() -> None:
    found = default_actors()
    assert {"cli", "create_token", "pin_token", "executor", "make up"} <= found
    for name in found:
        assert actors.stands_for_system(name), name
        assert actors.stands_for_system(name.replace("_", "-").title()), name
