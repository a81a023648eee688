"""Provide the place where attacks run: a tree with Node and syscalls.c, and targets on the host."""

import os
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox import cage
from sandbox.session import sessions
from sandbox.session.outcome import Outcome
from sandbox.session.sessions import SourceFile, Submission, Tree
from tests.attacks.attack import PRELUDE, Attack, call
from tests.sandbox.node_tree import build_tree, tree_for

SOURCE = Path(__file__).with_name("syscalls.c")
SECRET = "the-hosts-secret"
MARK = "STENCIL_ATTACK"  # each attacking process has this variable
NEIGHBOUR = call("neighbour", "OK")


@dataclass(kw_only=True)
class Arena:
    """The tree and the targets of attacks."""

    root: Path
    tree: Path
    canaries: Path
    words: dict[str, str]

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
        marked = replace(tree, env={**tree.env, MARK: str(os.getpid())})
        return sessions.execute(marked, job, attack.limits, slot=slot)

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
        _warm_up(made)
        yield made


def _tree(place: Path) -> Path:
    """Build a tree whose modes let every user write: only the read-only mount protects it."""
    tree = build_tree(place)
    made = tree / "bin/syscalls"
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "The attacks need a C compiler (Debian and Ubuntu: apt install gcc libc6-dev)."
    argv = [compiler, "-O1", "-static", "-pthread", "-o", str(made), str(SOURCE)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    node = tree / "bin/node"
    copy = shutil.copy2(node.resolve(), tree / "bin/copy")  # it may be a hard link to our own Node
    Path(copy).replace(node)
    for path in (tree, *tree.rglob("*")):
        path.chmod(0o777 if path.is_dir() or path.parent.name == "bin" else 0o666)
    return tree


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
    folder.mkdir()
    cage.run(cage.Cage(writable=folder), ["/bin/true"], lambda *_: None)
