"""Check that each program gives the output and exit status of bare Node, however it starts."""

import re
from collections.abc import Callable

import pytest

from sandbox.session.outcome import Outcome, State
from tests.runtime.node_programs import HELPERS, OF_A_PACKAGE, PACKAGE, PROGRAMS
from tests.runtime.node_runs import WAYS, Bare, Tool

ARGS, STDIN = ("Ada", "two words"), b"one\ntwo\n"


def files_of(name: str, entry: str) -> dict[str, str]:
    """Return the submission of one program."""
    package = PACKAGE if name in OF_A_PACKAGE else {}
    return {entry: PROGRAMS[name], **HELPERS, **package}


def alike(text: str) -> str:
    """Replace the process ids in `text` by a constant."""
    return re.sub(r"\(node:\d+\)", "(node:1)", text)


def without_scheme(text: str) -> str:
    """Replace file URLs by paths. In a stack, Node shows a URL for a file whose types it strips."""
    return text.replace("(file:///", "(/")


def agrees(outcome: Outcome, bare: Bare, *, of: Callable[[str], str] = str) -> None:
    """Assert that state, exit status and output agree."""
    assert of(outcome.stdout.data.decode()) == of(bare.stdout), outcome.stderr
    assert outcome.exit_code == bare.exit_code, outcome
    assert outcome.state is (State.SUCCEEDED if bare.exit_code == 0 else State.FAILED)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_javascript_program_gives_exactly_the_output_of_bare_node(
    javascript: Tool, name: str
) -> None:
    files = files_of(name, "main.js")
    bare = javascript.bare_node(files, entry="main.js", args=ARGS, stdin=STDIN)
    for way in WAYS:
        outcome = javascript.run(files, entry="main.js", args=ARGS, stdin=STDIN, way=way)
        agrees(outcome, bare)
        assert alike(outcome.stderr.data.decode()) == alike(bare.stderr)
        assert outcome.start == way


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_program_as_typescript_gives_the_output_of_bare_node(
    typescript: Tool, name: str
) -> None:
    files = files_of(name, "main.ts")
    cold, *others = (typescript.run(files, args=ARGS, stdin=STDIN, way=way) for way in WAYS)
    for other in others:
        assert (cold.state, cold.exit_code) == (other.state, other.exit_code)
        assert cold.stdout == other.stdout
        assert alike(cold.stderr.data.decode()) == alike(other.stderr.data.decode())
        assert b"/template/_" not in other.stderr.data + other.stdout.data
        assert b"/template/runner" not in other.stderr.data + other.stdout.data
    agrees(cold, typescript.bare_node(files, args=ARGS, stdin=STDIN), of=without_scheme)


def test_each_matrix_counts_at_least_250_submissions() -> None:
    assert len(PROGRAMS) >= 250
