"""Class 4: no shell reads arguments, names or values; they arrive unchanged."""

import json

import pytest

from sandbox.session import sessions
from sandbox.session.outcome import State
from sandbox.session.sessions import SourceFile, Submission
from tests.attacks.attack import PRELUDE
from tests.attacks.testbed import Arena
from tests.sandbox.node_tree import tree_for

NASTY = {
    "newline": "a\nb",
    "carriage return": "a\rb",
    "backslash": "a\\b\\",
    "backslash and newline": "a\\\nb",
    "command": "$(touch /tmp/owned)",
    "backticks": "`touch /tmp/owned`",
    "variable": "$HOME ${PATH}",
    "semicolon": "; touch /tmp/owned ;",
    "pipe": "| touch /tmp/owned",
    "background": "& touch /tmp/owned &",
    "quotes": "'\"'\"' touch \"",
    "an option": "--eval=process.exit(9)",
    "an option's short form": "-e",
    "the end of options": "--",
    "an option of bubblewrap": "--bind",
    "a glob": "/*",
    "brace": "{a,b}",
    "a null written out": "a\\0b\\x00",
    "a terminal's escape": "\x1b]0;owned\x07",
    "right to left": "a\u202eb",
    "redirect": "> /tmp/owned",
    "empty": "",
}
ECHO = (
    PRELUDE
    + """
    say({ args: process.argv.slice(2), env: process.env.GIVEN, owned: fs.existsSync("/tmp/owned"),
          here: fs.readdirSync("/workspace/src").sort() });
"""
)


def execute(arena: Arena, text: str, name: str) -> dict[str, object]:
    files = (
        SourceFile(path="main.mjs", content=ECHO.encode()),
        SourceFile(path=name, content=b""),
    )
    job = Submission(
        mode="run", files=files, entry="main.mjs", args=(text, "end"), env={"GIVEN": text}
    )
    with arena.neighbour():
        outcome = arena.execute(tree_for(arena.tree, "run"), job)
    assert outcome.state == State.SUCCEEDED, outcome
    found: dict[str, object] = json.loads(outcome.stdout.data)
    return found


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_arguments_and_values_are_only_text(text: str, arena: Arena) -> None:
    name = text.replace("/", "_")
    sound = not sessions.check_paths([name])
    found = execute(arena, text, name if sound else "plain")
    assert found == {
        "args": [text, "end"],
        "env": text,
        "owned": False,
        "here": sorted(["main.mjs", name if sound else "plain"]),
    }
