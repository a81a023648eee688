"""The process that reads files out of a dead sandbox: decision 0047. It runs without our libraries.

Descriptors: 0 gives one line of JSON (see `Request`), 1 takes the answer, 3 is the folder src/. No
other process writes below that folder any more. This process has the rights of the program, sees
no other folder, and follows no link. The host believes nothing that it answers.

The answer are lines of JSON: `{"path": …, "size": n}`, followed by n bytes; `{"skipped": path,
"why": text}`; and `{"end": true}` as the last.
"""

import json
import os
import resource
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from sandbox.session.file_patterns import Patterns, Places
from sandbox.session.paths import MAX_LEVELS, check_paths

FOLDER = 3
CHUNK_BYTES = 64 * 1024
_OPEN_FILES = 64
_ADDRESS_BYTES = 1024**3
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_SHOWN = 200  # characters of a path that is not collected


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to read. `user`: the uid and gid to take on, None: those it has already."""

    patterns: list[str]
    most_files: int
    most_bytes: int
    most_entries: int
    cpu_seconds: int
    user: int | None


class Walk:
    """One walk through the folder. It ends when enough was found or looked at."""

    def __init__(self, request: Request, out: BinaryIO) -> None:
        self._patterns = Patterns(request.patterns)
        self._files_left = request.most_files
        self._bytes_left = request.most_bytes
        self._entries_left = request.most_entries
        self._most = request
        self._out = out

    def run(self, folder: int) -> None:
        """Answer with all wanted files below `folder`, and the end."""
        self._device = os.fstat(folder).st_dev
        self._enter(folder, "", self._patterns.begin(), 1)
        self._say({"end": True})
        self._out.flush()

    def _enter(self, folder: int, above: str, places: Places, level: int) -> bool:
        """Walk one folder. Return False to end the whole walk."""
        named = self._patterns.names(places) is not None
        for name in self._names(folder, above, places):
            after = self._patterns.step(places, name)
            path = f"{above}{name}"
            if after and not self._look(folder, name, path, after, level, named=named):
                return False
        return True

    def _names(self, folder: int, above: str, places: Places) -> list[str]:
        named = self._patterns.names(places)
        if named is not None:
            return named
        found = []
        try:
            for name in self._listed(folder):
                self._entries_left -= 1
                if self._entries_left < 0:
                    why = f"more than {self._most.most_entries} entries were looked at"
                    self._skip(f"{above}*", why)
                    break
                found.append(name)
        except OSError as error:
            self._skip(above or ".", _reason(error))
        return sorted(found)

    def _listed(self, folder: int) -> Iterator[str]:
        if self._entries_left < 0:
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                yield entry.name

    def _look(
        self, folder: int, name: str, path: str, places: Places, level: int, *, named: bool
    ) -> bool:
        """Read a file or walk a folder. Return False to end the whole walk.

        `named`: a pattern names it without a wildcard, so that a link in its place is reported.
        """
        wanted = self._patterns.ended(places)
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            wanted = wanted or (named and stat.S_ISLNK(found.st_mode))
            if stat.S_ISDIR(found.st_mode):
                if not self._patterns.goes_on(places) or level == MAX_LEVELS:
                    return True
                return self._descend(folder, name, path, places, level)
            if not wanted:
                return True
            if not stat.S_ISREG(found.st_mode):
                self._skip(path, f"it is {_kind(found.st_mode)}")
                return True
            return self._file(folder, name, path)
        except FileNotFoundError:
            return True
        except OSError as error:
            self._skip(path, _reason(error))
            return True

    def _descend(self, folder: int, name: str, path: str, places: Places, level: int) -> bool:
        inner = os.open(name, _READ | os.O_DIRECTORY, dir_fd=folder)
        try:
            if os.fstat(inner).st_dev != self._device:
                return True
            return self._enter(inner, f"{path}/", places, level + 1)
        finally:
            os.close(inner)

    def _file(self, folder: int, name: str, path: str) -> bool:
        faults = check_paths([path])
        if faults:
            self._skip(path, faults[0][1])
            return True
        if not self._files_left:
            self._skip(path, f"at most {self._most.most_files} files are collected")
            return False
        file = os.open(name, _READ, dir_fd=folder)
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode) or found.st_dev != self._device:
                self._skip(path, "it is no regular file")
            elif found.st_size > self._bytes_left:
                most = self._most.most_bytes
                why = f"it has {found.st_size} bytes; all files together have at most {most}"
                self._skip(path, why)
            else:
                self._files_left -= 1
                self._bytes_left -= found.st_size
                self._send(file, path, found.st_size)
        finally:
            os.close(file)
        return True

    def _send(self, file: int, path: str, size: int) -> None:
        self._say({"path": path, "size": size})
        while size:
            data = os.read(file, min(size, CHUNK_BYTES))
            if not data:  # nobody can shorten it; the host refuses an answer that breaks off
                raise EOFError(path)
            self._out.write(data)
            size -= len(data)

    def _skip(self, path: str, why: str) -> None:
        shown = path[:_SHOWN].encode("utf-8", "replace").decode()
        self._say({"skipped": shown, "why": why})

    def _say(self, line: dict[str, object]) -> None:
        self._out.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "no regular file")


def _reason(error: OSError) -> str:
    return f"it cannot be read ({error.strerror})"


def confine(request: Request) -> None:
    """Give up all rights that reading the folder does not need."""
    for kind, value in {
        resource.RLIMIT_CPU: request.cpu_seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_AS: _ADDRESS_BYTES,
        resource.RLIMIT_CORE: 0,
    }.items():
        resource.setrlimit(kind, (value, value))
    if request.user is None:
        return
    os.fchdir(FOLDER)
    os.chroot(".")  # this process must have no other folder
    os.setgroups([])
    os.setresgid(request.user, request.user, request.user)
    os.setresuid(request.user, request.user, request.user)


def main() -> None:
    """Read the request and answer it."""
    request = Request(**json.loads(sys.stdin.buffer.readline()))
    confine(request)
    with open(1, "wb", closefd=False) as out:
        Walk(request, out).run(FOLDER)
