"""Class 23: files that come back hold nothing but what the program wrote below src/.

The host reads after the last process of the sandbox has ended, with the rights of the program, by a
descriptor that it took before the program began.
"""

import hashlib
import os
import signal
import threading
from pathlib import Path
from unittest.mock import patch

import pytest

from sandbox.errors import StartupError
from sandbox.isolation import process
from sandbox.session import collecting
from sandbox.session.collecting import Wanted
from sandbox.session.outcome import Outcome, State
from tests.attacks.attack import LIMITS, PRELUDE
from tests.attacks.testbed import Arena
from tests.sandbox.node_tree import tree_for
from tests.timeouts import HANGS_SECONDS

MOST_BYTES = 1_000_000
BEGIN = "fs.mkdirSync('src/out'); fs.writeFileSync('src/out/good', 'good');"


class Shelf:
    """Kept files by digest, in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.dropped = 0

    def sink(self) -> "Slot":
        return Slot(self)


class Slot:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf, self._data = shelf, bytearray()

    def write(self, data: bytes) -> None:
        self._data += data

    def keep(self, sha256: str) -> None:
        self._shelf.kept[sha256] = bytes(self._data)

    def drop(self) -> None:
        self._shelf.dropped += 1


def attack(
    arena: Arena, code: str, *patterns: str, wall_ms: int | None = None, **bounds: int
) -> tuple[Outcome, dict[str, bytes], tuple[str, ...]]:
    """Run a program; return its outcome, the files that came back, and the notes."""
    shelf = Shelf()
    given = {"most_files": 64, "most_bytes": MOST_BYTES, "seconds": 60, **bounds}
    wanted = Wanted(patterns=patterns or ("out/*",), sink=shelf.sink, **given)
    limits = LIMITS if wall_ms is None else LIMITS.__class__(**{**vars(LIMITS), "wall_ms": wall_ms})
    session = arena.start(tree_for(arena.tree, "run"), limits)
    outcome = session.deliver(arena.job(PRELUDE + BEGIN + code), limits, files=wanted)
    assert outcome.collected is not None
    files = {file.path: shelf.kept[file.sha256] for file in outcome.collected.files}
    for file in outcome.collected.files:
        data = files[file.path]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size_bytes, file.sha256)
    return outcome, files, outcome.collected.notes


KINDS = {
    "a link to a file of the machine": ("fs.symlinkSync('/etc/passwd', 'src/out/x');", "symbolic link"),
    "a link to a file beside it": ("fs.symlinkSync('good', 'src/out/x');", "symbolic link"),
    "a link to the template": ("fs.symlinkSync('../../package.json', 'src/out/x');", "symbolic link"),
    "a link to a descriptor": ("fs.symlinkSync('/proc/self/fd/0', 'src/out/x');", "symbolic link"),
    "a socket": (
        "await new Promise((done) => net.createServer().listen('src/out/x', done)); process.exit(0);",
        "socket",
    ),
    "a file of another mode": (
        "fs.writeFileSync('src/out/x', 'no'); fs.chmodSync('src/out/x', 0);", "cannot be read",
    ),
    "a sparse file": (
        "fs.writeFileSync('src/out/x', ''); fs.truncateSync('src/out/x', 1_500_000);", "1500000 bytes",
    ),
    "a name with a line end": ("fs.writeFileSync('src/out/x\\n{\"end\":true}\\n', 'no');", "control"),
    "a name that is no text": (
        "fs.writeFileSync(Buffer.from('src/out/x\\xff', 'latin1'), 'no');", "Unicode",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "why"), KINDS.values(), ids=KINDS)
def test_only_plain_files_come_back(arena: Arena, code: str, why: str) -> None:
    outcome, files, notes = attack(arena, code)
    assert outcome.state == State.SUCCEEDED, outcome.stderr
    assert files == {"out/good": b"good"}
    assert len(notes) == 1
    assert why in notes[0]


LEAVES = {
    "a folder that is a link": (
        "fs.symlinkSync('/template', 'src/t');", ("t/package.json", "t/*", "**/package.json"),
    ),
    "the folders above": (
        "fs.writeFileSync('outside', 'x'); fs.symlinkSync('..', 'src/up');", ("up/outside", "**/outside"),
    ),
    "another src": (
        "fs.renameSync('src', 'old'); fs.symlinkSync('/etc', 'src');", ("passwd", "hosts", "**/hosts"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "patterns"), LEAVES.values(), ids=LEAVES)
def test_no_link_leads_out_of_the_folder(
    arena: Arena, code: str, patterns: tuple[str, ...]
) -> None:
    tried = f"try {{ {code} }} catch {{}}"
    assert attack(arena, tried, *patterns)[1] == {}


def test_hard_links_are_files_of_the_program(arena: Arena) -> None:
    found = attack(arena, "fs.linkSync('src/out/good', 'src/out/same');")[1]
    assert found == {"out/good": b"good", "out/same": b"good"}


def test_processes_that_live_on_change_nothing_while_files_are_read(arena: Arena) -> None:
    """They are dead before the first file is opened: no descriptor of the reader can be raced.

    The runner reports the end of the program, for which the executor otherwise does not wait.
    """
    racer = """
        const script = `cd src/out; while :; do rm -f good; ln -s /etc/passwd good; rm -f good;
          echo good > good; done`;
        for (let n = 0; n < 3; n++)
          cp.spawn("/bin/sh", ["-c", script], { detached: true, stdio: "ignore" }).unref();
        await new Promise((done) => setTimeout(done, 100));
        const held = Buffer.alloc(60 << 20, 1);  // it takes a while to be given back
        setInterval(() => held, 1e6);
        leave(0);
    """
    alive: list[list[int]] = []
    real = collecting.collect

    def look(anchor: collecting.Anchor, wanted: Wanted) -> collecting.Collected:
        alive.append(held.pids())
        return real(anchor, wanted)

    session = arena.start(tree_for(arena.tree, "run"))
    held = session._container.group
    shelf = Shelf()
    wanted = Wanted(patterns=("out/*",), most_files=9, most_bytes=99, sink=shelf.sink, seconds=60)
    with patch("sandbox.session.sessions.collect", look):
        job = arena.job(PRELUDE + BEGIN + racer, args=("keep-channel",))
        outcome = session.deliver(job, LIMITS, files=wanted)
    assert outcome.state == State.SUCCEEDED, outcome.stderr
    assert alive == [[]]
    assert all(data in (b"", b"good", b"good\n") for data in shelf.kept.values())


def test_a_wall_of_folders_and_entries_ends_within_its_bounds(arena: Arena) -> None:
    deep = """
        process.chdir("src/out");
        for (let n = 0; n < 300; n++) { fs.mkdirSync("d"); process.chdir("d"); fs.writeFileSync("x", ""); }
    """
    found, notes = attack(arena, deep, "**")[1:]
    assert max(path.count("/") for path in found) <= 31
    wide = "for (let n = 0; n < 3000; n++) fs.writeFileSync('src/out/' + n, '');"
    found, notes = attack(arena, wide, "**", "out/good", most_entries=100)[1:]
    assert len(found) <= 64
    assert any("100 entries" in note for note in notes)
    assert attack(arena, wide, "out/good", most_entries=0)[1] == {"out/good": b"good"}


def test_files_and_bytes_are_counted_together(arena: Arena) -> None:
    code = "for (let n = 0; n < 9; n++) fs.writeFileSync('src/out/' + n, 'x'.repeat(1000));"
    found, notes = attack(arena, code, most_files=3)[1:]
    assert (len(found), len(notes)) == (3, 1)
    found, notes = attack(arena, code, most_bytes=2500)[1:]
    assert sum(map(len, found.values())) <= 2500
    assert (len(found), len(notes)) == (3, 7)


ENDS = {
    "failed": ("process.exit(3);", State.FAILED),
    "killed itself": ("process.kill(process.pid, 'SIGKILL');", State.CRASHED),
    "out of time": ("for (;;);", State.TIMED_OUT),
    "too much output": (
        "for (;;) fs.writeSync(1, 'x'.repeat(65536));", State.OUTPUT_LIMIT,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "state"), ENDS.values(), ids=ENDS)
def test_files_of_a_program_that_did_not_succeed_come_back(
    arena: Arena, code: str, state: State
) -> None:
    outcome, files, _ = attack(arena, code, wall_ms=3000 if state is State.TIMED_OUT else None)
    assert (outcome.state, files) == (state, {"out/good": b"good"})


def test_a_cancelled_program_gives_nothing_back(arena: Arena) -> None:
    cancel, shelf = threading.Event(), Shelf()
    cancel.set()
    session = arena.start(tree_for(arena.tree, "run"))
    wanted = Wanted(patterns=("**",), most_files=9, most_bytes=999, sink=shelf.sink)
    job = arena.job(PRELUDE + BEGIN + "for (;;);")
    outcome = session.deliver(job, LIMITS, cancel=cancel, files=wanted)
    assert (outcome.state, outcome.collected, shelf.kept) == (State.CANCELLED, None, {})


def test_no_descriptor_and_no_process_is_left(arena: Arena) -> None:
    attack(arena, "")
    before = sorted(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        attack(arena, "")
    assert sorted(Path("/proc/self/fd").iterdir()) == before


LIES = {
    "a path that was not asked for": b'{"path": "secret", "size": 1}\nx',
    "a path out of the folder": b'{"path": "out/../../x", "size": 1}\nx',
    "an absolute path": b'{"path": "/etc/passwd", "size": 1}\nx',
    "the same path again": b'{"path": "out/a", "size": 1}\nx{"path": "out/a", "size": 1}\nx',
    "too many bytes": b'{"path": "out/a", "size": 1000001}\nx',
    "a size below zero": b'{"path": "out/a", "size": -1}\n',
    "a size that is no number": b'{"path": "out/a", "size": true}\nx',
    "a broken line": b"\xff\xfe{\n",
    "no object": b"[]\n",
    "a deep line": b"[" * 3000 + b"\n",
    "a line without an end": b"x" * 100_000,
    "an end in the middle": b'{"path": "out/a", "size": 9}\nx',
    "nothing": b"",
}


@pytest.mark.started
@pytest.mark.parametrize("said", LIES.values(), ids=LIES)
def test_the_host_believes_no_word_of_the_reader(tmp_path: Path, said: bytes) -> None:
    """A reader that was taken over can only give what was asked for, within the bounds."""
    (tmp_path / "said").write_bytes(said)
    shelf = Shelf()
    wanted = Wanted(patterns=("out/*",), most_files=2, most_bytes=MOST_BYTES, sink=shelf.sink)
    code = f"import sys; sys.stdout.buffer.write(open({str(tmp_path / 'said')!r}, 'rb').read())"
    folder = os.open(tmp_path, os.O_RDONLY)
    anchor = collecting.Anchor(folder)
    with patch.object(collecting, "_START", code):
        collected = collecting.collect(anchor, wanted)
    anchor.close()
    assert [file.path for file in collected.files] in ([], ["out/a"])
    assert any("ended early" in note for note in collected.notes)
    assert sum(map(len, shelf.kept.values())) <= MOST_BYTES


@pytest.mark.started
def test_neither_a_fifo_nor_a_huge_file_holds_the_reader_up(tmp_path: Path) -> None:
    """Neither can be made in the arena: its tree has no mkfifo, and its files have a limit."""
    tmp_path.chmod(0o777)
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    os.mkfifo(tmp_path / "out/fifo", 0o666)
    (tmp_path / "out/huge").touch(0o644)
    os.truncate(tmp_path / "out/huge", 2**40)
    (tmp_path / "out/good").write_bytes(b"good")
    (tmp_path / "out/good").chmod(0o644)
    shelf = Shelf()
    wanted = Wanted(
        patterns=("out/*",), most_files=9, most_bytes=99, sink=shelf.sink, seconds=HANGS_SECONDS
    )
    folder = os.open(tmp_path, os.O_RDONLY)
    collected = collecting.collect(collecting.Anchor(folder), wanted)
    os.close(folder)
    assert [file.path for file in collected.files] == ["out/good"]
    assert collected.notes[0] == "'out/fifo': it is a FIFO"
    assert f"'out/huge': it has {2**40} bytes" in collected.notes[1]


@pytest.mark.started
def test_a_reader_that_never_ends_is_killed_at_the_deadline(tmp_path: Path) -> None:
    shelf = Shelf()
    wanted = Wanted(
        patterns=("out/*",), most_files=2, most_bytes=MOST_BYTES, sink=shelf.sink, seconds=0.2
    )
    folder = os.open(tmp_path, os.O_RDONLY)
    with patch.object(collecting, "_START", "import time; time.sleep(600)"):
        collected = collecting.collect(collecting.Anchor(folder), wanted)
    os.close(folder)
    assert collected.notes == ("collecting ended early: it took too long",)


def test_a_sandbox_that_dies_while_its_folder_is_opened_gets_no_job(arena: Arena) -> None:
    """The folder may be another sandbox's, which has got the number of the dead process."""
    session = arena.start(tree_for(arena.tree, "run"), LIMITS)
    container, take = session._container, collecting.Anchor.take

    def taken(init: int) -> collecting.Anchor:
        anchor = take(init)
        os.kill(init, signal.SIGKILL)
        assert process.readable(container.init_pidfd, HANGS_SECONDS)
        return anchor

    wanted = Wanted(
        patterns=("*",), sink=Shelf().sink, most_files=64, most_bytes=MOST_BYTES, seconds=60
    )
    with patch.object(collecting.Anchor, "take", taken), pytest.raises(StartupError, match="died"):
        session.deliver(arena.job("1"), LIMITS, files=wanted)
