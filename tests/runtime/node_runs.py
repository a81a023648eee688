"""Run one submission in the sandbox and with the bare tool, with comparable results."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sandbox.forkserver.server import ForkServer
from sandbox.limits import Limits
from sandbox.session.outcome import Outcome
from sandbox.session.sessions import SourceFile, Submission, Tree, execute, start
from sandbox.session.variables import Variables

TIMEOUT = 60
# How a sandbox starts.
Way = Literal["cold", "warm", "fork"]
WAYS: tuple[Way, ...] = ("cold", "warm", "fork")
# A process inherits ignored signals, for example from `nohup` or a shell's `&`. A sandbox ignores
# no signal, so reset all signals for the bare tool.
DEFAULT_SIGNALS = ("/usr/bin/env", "--default-signal")
# The states that vitest's JSON reporter gives to a test that has not run.
STATES = {"pending": "skipped", "todo": "skipped", "disabled": "skipped"}

Cases = list[tuple[str, str, str]]  # file, name, state


@dataclass(frozen=True, kw_only=True)
class Bare:
    """The result of a submission with the bare tool."""

    exit_code: int
    stdout: str
    stderr: str
    cases: Cases


@dataclass(frozen=True, kw_only=True)
class Tool:
    """The installed template; `definition` is its template.toml."""

    root: Path
    cache: Path
    definition: dict[str, Any]
    servers: dict[str, ForkServer] = field(default_factory=dict)

    def server(self, mode: str) -> ForkServer:
        """Return the fork server of this mode; start it once."""
        if mode not in self.servers or not self.servers[mode].alive:
            self.servers[mode] = ForkServer.start(
                self.tree(mode), Limits(), slot="test-server", tier="bare"
            )
        return self.servers[mode]

    def close(self) -> None:
        """End the fork servers."""
        for server in self.servers.values():
            server.close()

    def tree(self, mode: str) -> Tree:
        """Return the tree with which a sandbox starts this mode."""
        return Tree(
            root=self.root,
            cache=self.cache,
            links=tuple(self.definition["links"]),
            command=tuple(self.definition[mode]["command"]),
            env=self.definition["env"],
            variables=Variables(
                start=tuple(self.definition["variables"]["start"]),
                refused=self.definition["variables"]["refused"],
            ),
            forks=mode in self.definition["fork"]["modes"],
        )

    def test(
        self,
        files: Mapping[str, str],
        *,
        limits: Limits | None = None,
        way: Way = "cold",
        env: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Run mode test in a sandbox that starts this way."""
        submission = Submission(
            mode="test",
            files=sources(files),
            env=env or {},
            pattern=self.definition["test"]["pattern"],
        )
        return self.deliver(submission, limits or Limits(), way)

    def run(
        self,
        files: Mapping[str, str],
        *,
        entry: str = "main.ts",
        args: tuple[str, ...] = (),
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        way: Way = "cold",
    ) -> Outcome:
        """Run mode run in a sandbox that starts this way."""
        submission = Submission(
            mode="run", files=sources(files), entry=entry, args=args, stdin=stdin, env=env or {}
        )
        return self.deliver(submission, Limits(), way)

    def bare_vitest(
        self, files: Mapping[str, str], *, env: Mapping[str, str] | None = None
    ) -> Bare:
        """Run `vitest run` in a separate workspace, outside the sandbox."""
        report = "report.json"
        argv = ["node_modules/.bin/vitest", "run", "--configLoader", "runner", "--cache=false"]
        argv += ["--reporter=json", f"--outputFile={report}"]
        with tempfile.TemporaryDirectory() as folder:
            ended = self._bare(Path(folder), files, argv, b"", env)
            path = Path(folder, report)
            said = json.loads(path.read_text()) if path.exists() else {"testResults": []}
            cases = sorted(reported(said, f"{Path(folder).resolve()}/src/"))
        return Bare(
            exit_code=ended.returncode,
            stdout=ended.stdout.decode(),
            stderr=ended.stderr.decode(),
            cases=cases,
        )

    def bare_node(
        self,
        files: Mapping[str, str],
        *,
        entry: str = "main.ts",
        args: tuple[str, ...] = (),
        stdin: bytes = b"",
        options: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
    ) -> Bare:
        """Run `node <options> src/<entry>` in a separate workspace, outside the sandbox.

        Replace the paths in its output by the corresponding paths inside the sandbox.
        """
        with tempfile.TemporaryDirectory() as folder:
            argv = [*(item.replace("/template", str(self.root)) for item in options)]
            ended = self._bare(Path(folder), files, [*argv, f"src/{entry}", *args], stdin, env)
            stdout, stderr = (
                text.decode().replace(folder, "/workspace").replace(str(self.root), "/template")
                for text in (ended.stdout, ended.stderr)
            )
        return Bare(exit_code=ended.returncode, stdout=stdout, stderr=stderr, cases=[])

    def deliver(self, submission: Submission, limits: Limits, way: Way) -> Outcome:
        """Run a submission in a sandbox that starts this way."""
        mode = submission.mode
        if way == "fork":
            return self.server(mode).fork(limits, slot="test").deliver(submission, limits)
        if way == "warm":
            return start(self.tree(mode), limits, slot="test").deliver(submission, limits)
        return execute(self.tree(mode), submission, limits, slot="test")

    def _bare(
        self,
        workspace: Path,
        files: Mapping[str, str],
        argv: list[str],
        stdin: bytes,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        for name in self.definition["links"]:
            (workspace / name).symlink_to(self.root / name)
        for path, content in files.items():
            target = workspace / "src" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        return subprocess.run(
            [*DEFAULT_SIGNALS, str(self.root / "bin/node"), *argv],
            cwd=workspace,
            env={"HOME": str(workspace), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **(env or {})},
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )


def sources(files: Mapping[str, str]) -> tuple[SourceFile, ...]:
    """Return texts by path as the files of a submission."""
    return tuple(SourceFile(path=path, content=text.encode()) for path, text in files.items())


def reported(said: dict[str, Any], source: str) -> Cases:
    """Return the tests in a report of vitest's JSON reporter."""
    return [
        (
            module["name"].removeprefix(source),
            " > ".join([*case["ancestorTitles"], case["title"]]),
            STATES.get(case["status"], case["status"]),
        )
        for module in said["testResults"]
        for case in module["assertionResults"]
    ]


def seen(outcome: Outcome) -> Cases:
    """Return the tests in an outcome, in the form of `reported`."""
    assert outcome.report is not None, outcome
    return sorted((case.file, case.name, case.state) for case in outcome.report.cases)
