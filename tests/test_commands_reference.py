"""Test that `docs/reference/commands.md` names every management command and its options."""

import argparse
import re
from collections.abc import Iterator

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from tests.conftest import ROOT

APPS = ("benchmarks", "execapp", "templatemgr", "webui")
PAGE = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### `(?P<name>\w+)`\n(?P<text>.*?)(?=^##|\Z)", re.DOTALL | re.MULTILINE)
SYNOPSIS = re.compile(r"```\n(?P<synopsis>.*?)```", re.DOTALL)
OPTION_ROW = re.compile(r"^\| `(?P<option>--[a-z-]+)", re.MULTILINE)


def our_commands() -> dict[str, BaseCommand]:
    """Return every management command of our apps, by name."""
    return {
        name: load_command_class(app, name)
        for name, app in get_commands().items()
        if app in APPS and isinstance(app, str)
    }


COMMANDS = our_commands()
SECTIONS = {found["name"]: found["text"] for found in SECTION.finditer(PAGE)}


def own_arguments(command: BaseCommand, name: str) -> Iterator[argparse.Action]:
    """Yield the arguments that `--help` lists beyond those that every Django command has."""
    shared = BaseCommand().create_parser("manage.py", name)
    known = {option for action in shared._actions for option in action.option_strings}
    for action in command.create_parser("manage.py", name)._actions:
        if not known & set(action.option_strings):
            yield action


def placeholder(action: argparse.Action) -> str:
    """Return how a synopsis shows the value of an argument: its choices, or a word in capitals."""
    if action.choices is not None:
        return "|".join(str(choice) for choice in action.choices)
    return str(action.metavar or action.dest.upper())


def shown(action: argparse.Action) -> str:
    """Return an argument as a synopsis shows it: in brackets if optional, dots if repeatable."""
    if not action.option_strings:
        text = placeholder(action)
    elif action.nargs == 0:
        text = action.option_strings[0]
    else:
        text = f"{action.option_strings[0]} {placeholder(action)}"
    text = text if action.required else f"[{text}]"
    repeatable = isinstance(action, argparse._AppendAction) or action.nargs in {"*", "+"}
    return f"{text} ..." if repeatable else text


def synopsis(name: str) -> str:
    """Return the one line that the page must show for a command."""
    arguments = sorted(own_arguments(COMMANDS[name], name), key=lambda each: not each.required)
    return " ".join([name, *(shown(action) for action in arguments)])


def test_the_page_has_each_command_once() -> None:
    headings = re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)
    assert sorted(headings) == sorted(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_synopsis_equals_the_arguments_of_its_command(name: str) -> None:
    found = SYNOPSIS.search(SECTIONS[name])
    assert found is not None
    assert " ".join(found["synopsis"].split()) == synopsis(name)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_option_has_one_row_that_explains_it(name: str) -> None:
    options = [
        action.option_strings[0]
        for action in own_arguments(COMMANDS[name], name)
        if action.option_strings
    ]
    assert sorted(OPTION_ROW.findall(SECTIONS[name])) == sorted(options)
