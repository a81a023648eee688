"""Check that each program gives the same output, errors and exit status bare, cold and warm."""

import re
from collections.abc import Callable

import pytest

from sandbox.session.outcome import Outcome, State
from tests.runtime.node_programs import HELPERS, OF_A_PACKAGE, PACKAGE, PROGRAMS
from tests.runtime.node_runs import Bare, Tool

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
    for warm in (False, True):
        outcome = javascript.run(files, entry="main.js", args=ARGS, stdin=STDIN, warm=warm)
        agrees(outcome, bare)
        assert alike(outcome.stderr.data.decode()) == alike(bare.stderr)
        assert outcome.warm is warm


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_program_as_typescript_gives_the_output_of_bare_node(
    typescript: Tool, name: str
) -> None:
    files = files_of(name, "main.ts")
    cold, warm = (
        typescript.run(files, args=ARGS, stdin=STDIN, warm=warm) for warm in (False, True)
    )
    assert (cold.state, cold.exit_code) == (warm.state, warm.exit_code)
    assert cold.stdout == warm.stdout
    assert alike(cold.stderr.data.decode()) == alike(warm.stderr.data.decode())
    assert b"/template/_node" not in warm.stderr.data + warm.stdout.data
    assert b"/template/runner" not in warm.stderr.data + warm.stdout.data
    agrees(warm, typescript.bare_node(files, args=ARGS, stdin=STDIN), of=without_scheme)


def test_each_matrix_counts_at_least_250_submissions() -> None:
    assert len(PROGRAMS) >= 250
