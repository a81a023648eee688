"""The Python template, built once for all tests with the real pip and without a database."""

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from sandbox.forkserver.server import ForkServer, Tier
from sandbox.limits import Limits
from sandbox.session.outcome import Outcome
from sandbox.session.sessions import SourceFile, Submission, Tree, execute, start
from templatemgr import store
from templatemgr.builders import native
from templatemgr.builders.base import Job
from templatemgr.builders.pip import pip_builder
from templatemgr.definitions import definition_file, source_files
from templatemgr.definitions.definition import Definition
from tests.runtime.node_runs import DEFAULT_SIGNALS

FOLDER = Path(__file__).resolve().parents[2] / "templates_runtime" / "python"
# How a sandbox starts. Both tiers of fork servers must give the same answers.
Way = Literal["cold", "warm", "fork", "preloaded fork"]
WAYS: tuple[Way, ...] = ("cold", "warm", "fork", "preloaded fork")
STDIN = b"Ada\nBab\n"
ARGS = ("one", "two words")


Files = Mapping[str, str] | Mapping[str, str | bytes]


def _bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode()


@dataclass(frozen=True, kw_only=True, eq=False)  # compared by identity
class Python:
    """The built template. `settings` extend the runner settings of its definition."""

    root: Path
    definition: Definition
    servers: dict[object, ForkServer] = field(default_factory=dict)

    def _server(self, tree: Tree, tier: Tier) -> ForkServer:
        """Return the fork server of a mode, tier and settings; start it once."""
        key = (tree.command, tier, *sorted(tree.env.items()))
        if key not in self.servers or not self.servers[key].alive:
            self.servers[key] = ForkServer.start(
                tree, self.definition.default, slot="test-python-server", tier=tier
            )
        return self.servers[key]

    def close(self) -> None:
        """End the fork servers."""
        for server in self.servers.values():
            server.close()

    def execute(
        self,
        mode: str,
        files: Files,
        *,
        way: Way = "cold",
        limits: Limits | None = None,
        env: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        **others: str,
    ) -> Outcome:
        """Run one submission in a sandbox that starts this way."""
        limits = limits or self.definition.default
        said = self.definition.modes[mode]
        submission = Submission(
            mode=mode,
            files=tuple(SourceFile(path=p, content=_bytes(text)) for p, text in files.items()),
            entry=others.get("entry", said.entry),
            pattern=others.get("pattern", said.pattern),
            args=ARGS if mode == "run" else (),
            stdin=STDIN,
            env=env or {},
        )
        tree = Tree(
            root=self.root,
            command=said.command,
            env={**self.definition.env, **(settings or {})},
            variables=self.definition.variables,
            forks=mode in self.definition.forks,
        )
        if way == "warm":
            return start(tree, limits, slot="test-python").deliver(submission, limits)
        if way != "cold":
            server = self._server(tree, "bare" if way == "fork" else "preloaded")
            return server.fork(limits, slot="test-python").deliver(submission, limits)
        return execute(tree, submission, limits, slot="test-python")

    def bare(
        self, files: Files, workspace: Path, *argv: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the interpreter of the tree in `workspace`, outside the sandbox."""
        for name, text in files.items():
            target = workspace / "src" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_bytes(text))
        return subprocess.run(
            [*DEFAULT_SIGNALS, str(self.root / "bin/python"), "-B", *argv],
            cwd=workspace,
            env={
                "PATH": "/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "HOME": str(workspace),
                **(env or {}),
            },
            input=STDIN.decode(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Python]:
    """Build the Python template as a build does, without the database."""
    workspace = tmp_path_factory.mktemp("python")
    definition = definition_file.read(FOLDER)
    said: list[str] = []
    job = Job(
        definition=definition, workspace=workspace, log=lambda _stream, text: said.append(text)
    )
    job.downloads.mkdir()
    sources = source_files.locate(FOLDER)
    store.copy({name: sources[name] for name in definition.files}, job.tree)
    pip_builder.fetch(job)
    pip_builder.install(job)
    native.compile_parts(job)
    built = Python(root=job.tree, definition=definition)
    yield built
    built.close()
    store.remove(workspace)
