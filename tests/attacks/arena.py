"""Where attacks run: a tree with Node and syscalls.c, and a host that has something to lose."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sandbox import runner
from sandbox.limits import Outcome, State
from sandbox.runner import SourceFile, Submission, Tree
from tests.attacks.attack import LIMITS, PRELUDE, Attack
from tests.sandbox.trees import build_tree, tree_for

SOURCE = Path(__file__).with_name("syscalls.c")
SECRET = "the-hosts-secret"
MARK = "STENCIL_ATTACK"  # every attacking process has this variable


@dataclass(kw_only=True)
class Arena:
    """What attacks need, and what they go for."""

    root: Path
    tree: Path
    canaries: Path
    words: dict[str, str]
    executions: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, attack: Attack) -> Outcome:
        """One attack in one sandbox."""
        if attack.before:
            self._call(attack.before)
        if attack.kind == "call":
            return self._execute(self.native(), self.job("x", args=(attack.code,)), attack)
        code = self.fill(attack.code)
        if attack.kind == "shell":
            code = f"""const done = cp.spawnSync("/bin/sh", ["-c", {quote(code)}]);
                process.stdout.write(done.stdout); process.stderr.write(done.stderr);"""
        if attack.kind == "suite":
            tree = tree_for(self.tree, "test")
            return self._execute(tree, self.job(code, mode="test", name="a.test.mjs"), attack)
        return self._execute(tree_for(self.tree, "run"), self.job(PRELUDE + code), attack)

    def _execute(self, tree: Tree, job: Submission, attack: Attack) -> Outcome:
        job = replace(job, env={**job.env, **attack.environment})
        with self._lock:
            self.executions += 1
        marked = replace(tree, env={**tree.env, MARK: str(os.getpid())})
        return runner.execute(marked, job, attack.limits, slot="attack")

    def _call(self, name: str) -> None:
        attack = Attack(name=name, kind="call", code=name)
        fault = attack.breach(self.run(attack))
        if fault:
            raise AssertionError(fault)

    def native(self) -> Tree:
        """The tree whose runner is syscalls.c: it starts in a few milliseconds."""
        return Tree(root=self.tree, command=("bin/syscalls", "run"))

    def job(
        self, code: str, *, mode: str = "run", name: str = "main.mjs", args: tuple[str, ...] = ()
    ) -> Submission:
        """A submission of one file."""
        files = (SourceFile(path=name, content=code.encode()),)
        return Submission(mode=mode, files=files, entry=name, args=args)

    def fill(self, code: str) -> str:
        """Put in what this host has."""
        for word, value in self.words.items():
            code = code.replace(f"@{word}@", value)
        return code

    @contextmanager
    def neighbour(self) -> Iterator[None]:
        """Another execution meanwhile, which must end as if nobody else were there."""
        found: list[Outcome | BaseException] = []

        def live() -> None:
            try:
                job = self.job("x", args=("neighbour",))
                found.append(runner.execute(self.native(), job, LIMITS, slot="neighbour"))
            except BaseException as error:  # noqa: BLE001 - told to whoever waits
                found.append(error)

        thread = threading.Thread(target=live)
        thread.start()
        try:
            yield
        finally:
            thread.join()
        if not isinstance(found[0], Outcome):
            raise found[0]
        ended = (found[0].state, found[0].stdout.data)
        assert ended == (State.SUCCEEDED, b"OK\n"), f"the neighbour was disturbed: {found[0]}"


def quote(text: str) -> str:
    """A JavaScript literal."""
    return "String.raw`" + text.replace("`", "${'`'}") + "`"


@contextmanager
def arena(root: Path) -> Iterator[Arena]:
    """Make it below `root`, an empty folder."""
    with ExitStack() as stack:
        canaries = _canaries(root / "canaries")
        listener = stack.enter_context(_tcp())
        path = root / "host.sock"
        stack.enter_context(_unix(str(path)))
        abstract = f"stencil-attack-host-{os.getpid()}"
        stack.enter_context(_unix(f"\0{abstract}"))
        words = {
            "PORT": str(listener.getsockname()[1]),
            "SECRET_FILE": str(canaries / "secret"),
            "CANARIES": str(canaries),
            "SOCKET": str(path),
            "ABSTRACT": abstract,
            "ADDRESS": _own_address(),
            "PID": str(os.getpid()),
            "HOME": str(Path(__file__).resolve().parents[2]),
        }
        made = Arena(root=root, tree=_tree(root / "tree"), canaries=canaries, words=words)
        _warm_up(made)
        yield made


def _tree(place: Path) -> Path:
    tree = build_tree(place)
    made = tree / "bin/syscalls"
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "The attacks need a C compiler (Debian and Ubuntu: apt install gcc libc6-dev)."
    argv = [compiler, "-O1", "-static", "-pthread", "-o", str(made), str(SOURCE)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    made.chmod(0o755)
    return tree


def _canaries(place: Path) -> Path:
    (place / "folder").mkdir(parents=True)
    for name in ("secret", "folder/inner"):
        (place / name).write_text(SECRET)
        (place / name).chmod(0o644)
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
    """An address of this machine that is not the loopback's, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _warm_up(made: Arena) -> None:
    """Everything that is made once (filter, spawner, groups), so that it is not taken for a leak."""
    with made.neighbour():
        made.run(Attack(name="warm-up", kind="call", code="neighbour"))
