"""Check that a copy of a loaded Node process is whole, and shares nothing with its siblings."""

import ctypes
import json
import platform
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.forkserver.server import ForkServer
from sandbox.limits import Limits
from sandbox.session.outcome import State
from sandbox.session.sessions import Submission
from tests.runtime.node_forks import LEFT, PROGRAMS, RANDOM, SUITE
from tests.runtime.node_runs import Tool, sources

SIBLINGS = 3
_KCMP = {"x86_64": 312, "aarch64": 272}
_KCMP_FILE = 0


def job(tool: Tool, mode: str) -> Submission:
    """Return a submission that prints random values."""
    ending = "ts" if "main.ts" in tool.definition["run"]["entry"] else "js"
    if mode == "run":
        return Submission(mode="run", files=sources({"main.cjs": RANDOM}), entry="main.cjs")
    pattern = tool.definition["test"]["pattern"]
    return Submission(mode="test", files=sources({f"a.test.{ending}": SUITE}), pattern=pattern)


@pytest.mark.parametrize("mode", ["run", "test"])
@pytest.mark.parametrize("language", ["javascript", "typescript"])
def test_copies_of_one_server_draw_different_random_numbers(
    javascript: Tool, typescript: Tool, language: str, mode: str
) -> None:
    tool = {"javascript": javascript, "typescript": typescript}[language]
    found: dict[str, list[object]] = {}
    for _ in range(SIBLINGS):
        outcome = tool.deliver(job(tool, mode), Limits(), "fork")
        assert outcome.state is State.SUCCEEDED, outcome
        for name, values in json.loads(outcome.stdout.data.splitlines()[0]).items():
            found.setdefault(name, []).extend(values)
    assert {name: len(values) - len(set(values)) for name, values in found.items()} == (
        dict.fromkeys(found, 0)
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_copy_does_what_bare_node_does(javascript: Tool, name: str) -> None:
    files = {"main.js": PROGRAMS[name]}
    bare = javascript.bare_node(files, entry="main.js")
    outcome = javascript.run(files, entry="main.js", way="fork")
    assert outcome.stdout.data.decode() == bare.stdout, outcome
    assert outcome.start == "fork"
    if bare.exit_code < 0:
        assert outcome.state is State.CRASHED
        assert outcome.signal == signal.Signals(-bare.exit_code).name
    else:
        assert outcome.exit_code == bare.exit_code, outcome


@pytest.fixture(params=["run", "test"])
def family(typescript: Tool, request: pytest.FixtureRequest) -> Iterator[list[int]]:
    """Yield the process ids of a server, and of the second processes of two waiting copies."""
    server = typescript.server(request.param)
    with ExitStack() as end:
        copies = [server.fork(Limits(), slot=f"test-{number}") for number in range(2)]
        for copy in copies:
            end.callback(copy.close)
        firsts = [copy._container.init for copy in copies]
        yield [server._process.pid, *(child(first) for first in firsts)]


def child(pid: int) -> int:
    """Return the only child of a process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def descriptors(pid: int) -> list[int]:
    """Return the numbers of the open descriptors of a process."""
    return sorted(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())


def threads(pid: int) -> list[str]:
    """Return the sorted names of the threads of a process."""
    return sorted(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/comm"))


def test_copies_share_no_open_file(family: list[int]) -> None:
    call = ctypes.CDLL(None, use_errno=True).syscall
    number = _KCMP[platform.machine()]
    for one, other in combinations(family, 2):
        for mine, theirs in product(descriptors(one), descriptors(other)):
            # 0: one open file, -1: an error; see kcmp(2)
            assert call(number, one, other, _KCMP_FILE, mine, theirs) > 0, (mine, theirs)


def test_a_copy_has_the_threads_and_descriptors_of_its_server(family: list[int]) -> None:
    server, *copies = family
    assert "V8Worker\n" in threads(server)
    for copy in copies:
        assert threads(copy) == threads(server)
        assert descriptors(copy) == descriptors(server)


def test_a_copy_keeps_the_heap_from_its_own_children(family: list[int]) -> None:
    for pid, expected in zip(family, (False, True, True), strict=True):
        text = Path(f"/proc/{pid}/smaps").read_text()
        kept_back = re.search(r"^VmFlags:.* dc\b", text, re.MULTILINE)
        assert bool(kept_back) is expected


@pytest.mark.parametrize("name", LEFT)
def test_a_server_that_would_share_something_is_refused(typescript: Tool, name: str) -> None:
    tree = typescript.tree("test")
    option = f'--import "data:text/javascript,{LEFT[name]}"'
    hostile = replace(tree, env={**tree.env, "NODE_OPTIONS": option})
    with pytest.raises(SandboxError, match=r"cannot be made again|cannot serve"):
        ForkServer.start(hostile, Limits(), slot="test-server", tier="bare").close()
