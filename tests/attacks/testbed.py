"""Provide the place where attacks run: a tree with Node and syscalls.c, and targets on the host."""

import os
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from sandbox import cage
from sandbox.forkserver.server import ForkServer
from sandbox.limits import Limits
from sandbox.session import sessions
from sandbox.session.outcome import Outcome
from sandbox.session.sessions import Session, SourceFile, Submission, Tree
from tests.attacks.attack import LIMITS, PRELUDE, Attack, call
from tests.sandbox.node_tree import build_tree, tree_for

SOURCE = Path(__file__).with_name("syscalls.c")
FORKED = Path(__file__).with_name("forked.c")
ISOLATE = Path(__file__).resolve().parents[2] / "templates_runtime/_fork/isolate.c"
SECRET = "the-hosts-secret"
MARK = "STENCIL_ATTACK"  # each attacking process has this variable
NEIGHBOUR = call("neighbour", "OK")
# How a sandbox comes to be: a process started by bubblewrap, or a clone made by a fork server.
Way = Literal["started", "forked"]
WAYS: tuple[Way, ...] = ("started", "forked")


@dataclass(kw_only=True)
class Arena:
    """The tree and the targets of attacks. `way`: how all sandboxes come to be.

    `servers` are the fork servers by the command of the tree whose runner they execute.
    """

    root: Path
    tree: Path
    canaries: Path
    words: dict[str, str]
    way: Way = "started"
    servers: dict[tuple[str, ...], ForkServer] = field(default_factory=dict)

    def run(self, attack: Attack, *, slot: str = "attack") -> Outcome:
        """Run one attack in one sandbox."""
        if attack.before:
            fault = call(attack.before, "OK").breach(self.run(call(attack.before)))
            assert fault is None, fault
        if attack.kind == "call":
            job = self.job("x", args=(attack.code,))
            return self._execute(self.native(), job, attack, slot)
        code = self.fill(attack.code)
        if attack.kind == "shell":
            code = f"""const done = cp.spawnSync("/bin/sh", ["-c", {quote(code)}]);
                process.stdout.write(done.stdout); process.stderr.write(done.stderr);"""
        if attack.kind == "suite":
            tree = tree_for(self.tree, "test")
            return self._execute(tree, self.job(code, mode="test", name="a.test.mjs"), attack, slot)
        return self._execute(tree_for(self.tree, "run"), self.job(PRELUDE + code), attack, slot)

    def _execute(self, tree: Tree, job: Submission, attack: Attack, slot: str) -> Outcome:
        job = replace(job, env={**job.env, **attack.environment})
        return self.execute(tree, job, attack.limits, slot=slot)

    def execute(
        self,
        tree: Tree,
        job: Submission,
        limits: Limits = LIMITS,
        *,
        slot: str = "attack",
        cancel: threading.Event | None = None,
    ) -> Outcome:
        """Run one submission in a sandbox that comes to be in this arena's way."""
        if self.way == "started":
            return sessions.execute(marked(tree), job, limits, slot=slot, cancel=cancel)
        return self.start(tree, limits, slot=slot).deliver(job, limits, cancel=cancel)

    def start(self, tree: Tree, limits: Limits = LIMITS, *, slot: str = "attack") -> Session:
        """Make a sandbox that waits for its job."""
        if self.way == "started":
            return sessions.start(marked(tree), limits, slot=slot)
        return self.servers[tree.command].fork(limits, slot=slot)

    @contextmanager
    def serving(self, binary: str = "_fork/forked") -> Iterator[None]:
        """Start the fork servers of all runners, and let all sandboxes be forked meanwhile."""
        with ExitStack() as stack:
            made = {}
            for tree in (self.native(), *(tree_for(self.tree, mode) for mode in ("run", "test"))):
                made[tree.command] = start_server(tree, binary)
                stack.callback(made[tree.command].close)
            before = (self.way, self.servers)
            self.way, self.servers = "forked", made
            try:
                yield
            finally:
                self.way, self.servers = before

    def native(self) -> Tree:
        """Return the tree whose runner is syscalls.c: it starts in a few milliseconds."""
        return Tree(root=self.tree, command=("bin/syscalls", "run"))

    def job(
        self, code: str, *, mode: str = "run", name: str = "main.mjs", args: tuple[str, ...] = ()
    ) -> Submission:
        """Return a submission of one file."""
        files = (SourceFile(path=name, content=code.encode()),)
        return Submission(mode=mode, files=files, entry=name, args=args)

    def fill(self, code: str) -> str:
        """Replace the words in @ by the values of this host."""
        for word, value in self.words.items():
            code = code.replace(f"@{word}@", value)
        return code

    @contextmanager
    def meanwhile(self, other: Attack) -> Iterator[None]:
        """Run another execution in another thread; assert that it ends as expected."""
        found: list[str | BaseException | None] = []

        def live() -> None:
            try:
                found.append(other.breach(self.run(other, slot="neighbour")))
            except BaseException as error:  # noqa: BLE001 - the caller reads it
                found.append(error)

        thread = threading.Thread(target=live)
        thread.start()
        try:
            yield
        finally:
            thread.join()
        assert found == [None], f"{other.name} was disturbed: {found[0]}"

    def neighbour(self) -> AbstractContextManager[None]:
        """Run an ordinary execution with files of its own meanwhile."""
        return self.meanwhile(NEIGHBOUR)


def marked(tree: Tree) -> Tree:
    """Return the tree with our mark in the environment of its processes."""
    return replace(tree, env={**tree.env, MARK: str(os.getpid())})


def start_server(
    tree: Tree, binary: str = "_fork/forked", *, env: Mapping[str, str] | None = None
) -> ForkServer:
    """Start a fork server whose sandboxes execute the tree's runner, or syscalls.c itself."""
    runner = tree.command[1:] if tree.command[0] == "bin/syscalls" else tree.command
    served = replace(tree, command=(binary, *runner), env={**tree.env, **(env or {})}, forks=True)
    return ForkServer.start(marked(served), LIMITS, slot="attack-server", tier="bare")


def quote(text: str) -> str:
    """Return `text` as a JavaScript literal."""
    return "String.raw`" + text.replace("`", "${'`'}") + "`"


@contextmanager
def arena(root: Path) -> Iterator[Arena]:
    """Make an arena below `root`, an empty folder."""
    with ExitStack() as stack:
        canaries = _canaries(root / "canaries")
        listener = stack.enter_context(_tcp())
        path = root / "host.sock"
        stack.enter_context(_unix(str(path)))
        abstract = f"stencil-attack-host-{secrets.token_hex(6)}"
        stack.enter_context(_unix(f"\0{abstract}"))
        words = {
            "PORT": str(listener.getsockname()[1]),
            "SECRET_FILE": str(canaries / "secret"),
            "CANARIES": str(canaries),
            "SOCKET": str(path),
            "ABSTRACT": abstract,
            "ADDRESS": _own_address(),
            "PID": str(os.getpid()),
            "SECRET": SECRET,
            "HOME": str(Path(__file__).resolve().parents[2]),
        }
        made = Arena(root=root, tree=_tree(root / "tree"), canaries=canaries, words=words)
        with made.serving():
            with made.serving():  # control groups for the servers that tests start
                pass
            for made.way in WAYS:
                _warm_up(made)
            yield made


def _tree(place: Path) -> Path:
    """Build a tree whose modes let every user write: only the read-only mount protects it."""
    tree = build_tree(place)
    (tree / "_fork").mkdir()
    compile_program(tree / "bin/syscalls", SOURCE)
    compile_program(place.parent / "forked.o", FORKED, options=("-c",))
    compile_program(tree / "_fork/forked", place.parent / "forked.o", ISOLATE)
    node = tree / "bin/node"
    copy = shutil.copy2(node.resolve(), tree / "bin/copy")  # it may be a hard link to our own Node
    Path(copy).replace(node)
    for path in (tree, *tree.rglob("*")):
        path.chmod(0o777 if path.is_dir() or path.parent.name in ("bin", "_fork") else 0o666)
    return tree


def compile_program(made: Path, *sources: Path, options: tuple[str, ...] = ()) -> None:
    """Compile a static program from C sources and objects."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "The attacks need a C compiler (Debian and Ubuntu: apt install gcc libc6-dev)."
    folders = [f"-I{SOURCE.parent}", f"-I{ISOLATE.parent}"]
    argv = [compiler, "-O1", "-static", "-pthread", *folders, *options, "-o", str(made)]
    subprocess.run([*argv, *map(str, sources)], check=True, capture_output=True, timeout=60)


def _canaries(place: Path) -> Path:
    (place / "folder").mkdir(parents=True)
    for folder in (place, place / "folder"):
        folder.chmod(0o777)
    for name in ("secret", "folder/inner"):
        (place / name).write_text(SECRET)
        (place / name).chmod(0o666)  # every process that sees the file may write it
    (place / "link").symlink_to("secret")
    return place


def _tcp() -> socket.socket:
    return socket.create_server(("0.0.0.0", 0))  # noqa: S104 - so that every address reaches it


def _unix(address: str) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen()
    return server


def _own_address() -> str:
    """Return an address of this machine outside the loopback, or 127.0.0.1 without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _warm_up(made: Arena) -> None:
    """Create filter, spawner and groups, which are made once, so that they count as no leak."""
    with made.neighbour():
        made.run(NEIGHBOUR)
    folder = made.root / "build"
    folder.mkdir(exist_ok=True)
    cage.run(cage.Cage(writable=folder), ["/bin/true"], lambda *_: None)
