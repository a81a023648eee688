"""Attacks on the host's own code as values, for protections outside the sandbox."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from execapp.api.http import json_parser
from execapp.errors import ExecutionError
from sandbox import cage
from sandbox.session import paths, runner_messages
from sandbox.session.outcome import State
from sandbox.session.sessions import SourceFile, Submission
from tests.attacks import (
    test_01_planted_links,
    test_02_host_cleanup,
    test_13_paths,
    test_14_json,
)
from tests.attacks.testbed import Arena
from tests.sandbox.node_tree import tree_for

SOMEBODY = 12345  # the owner of canaries while links to them lie in a build
_WHERE = """import fs from "node:fs";
    const at = JSON.parse(fs.readFileSync("/workspace/src/at", "utf8"));
    process.exit(fs.existsSync("/workspace/src/" + at) && !at.includes("..") ? 0 : 1);"""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One attack; `go` returns how the protection failed, or None if it held."""

    name: str
    go: Callable[[Arena], str | None]


def planted_links() -> list[Trial]:
    """Return trials, for root, of links to canaries in a build whose owner changes twice."""
    hosts = {name: code for name, code in test_02_host_cleanup.LINKS.items() if "HOST" in code}
    return [Trial(name=name, go=_taken_back(code)) for name, code in hosts.items()]


def _taken_back(plant: str) -> Callable[[Arena], str | None]:
    def go(arena: Arena) -> str | None:
        files = [arena.canaries, *arena.canaries.rglob("*")]
        owners = {path: path.lstat().st_uid for path in files}
        for path in files:
            os.chown(path, SOMEBODY, -1, follow_symlinks=False)
        try:
            with tempfile.TemporaryDirectory() as folder:
                build = Path(folder) / "build"
                (build / "node_modules").mkdir(parents=True)
                test_01_planted_links.planted(arena, build, plant)
                cage.run(cage.Cage(writable=build), ["/bin/true"], lambda *_: None)
            changed = [path.name for path in files if path.lstat().st_uid != SOMEBODY]
        finally:
            for path, owner in owners.items():
                os.chown(path, owner, -1, follow_symlinks=False)
        return f"the owner of {', '.join(changed)} was changed" if changed else None

    return go


def wrong_paths() -> list[Trial]:
    """Return trials with paths that the check refuses; an accepted path must stay below src/."""
    return [Trial(name=name, go=_submitted(at)) for name, at in test_13_paths.REFUSED.items()]


def _submitted(at: str) -> Callable[[Arena], str | None]:
    def go(arena: Arena) -> str | None:
        if paths.check_paths(["main.mjs", at]):
            return None
        files = {"main.mjs": _WHERE, "at": json.dumps(at), at: "submitted"}
        sources = tuple(
            SourceFile(path=path, content=text.encode()) for path, text in files.items()
        )
        job = Submission(mode="run", files=sources, entry="main.mjs")
        outcome = arena.execute(tree_for(arena.tree, "run"), job)
        return None if outcome.state == State.SUCCEEDED else "it is not where it says"

    return go


def client_documents() -> list[Trial]:
    """Return trials with bodies that are not JSON, or that parsers read differently."""
    return _documents(test_14_json.MALFORMED, lambda body: json_parser.loads(body), ExecutionError)


def messages_of_a_runner() -> list[Trial]:
    """Return trials with lines on descriptor 3 that are not part of the protocol."""
    return _documents(
        test_14_json.MESSAGES, lambda line: runner_messages.parse(line), runner_messages.ReportError
    )


def _documents(
    given: Mapping[str, str | bytes], read: Callable[[bytes], object], refusal: type[Exception]
) -> list[Trial]:
    def trial(name: str, document: str | bytes) -> Trial:
        raw = document.encode() if isinstance(document, str) else document

        def go(_: Arena) -> str | None:
            try:
                read(raw)
            except refusal:
                return None
            except Exception as error:  # noqa: BLE001 - that is the breach
                return f"it led to {type(error).__name__}"
            return "it was believed"

        return Trial(name=name, go=go)

    return [trial(name, document) for name, document in given.items()]
