"""Files of a program that has ended: decision 0047.

Before the job is delivered, `Anchor` takes a descriptor of the sandbox's folder src/. When every
process of the sandbox is dead, nobody can change what lies below it. `collect` then starts a
reader (`file_reader`) with that descriptor and the rights of the program. This process opens no
path that a program has made: it gets bytes by a pipe, and treats them as the program's own output.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sandbox.errors import SandboxError
from sandbox.isolation import process, profile
from sandbox.isolation.launch import this_host
from sandbox.session.file_patterns import Patterns
from sandbox.session.paths import check_paths
from sandbox.session.runner_messages import clean

_ROOT = str(Path(__file__).resolve().parents[2])
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from sandbox.session import file_reader; file_reader.main()"
)
_FOLDERS = ("workspace", "src")
_HOLD = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK_BYTES = 64 * 1024
_LINE_BYTES = 4096
_MOST_NOTES = 10
_NOTE = 400  # characters


class CollectingError(SandboxError):
    """The files of a sandbox cannot be collected."""


class Sink(Protocol):
    """The place of one file. `keep` or `drop` ends it."""

    def write(self, data: bytes) -> object:
        """Take the next bytes. OSError if they cannot be stored."""

    def keep(self, sha256: str) -> None:
        """Keep the file under its digest (64 hexadecimal digits). OSError."""

    def drop(self) -> None:
        """Forget what was written."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to collect: patterns that passed `check_patterns`, and the bounds of all together.

    `most_entries` bounds the entries of folders that are looked at, `seconds` the time. `sink`
    makes the place for one file.
    """

    patterns: tuple[str, ...]
    most_files: int
    most_bytes: int
    sink: Callable[[], Sink]
    most_entries: int = 20_000
    seconds: float = 5.0


@dataclass(frozen=True, kw_only=True)
class CollectedFile:
    """A file that was kept. `path` is relative to src/; `sha256` is hexadecimal."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Collected:
    """The files that were kept, by path, and notes about matching ones that were not."""

    files: tuple[CollectedFile, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class Anchor:
    """A descriptor of the folder src/ of one sandbox, taken before it had its job."""

    folder: int

    @classmethod
    def take(cls, init: int) -> "Anchor":
        """Hold the folder of the sandbox whose first process is `init`.

        No code of the submission has run: each step is a folder that the profile has made. A
        CollectingError says that this machine hides the folders of a sandbox.
        """
        with ExitStack() as held:
            try:
                folder = os.open(f"/proc/{init}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                for name in _FOLDERS:
                    held.callback(os.close, folder)
                    folder = os.open(name, _HOLD, dir_fd=folder)
            except OSError as error:
                raise CollectingError(f"the folder of the sandbox is hidden: {error}") from error
        return cls(folder)

    def close(self) -> None:
        """Let the folder go, with all that is in it."""
        os.close(self.folder)


def collect(anchor: Anchor, wanted: Wanted) -> Collected:
    """Collect the files of a sandbox in which no process lives any more.

    CollectingError if the reader cannot be started, OSError if a file cannot be stored.
    """
    deadline = time.monotonic() + wanted.seconds
    answer = _Answer(wanted)
    with _reader(anchor, wanted) as stream:
        try:
            answer.read(_Source(stream, deadline))
        except _OverError as error:
            answer.note(f"collecting ended early: {error}")
        finally:
            answer.end()
    files = sorted(answer.files, key=lambda file: file.path)
    return Collected(files=tuple(files), notes=answer.notes())


@contextmanager
def _reader(anchor: Anchor, wanted: Wanted) -> Iterator[int]:
    """Start the reader; give the end of the pipe from which its answer comes."""
    with ExitStack() as ours:
        with ExitStack() as theirs:
            question, ask = _pipe(theirs, theirs)
            answer, reply = _pipe(ours, theirs)
            nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            theirs.callback(os.close, nothing)
            os.write(ask, _request(wanted))  # smaller than a pipe
            argv = [sys.executable, "-I", "-S", "-B", "-c", _START, _ROOT]
            try:
                child = process.spawn(argv, (question, reply, nothing, anchor.folder), {})
            except OSError as error:
                raise CollectingError(f"the reader cannot be started: {error}") from error
        ours.callback(child.wait)
        ours.callback(child.kill)
        yield answer


def _pipe(readers: ExitStack, writers: ExitStack) -> tuple[int, int]:
    read, write = os.pipe()
    readers.callback(os.close, read)
    writers.callback(os.close, write)
    return read, write


def _request(wanted: Wanted) -> bytes:
    asked = {
        "patterns": list(wanted.patterns),
        "most_files": wanted.most_files,
        "most_bytes": wanted.most_bytes,
        "most_entries": wanted.most_entries,
        "cpu_seconds": int(wanted.seconds) + 1,
        # Without root's rights the files belong to the user of this process.
        "user": profile.INSIDE_ID if this_host().as_root else None,
    }
    return json.dumps(asked).encode() + b"\n"


class _OverError(Exception):
    """The answer ends, or is wrong."""


class _Source:
    """Bytes of the answer, until a deadline (monotonic seconds)."""

    def __init__(self, descriptor: int, deadline: float) -> None:
        self._descriptor = descriptor
        self._deadline = deadline
        self._waiting = bytearray()

    def line(self) -> bytes:
        """Return the next line without its end."""
        while b"\n" not in self._waiting:
            if len(self._waiting) > _LINE_BYTES:
                raise _OverError("the reader gave a wrong answer")
            self._waiting += self._more()
        line, _, rest = self._waiting.partition(b"\n")
        self._waiting = rest
        return bytes(line)

    def piece(self, most: int) -> bytes:
        """Return 1 to `most` bytes."""
        data = self._waiting[:most] or self._more()
        self._waiting = self._waiting[most:] if self._waiting else data[most:]
        return bytes(data[:most])

    def _more(self) -> bytearray:
        left = self._deadline - time.monotonic()
        if left <= 0 or not process.readable(self._descriptor, left):
            raise _OverError("it took too long")
        data = os.read(self._descriptor, _CHUNK_BYTES)
        if not data:
            raise _OverError("the reader ended before its answer was complete")
        return bytearray(data)


@dataclass
class _Answer:
    """What the reader says, checked against what was asked for."""

    wanted: Wanted
    files: list[CollectedFile] = field(default_factory=list)
    _notes: list[str] = field(default_factory=list)
    _more_notes: int = 0
    _open: Sink | None = None

    def read(self, source: _Source) -> None:
        """Read the whole answer. _OverError if it ends early or is wrong."""
        patterns = Patterns(self.wanted.patterns)
        bytes_left = self.wanted.most_bytes
        while True:
            message = _parse(source.line())
            if message == {"end": True}:
                return
            if set(message) == {"skipped", "why"}:
                self.note(f"{_text(message['skipped'])!r}: {_text(message['why'])}")
                continue
            path, size = message.get("path"), message.get("size")
            if set(message) != {"path", "size"} or not isinstance(path, str):
                raise _OverError("the reader gave a wrong answer")
            if type(size) is not int or not 0 <= size <= bytes_left:
                raise _OverError("the reader gave a wrong answer")
            if not self._allowed(path, patterns):
                raise _OverError("the reader gave a wrong answer")
            bytes_left -= size
            self._take(source, path, size)

    def note(self, text: str) -> None:
        """Keep a note for the client; count those that are too many."""
        if len(self._notes) < _MOST_NOTES:
            self._notes.append(clean(text, _NOTE))
        else:
            self._more_notes += 1

    def notes(self) -> tuple[str, ...]:
        """Return the notes, the last of which counts those that are left out."""
        more = (f"{self._more_notes} more",) if self._more_notes else ()
        return (*self._notes, *more)

    def end(self) -> None:
        """Forget a file that did not come whole."""
        if self._open is not None:
            self._open.drop()

    def _allowed(self, path: str, patterns: Patterns) -> bool:
        return (
            len(self.files) < self.wanted.most_files
            and not check_paths([path])
            and patterns.match(path)
            and all(file.path != path for file in self.files)
        )

    def _take(self, source: _Source, path: str, size: int) -> None:
        digest, left = hashlib.sha256(), size
        self._open = self.wanted.sink()
        while left:
            data = source.piece(left)
            digest.update(data)
            self._open.write(data)
            left -= len(data)
        sha256 = digest.hexdigest()
        self._open.keep(sha256)
        self._open = None
        self.files.append(CollectedFile(path=path, size_bytes=size, sha256=sha256))


def _parse(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _OverError("the reader gave a wrong answer") from error
    if not isinstance(message, dict):
        raise _OverError("the reader gave a wrong answer")
    return message


def _text(value: object) -> str:
    return clean(value, _NOTE) if isinstance(value, str) else "?"
