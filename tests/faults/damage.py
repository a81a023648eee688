"""Kinds of damage to a version, and the severity of each."""

import contextlib
import gzip
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from templatemgr import store
from tests.faults.installation import Installation

Do = Callable[[Installation], object]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A kind of damage: `severity` as the API shows it, `word` from the finding's text.

    `heals`: healing succeeds while the fault lasts. `nowhere`: no copy of the right bytes is left;
    a rebuild must be queued. `root`: only root can cause it. `user`: it is no damage for root.
    """

    name: str
    do: Do
    severity: str = "unsafe"
    word: str = ""
    heals: bool = True
    nowhere: bool = False
    root: bool = False
    user: bool = False


@contextmanager
def opened(folder: Path) -> Iterator[Path]:
    """Make a closed folder writable within the block; then restore its mode."""
    mode = folder.stat().st_mode & 0o7777
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            folder.chmod(mode)


def write_in_place(file: Path, data: bytes, *, at: int = 0, keep_times: bool = False) -> None:
    """Write into a file as a failing disk would, with the same inode and mode."""
    info = file.stat()
    file.chmod(0o644)
    with file.open("r+b") as opened_file:
        opened_file.seek(at)
        opened_file.write(data)
    file.chmod(info.st_mode & 0o7777)
    if keep_times:
        os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))


def truncate(file: Path, *, to: int, then: int | None = None) -> None:
    mode = file.stat().st_mode & 0o7777
    file.chmod(0o644)
    os.truncate(file, to)
    if then is not None:
        os.truncate(file, then)  # a hole where the bytes were
    file.chmod(mode)


def replace(path: Path, make: Callable[[Path], object]) -> None:
    """Remove a path and put something else in its place."""
    with opened(path.parent):
        store.remove(path)
        make(path)


def add(path: Path, make: Callable[[Path], object]) -> None:
    with opened(path.parent):
        make(path)


def move(source: Path, target: Path) -> None:
    with opened(source.parent), opened(target.parent):
        mode = source.lstat().st_mode & 0o7777
        if source.is_dir() and not source.is_symlink():
            source.chmod(0o755)
        source.rename(target)
        if target.is_dir() and not target.is_symlink():
            target.chmod(mode)


def folder_with(*names: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        for name in names or ("",):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(name) if name else path.mkdir(exist_ok=True)

    return make


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def a_socket(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def copied_link(place: Installation) -> None:
    """Replace a link to a folder by a folder of copies, as `cp -rL` does."""
    target = place.tree / "folder"
    with opened(place.tree):
        target.unlink()
        shutil.copytree(place.tree / "lib/deep", target)


def to_copy(place: Installation, path: Path) -> None:
    """Copy a path elsewhere and replace it by a link to the copy."""
    copy = place.outside / "copy"
    shutil.copytree(path, copy, symlinks=True, copy_function=shutil.copy2)
    replace(path, lambda place: place.symlink_to(copy))


def fixed(path: Path) -> None:
    subprocess.run(["chattr", "+i", str(path)], check=True)


def mount(place: Installation, source: Path, target: Path, *options: str) -> None:
    subprocess.run(["mount", "--bind", str(source), str(target)], check=True)
    place.undo.append(lambda: subprocess.run(["umount", "-l", str(target)], check=False))
    if options:
        argv = ["mount", "-o", ",".join(("remount", "bind", *options)), str(target)]
        subprocess.run(argv, check=True)


def mount_empty(place: Installation, target: Path) -> None:
    empty = place.outside / "empty"
    empty.mkdir(exist_ok=True)
    mount(place, empty, target)


def at_place(place: Installation, path: str, make: Callable[[Path], object]) -> None:
    """Put something in the place of a folder or lock of the data directory."""
    entry = place.data / path
    store.remove(entry)
    entry.parent.mkdir(parents=True, exist_ok=True)
    make(entry)


def lock_is(make: Callable[[Path], object]) -> Do:
    return lambda place: at_place(place, "store.lock", make)


def both_do(*acts: Do) -> Do:
    return lambda place: [act(place) for act in acts]


def deep(path: Path) -> None:
    path.mkdir()
    here = os.open(path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=here)
        there = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)


def manifest(data: bytes) -> Do:
    return lambda place: replace(place.home / "manifest.json.gz", lambda p: p.write_bytes(data))


def flipped_manifest(place: Installation) -> None:
    """Flip a bit in the deflate stream, so that reading raises zlib.error."""
    file = place.home / "manifest.json.gz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    write_in_place(file, bytes(data))


def on_object(act: Callable[[Path], object], path: str = "lib/a.js") -> Do:
    return lambda place: act(place.object_of(path))


def object_alone(path: Path) -> None:
    """Replace a file of the store by other bytes in a new inode, which no version links."""
    path.unlink()
    path.write_text("evil")
    path.chmod(0o444)


def sound_copy(path: Path, *, note: bool = False) -> None:
    """Replace a file of the store by an inode of its own with the same bytes and mode."""
    data, mode = path.read_bytes(), path.stat().st_mode & 0o7777
    path.unlink()
    path.write_bytes(data)
    if note:
        os.setxattr(path, "user.note", b"1")
    path.chmod(mode)


def other_mode(path: Path) -> None:
    """Replace a file by the same bytes in a new inode that every user may write to."""
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.rename(path)
    path.chmod(0o666)


def acl(path: Path) -> None:
    """Set a POSIX access list that lets another user write. Format: linux/posix_acl_xattr.h."""
    entries = [(1, 7, 0xFFFFFFFF), (2, 7, 1234), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF),
               (32, 5, 0xFFFFFFFF)]  # fmt: skip
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_access", data)


CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)

TREE = [
    Fault(name="a byte in place", nowhere=True,
          do=lambda h: write_in_place(h.tree / "lib/a.js", b"S"),
          word="lib/a.js"),
    Fault(name="a byte, times kept", nowhere=True, word="lib/deep/er/c.js",
          do=lambda h: write_in_place(h.tree / "lib/deep/er/c.js", b"x", at=9, keep_times=True)),
    Fault(name="truncated", nowhere=True, do=lambda h: truncate(h.tree / "own", to=0), word="own"),
    Fault(name="a hole of the same size", nowhere=True, word="lib/deep/er/c.js",
          do=lambda h: truncate(h.tree / "lib/deep/er/c.js", to=0, then=5000)),
    Fault(name="appended", nowhere=True,
          do=lambda h: write_in_place(h.tree / "own", b"more", at=6)),
    Fault(name="another inode", do=lambda h: replace(h.tree / "own", text("evil"))),
    Fault(name="missing file", do=lambda h: replace(h.tree / "own", lambda _: None)),
    Fault(name="missing program", do=lambda h: replace(h.tree / "run", lambda _: None)),
    Fault(name="missing folder", do=lambda h: replace(h.tree / "lib", lambda _: None)),
    Fault(name="everything missing", do=lambda h: replace(h.tree, lambda p: p.mkdir())),
    Fault(name="added file", do=lambda h: add(h.tree / "new", text("x")), word="new"),
    Fault(name="added nested folders", word="new",
          do=lambda h: add(h.tree / "new", folder_with("a/b/c/d.txt", "a/e.txt", "f.txt"))),
    Fault(name="added folder that is closed", word="new", do=lambda h: add(
        h.tree / "new", lambda p: (folder_with("in/f")(p), (p / "in").chmod(0), p.chmod(0)))),
    Fault(name="moved folder", do=lambda h: move(h.tree / "lib", h.tree / "lib2")),
    Fault(name="moved into another", do=lambda h: move(h.tree / "lib/deep", h.tree / "runner/d")),
    Fault(name="two files swapped", do=lambda h: (
        move(h.tree / "own", h.tree / "x"), move(h.tree / "said.txt", h.tree / "own"),
        move(h.tree / "x", h.tree / "said.txt"))),
    Fault(name="file to empty folder", do=lambda h: replace(h.tree / "own", folder_with())),
    Fault(name="file to folder with files", word="own",
          do=lambda h: replace(h.tree / "own", folder_with("a", "b/c"))),
    Fault(name="program to folder with a file",
          do=lambda h: replace(h.tree / "run", folder_with("a"))),
    Fault(name="link to folder with a file",
          do=lambda h: replace(h.tree / "link", folder_with("a"))),
    Fault(name="link to a folder copied as by cp -rL", do=copied_link),
    Fault(name="folder to link to a copy", do=lambda h: to_copy(h, h.tree / "lib")),
    Fault(name="folder to file", do=lambda h: replace(h.tree / "lib", text("x"))),
    Fault(name="folder to link outside",
          do=lambda h: replace(h.tree / "lib", lambda p: p.symlink_to(h.outside))),
    Fault(name="file to pipe", do=lambda h: replace(h.tree / "own", os.mkfifo)),
    Fault(name="file to socket", do=lambda h: replace(h.tree / "own", a_socket)),
    Fault(name="file to device", root=True, do=lambda h: replace(
        h.tree / "own", lambda p: os.mknod(p, 0o20444, os.makedev(1, 5)))),
    Fault(name="folder to pipe", do=lambda h: replace(h.tree / "lib", os.mkfifo)),
    Fault(name="added pipe", do=lambda h: add(h.tree / "lib/pipe", os.mkfifo)),
    Fault(name="file to link to the canary",
          do=lambda h: replace(h.tree / "own", lambda p: p.symlink_to(h.canary))),
    Fault(name="file is a foreign hard link",
          do=lambda h: replace(h.tree / "own", lambda p: os.link(h.canary, p))),
    Fault(name="added foreign hard link",
          do=lambda h: add(h.tree / "lib/more", lambda p: os.link(h.canary, p))),
    Fault(name="file mode", do=lambda h: (h.tree / "own").chmod(0o644), word="mode"),
    Fault(name="file mode 000", do=lambda h: (h.tree / "own").chmod(0)),
    Fault(name="setuid", do=lambda h: (h.tree / "run").chmod(0o4555), word="mode"),
    Fault(name="folder mode", do=lambda h: (h.tree / "lib").chmod(0o777), word="mode"),
    Fault(name="folder mode 000", do=lambda h: (h.tree / "lib").chmod(0)),
    Fault(name="root mode", do=lambda h: h.tree.chmod(0o755), word="mode"),
    Fault(name="root mode 000", do=lambda h: h.tree.chmod(0)),
    Fault(name="home writable for all", do=lambda h: h.home.chmod(0o777), word="mode"),
    Fault(name="home mode 000", do=lambda h: h.home.chmod(0)),
    Fault(name="file owner", do=lambda h: os.chown(h.tree / "own", 1234, -1), root=True,
          word="owner"),
    Fault(name="group", do=lambda h: os.chown(h.tree / "own", -1, 1234), root=True, word="owner"),
    Fault(name="folder owner", do=lambda h: os.chown(h.tree / "lib", 1234, 1234), root=True,
          word="owner"),
    Fault(name="root owner", do=lambda h: os.chown(h.tree, 1234, 1234), root=True, word="owner"),
    Fault(name="home owner", do=lambda h: os.chown(h.home, 1234, 1234), root=True, word="owner"),
    Fault(name="link owner", root=True, word="owner",
          do=lambda h: os.chown(h.tree / "link", 1234, -1, follow_symlinks=False)),
    Fault(name="capability", root=True, word="security.capability",
          do=lambda h: os.setxattr(h.tree / "run", "security.capability", CAPABILITY)),
    Fault(name="note on a folder", word="user.note", do=lambda h: (
        (h.tree / "lib").chmod(0o755), os.setxattr(h.tree / "lib", "user.note", b"1"),
        (h.tree / "lib").chmod(0o555))),
    Fault(name="note on the root", word="user.note", do=lambda h: (
        h.tree.chmod(0o755), os.setxattr(h.tree, "user.note", b"1"), h.tree.chmod(0o555))),
    Fault(name="note on a file", word="user.note", do=lambda h: (
        (h.tree / "own").chmod(0o644), os.setxattr(h.tree / "own", "user.note", b"1"),
        (h.tree / "own").chmod(0o444))),
    Fault(name="access list", do=lambda h: acl(h.tree / "lib"), word="posix_acl"),
    Fault(name="unchangeable added file", root=True,
          do=lambda h: (add(h.tree / "new", text("x")), fixed(h.tree / "new"))),
    Fault(name="unchangeable changed file", root=True, do=lambda h: (
        replace(h.tree / "own", text("evil")), fixed(h.tree / "own"))),
    Fault(name="unchangeable folder with more", root=True, do=lambda h: (
        add(h.tree / "lib/deep/new", text("x")), fixed(h.tree / "lib/deep"))),
    Fault(name="unchangeable added folders", root=True, do=lambda h: (
        add(h.tree / "new", folder_with("a/b/c")), fixed(h.tree / "new/a/b"))),
    Fault(name="unchangeable root", root=True,
          do=lambda h: (add(h.tree / "new", text("x")), fixed(h.tree), fixed(h.home))),
    Fault(name="case alone", do=lambda h: move(h.tree / "own", h.tree / "OWN"), word="OWN"),
    Fault(name="link elsewhere", do=lambda h: replace(
        h.tree / "link", lambda p: p.symlink_to("own"))),
    Fault(name="link in a loop", do=lambda h: replace(
        h.tree / "link", lambda p: p.symlink_to("link"))),
    Fault(name="link to a directory above", do=lambda h: replace(
        h.tree / "folder", lambda p: p.symlink_to(".."))),
    Fault(name="tree is a link to a copy", do=lambda h: to_copy(h, h.tree)),
    Fault(name="tree is a file", do=lambda h: replace(h.tree, text("x"))),
    Fault(name="tree is a pipe", do=lambda h: replace(h.tree, os.mkfifo)),
    Fault(name="tree is missing", do=lambda h: replace(h.tree, lambda _: None)),
    Fault(name="tree leads nowhere", do=lambda h: replace(
        h.tree, lambda p: p.symlink_to("nowhere"))),
    Fault(name="tree in a loop", do=lambda h: replace(h.tree, lambda p: p.symlink_to("tree"))),
    Fault(name="home is a file", do=lambda h: replace(h.home, text("x"))),
    Fault(name="home is missing", do=lambda h: replace(h.home, lambda _: None)),
    Fault(name="home is a link to a copy", do=lambda h: to_copy(h, h.home)),
    Fault(name="versions is a file", do=lambda h: replace(h.home.parent, text("x"))),
    Fault(name="the template is a file", do=lambda h: replace(h.home.parents[1], text("x"))),
    Fault(name="templates is a file", do=lambda h: replace(h.data / "templates", text("x"))),
    Fault(name="templates is a pipe", do=lambda h: replace(h.data / "templates", os.mkfifo)),
    Fault(name="templates lead nowhere", do=lambda h: replace(
        h.data / "templates", lambda p: p.symlink_to("nowhere"))),
    Fault(name="templates mode 000", user=True, do=lambda h: (h.data / "templates").chmod(0)),
    Fault(name="versions mode 000", user=True, do=lambda h: h.home.parent.chmod(0)),
    Fault(name="unchangeable versions, home a file", root=True, do=lambda h: (
        replace(h.home, text("x")), fixed(h.home.parent))),
    Fault(name="unchangeable versions, mounted over a folder", root=True, word="mounted",
          do=lambda h: (mount_empty(h, h.tree / "lib"), fixed(h.home.parent))),
    Fault(name="staging a file, mounted over a folder", root=True, word="mounted", do=lambda h: (
        mount_empty(h, h.tree / "lib"), at_place(h, "templates/fake/staging", text("x")))),
    Fault(name="staging leads nowhere, mounted over a folder", root=True, word="mounted",
          do=lambda h: (mount_empty(h, h.tree / "lib"), at_place(
              h, "templates/fake/staging", lambda p: p.symlink_to("nowhere")))),
    Fault(name="aside a file, home a file", do=lambda h: (
        at_place(h, "aside", text("x")), replace(h.home, text("x")))),
    Fault(name="aside leads nowhere, tree a file", do=lambda h: (
        at_place(h, "aside", lambda p: p.symlink_to("nowhere")), replace(h.home, text("x")))),
    *(Fault(name=f"store.lock {name}, missing file", word="own", root=root,
            do=both_do(lock_is(make), lambda h: replace(h.tree / "own", lambda _: None)))
      for name, make, root in (
          ("a folder", folder_with("a"), False),
          ("in a loop", lambda p: p.symlink_to("store.lock"), False),
          ("leads nowhere", lambda p: p.symlink_to("nope/nope"), False),
          ("a pipe", os.mkfifo, False),
          ("a socket", a_socket, False),
          ("a device", lambda p: os.mknod(p, 0o20600, os.makedev(240, 200)), True),
          ("unchangeable", lambda p: (p.touch(), fixed(p)), True),
          ("mode 000", lambda p: p.touch(0), False),
      )),
    Fault(name="name that is no text",
          do=lambda h: add(h.tree / os.fsdecode(b"\xff\xfe"), text("x"))),
    Fault(name="name with a newline", do=lambda h: add(h.tree / "a\nb", text("x"))),
    Fault(name="long name", do=lambda h: add(h.tree / ("n" * 255), text("x"))),
    Fault(name="300 folders deep", do=lambda h: add(h.tree / "new", deep)),
    Fault(name="a thousand added files", do=lambda h: add(
        h.tree / "new", folder_with(*(f"{n}" for n in range(1000))))),
    Fault(name="mounted over a folder", root=True, word="mounted",
          do=lambda h: mount_empty(h, h.tree / "lib")),
    Fault(name="mounted over a file", root=True, word="mounted",
          do=lambda h: mount(h, h.canary, h.tree / "own")),
    Fault(name="the tree mounted over itself", root=True, word="mounted",
          do=lambda h: mount(h, h.tree, h.tree)),
    Fault(name="mounted over the version", root=True, word="mounted", heals=False,
          do=lambda h: mount_empty(h, h.home)),
    Fault(name="read-only mount with a bad byte", root=True, word="mounted", heals=False,
          do=lambda h: (replace(h.tree / "own", text("evil")), mount(h, h.home, h.home, "ro"))),
]  # fmt: skip

REST = [
    Fault(name="cache byte", severity="not_provable", word="cache/filled",
          do=lambda h: write_in_place(h.home / "cache/filled", b"X")),
    Fault(name="cache missing", severity="not_provable", word="cache",
          do=lambda h: replace(h.home / "cache", lambda _: None)),
    Fault(name="cache is a file", severity="not_provable", word="cache",
          do=lambda h: replace(h.home / "cache", text("x"))),
    Fault(name="cache is a link", severity="not_provable", word="cache",
          do=lambda h: to_copy(h, h.home / "cache")),
    Fault(name="cache added", severity="not_provable", word="cache/more",
          do=lambda h: add(h.home / "cache/more", text("x"))),
    Fault(name="cache mode", severity="not_provable", word="cache",
          do=lambda h: (h.home / "cache").chmod(0o777)),
    Fault(name="cache mode 000", severity="not_provable", word="cache",
          do=lambda h: (h.home / "cache").chmod(0)),
    Fault(name="unchangeable cache", severity="not_provable", root=True, do=lambda h: (
        write_in_place(h.home / "cache/filled", b"X"), fixed(h.home / "cache"))),
    Fault(name="cache manifest", severity="not_provable", word="cache-manifest",
          do=lambda h: write_in_place(h.home / "cache-manifest.json.gz", b"no")),
    Fault(name="manifest flip", severity="not_provable", do=flipped_manifest, word="manifest"),
    Fault(name="manifest missing", severity="not_provable", word="manifest",
          do=lambda h: replace(h.home / "manifest.json.gz", lambda _: None)),
    Fault(name="manifest empty", severity="not_provable", do=manifest(b""), word="manifest"),
    Fault(name="manifest a folder", severity="not_provable", word="manifest",
          do=lambda h: replace(h.home / "manifest.json.gz", folder_with("a"))),
    Fault(name="manifest a pipe", severity="not_provable", word="manifest",
          do=lambda h: replace(h.home / "manifest.json.gz", os.mkfifo)),
    Fault(name="manifest a link", severity="not_provable", word="manifest",
          do=lambda h: replace(h.home / "manifest.json.gz", lambda p: p.symlink_to("/dev/zero"))),
    Fault(name="manifest followed by more", severity="not_provable", word="manifest",
          do=lambda h: write_in_place(h.home / "manifest.json.gz", b"more",
                                      at=(h.home / "manifest.json.gz").stat().st_size)),
    Fault(name="manifest cut", severity="not_provable", word="manifest",
          do=lambda h: truncate(h.home / "manifest.json.gz", to=60)),
    Fault(name="manifest too deep to parse", severity="not_provable", word="manifest",
          do=manifest(gzip.compress(b"[" * 200_000))),
    Fault(name="manifest of wrong types", severity="not_provable", word="manifest",
          do=manifest(gzip.compress(b'{"format":1,"entries":[{"path":1,"kind":{},"mode":"x"}]}'))),
    Fault(name="manifest that climbs", severity="not_provable", word="manifest",
          do=manifest(gzip.compress(
              b'{"format":1,"entries":[{"path":"../x","kind":"folder","mode":365}]}'))),
    Fault(name="inputs byte", severity="not_provable", word="inputs",
          do=lambda h: write_in_place(h.home / "inputs/said.txt", b"J")),
    Fault(name="inputs definition", severity="not_provable", word="inputs",
          do=lambda h: write_in_place(h.home / "inputs/template.toml", b"\xff\xfe")),
    Fault(name="inputs definition a pipe", severity="not_provable", word="inputs",
          do=lambda h: replace(h.home / "inputs/template.toml", os.mkfifo)),
    Fault(name="inputs definition a socket", severity="not_provable", word="inputs",
          do=lambda h: replace(h.home / "inputs/template.toml", a_socket)),
    Fault(name="inputs definition a device", severity="not_provable", word="inputs", root=True,
          do=lambda h: replace(h.home / "inputs/template.toml",
                               lambda p: os.mknod(p, 0o20444, os.makedev(1, 5)))),
    Fault(name="inputs case a pipe", severity="not_provable", word="inputs",
          do=lambda h: replace(h.home / "inputs/smoke/run/case.toml", os.mkfifo)),
    Fault(name="inputs file of 2 GiB", severity="not_provable", word="inputs",
          do=lambda h: truncate(h.home / "inputs/said.txt", to=2 << 30)),
    Fault(name="inputs definition of 2 GiB", severity="not_provable", word="inputs",
          do=lambda h: truncate(h.home / "inputs/template.toml", to=2 << 30)),
    Fault(name="inputs name that is no text", severity="not_provable", word="inputs",
          do=lambda h: add(h.home / "inputs" / os.fsdecode(b"\xff\xfe"), text("x"))),
    Fault(name="inputs missing", severity="not_provable", word="inputs",
          do=lambda h: replace(h.home / "inputs", lambda _: None)),
    Fault(name="inputs a file", severity="not_provable", word="inputs",
          do=lambda h: replace(h.home / "inputs", text("x"))),
    Fault(name="inputs a link", severity="not_provable", word="inputs",
          do=lambda h: to_copy(h, h.home / "inputs")),
    Fault(name="inputs added", severity="not_provable", word="inputs",
          do=lambda h: add(h.home / "inputs/more", text("x"))),
    Fault(name="inputs no longer executable", severity="not_provable", word="mode",
          do=lambda h: (h.home / "inputs/runner/main.sh").chmod(0o444)),
    Fault(name="inputs folder mode", severity="not_provable", word="mode",
          do=lambda h: (h.home / "inputs").chmod(0o777)),
    Fault(name="inputs owner", severity="not_provable", word="owner", root=True,
          do=lambda h: os.chown(h.home / "inputs/said.txt", 1234, -1)),
    Fault(name="object copy of another owner", severity="not_provable", word="owner", root=True,
          do=on_object(lambda p: (sound_copy(p), os.chown(p, 1234, -1)))),
    Fault(name="object copy with a note", severity="not_provable", word="attributes",
          do=on_object(lambda p: sound_copy(p, note=True))),
    Fault(name="object copy with a capability", severity="not_provable", root=True,
          word="attributes", do=on_object(lambda p: (
              sound_copy(p), os.setxattr(p, "security.capability", CAPABILITY)))),
    Fault(name="object missing", severity="not_provable", word="objects/",
          do=on_object(lambda p: p.unlink())),
    Fault(name="object of other bytes", severity="not_provable", word="objects/",
          do=on_object(object_alone)),
    Fault(name="object a folder", severity="not_provable", word="objects/",
          do=on_object(lambda p: (p.unlink(), folder_with("a")(p)))),
    Fault(name="object a link", severity="not_provable", word="objects/",
          do=on_object(lambda p: (p.unlink(), p.symlink_to("/etc/passwd")))),
    Fault(name="object a pipe", severity="not_provable", word="objects/",
          do=on_object(lambda p: (p.unlink(), os.mkfifo(p)))),
    Fault(name="object of another mode", severity="not_provable", word="objects/",
          do=on_object(other_mode)),
    Fault(name="objects/xx a file", severity="not_provable", word="objects/",
          do=on_object(lambda p: (shutil.rmtree(p.parent), p.parent.write_text("x")))),
    Fault(name="objects/xx missing", severity="not_provable", word="objects/",
          do=on_object(lambda p: shutil.rmtree(p.parent))),
    Fault(name="all objects missing", severity="not_provable", word="objects/",
          do=lambda h: (shutil.rmtree(h.data / "objects"), (h.data / "objects").mkdir())),
    Fault(name="objects a file", severity="not_provable", word="objects/",
          do=lambda h: (shutil.rmtree(h.data / "objects"), (h.data / "objects").write_text("x"))),
    Fault(name="all objects mode 000", user=True, severity="not_provable", word="objects/",
          do=lambda h: (h.data / "objects").chmod(0)),
    Fault(name="objects lead nowhere", severity="not_provable", word="objects/",
          do=lambda h: replace(h.data / "objects", lambda p: p.symlink_to("nowhere"))),
    Fault(name="objects a pipe", severity="not_provable", word="objects/",
          do=lambda h: replace(h.data / "objects", os.mkfifo)),
    Fault(name="store.lock in a loop, cache byte", severity="not_provable", word="cache/filled",
          do=lambda h: (at_place(h, "store.lock", lambda p: p.symlink_to("store.lock")),
                        write_in_place(h.home / "cache/filled", b"X"))),
    Fault(name="unchangeable objects/xx, object missing", root=True, severity="not_provable",
          word="objects/", do=on_object(lambda p: (p.unlink(), fixed(p.parent)))),
    Fault(name="unchangeable objects, objects/xx missing", root=True, severity="not_provable",
          word="objects/", do=on_object(lambda p: (shutil.rmtree(p.parent),
                                                   fixed(p.parents[1])))),
    Fault(name="aside a file, object a folder", severity="not_provable", word="objects/",
          do=lambda h: (at_place(h, "aside", text("x")), on_object(
              lambda p: (p.unlink(), folder_with("a")(p)))(h))),
    Fault(name="unchangeable objects/xx, object and file missing", root=True,
          word="lib/a.js", do=both_do(
              on_object(lambda p: (p.unlink(), fixed(p.parent))),
              lambda h: replace(h.tree / "lib/a.js", lambda _: None))),
    *(Fault(name=f"cache byte, refills {name}", severity="not_provable", word="cache/filled",
            root=root, do=both_do(act, lambda h: write_in_place(h.home / "cache/filled", b"X")))
      for name, act, root in (
          ("a file", lambda h: at_place(h, "refills", text("x")), False),
          ("leads nowhere", lambda h: at_place(
              h, "refills", lambda p: p.symlink_to("nowhere")), False),
          ("a pipe", lambda h: at_place(h, "refills", os.mkfifo), False),
          ("mode 000", lambda h: at_place(h, "refills", lambda p: p.mkdir(0)), False),
          ("another filesystem", lambda h: at_place(
              h, "refills", lambda p: (p.mkdir(), mount_empty(h, p))), True),
      )),
    Fault(name="unchangeable cache manifest, flipped", root=True, severity="not_provable",
          word="cache-manifest", do=lambda h: (
              write_in_place(h.home / "cache-manifest.json.gz", b"no"),
              fixed(h.home / "cache-manifest.json.gz"))),
    Fault(name="unchangeable cache manifest, cache byte", root=True, severity="not_provable",
          word="cache/filled", do=lambda h: (write_in_place(h.home / "cache/filled", b"X"),
                                             fixed(h.home / "cache-manifest.json.gz"))),
    Fault(name="cache manifest a folder with an unchangeable file", root=True,
          severity="not_provable", word="cache-manifest", do=lambda h: (
              replace(h.home / "cache-manifest.json.gz", folder_with("a")),
              fixed(h.home / "cache-manifest.json.gz/a"))),
    Fault(name="manifest a folder with an unchangeable file", root=True, severity="not_provable",
          word="manifest", do=lambda h: (
              replace(h.home / "manifest.json.gz", folder_with("a")),
              fixed(h.home / "manifest.json.gz/a"))),
    Fault(name="unchangeable manifest, flipped", root=True, severity="not_provable",
          word="manifest", do=lambda h: (flipped_manifest(h), fixed(h.home / "manifest.json.gz"))),
    Fault(name="unchangeable file of the inputs", root=True, severity="not_provable",
          word="inputs", do=lambda h: (write_in_place(h.home / "inputs/said.txt", b"J"),
                                       fixed(h.home / "inputs/said.txt"))),
    Fault(name="unchangeable inputs", root=True, severity="not_provable", word="inputs",
          do=lambda h: (write_in_place(h.home / "inputs/said.txt", b"J"),
                        fixed(h.home / "inputs"))),
    Fault(name="mounted over the manifest", root=True, severity="not_provable", word="mounted",
          heals=False, do=lambda h: mount(h, h.canary, h.home / "manifest.json.gz")),
    Fault(name="mounted over the cache", root=True, severity="not_provable", word="mounted",
          heals=False, do=lambda h: mount_empty(h, h.home / "cache")),
    Fault(name="mounted over a file of the cache", root=True, severity="not_provable",
          word="mounted", do=lambda h: mount(h, h.canary, h.home / "cache/filled")),
    Fault(name="mounted over the inputs", root=True, severity="not_provable", word="mounted",
          heals=False, do=lambda h: mount_empty(h, h.home / "inputs")),
    Fault(name="mounted over a file of the inputs", root=True, severity="not_provable",
          word="mounted", do=lambda h: mount(h, h.canary, h.home / "inputs/said.txt")),
    Fault(name="objects mode 000", user=True, severity="not_provable", word="objects/",
          do=on_object(lambda p: p.parent.chmod(0))),
]  # fmt: skip


def both(*parts: str) -> Do:
    """Return several kinds of damage as one, done in this order."""

    def do(place: Installation) -> None:
        for name in parts:
            BY_NAME[name].do(place)

    return do


BY_NAME = {fault.name: fault for fault in (*TREE, *REST)}
NOWHERE = {
    ("a byte in place", "object missing"),
    ("a byte in place", "manifest flip"),
    ("home is missing", "all objects missing"),
}
PAIRS = [
    Fault(
        name=" + ".join(pair),
        do=both(*pair),
        root=any(BY_NAME[p].root for p in pair),
        nowhere=pair in NOWHERE,
    )
    for pair in [
        ("a byte in place", "object missing"),
        ("a byte in place", "manifest flip"),
        ("missing file", "cache byte"),
        ("missing folder", "inputs missing"),
        ("tree is missing", "manifest missing"),
        ("added nested folders", "file to folder with files"),
        ("link to a folder copied as by cp -rL", "moved folder"),
        ("tree is a file", "objects/xx a file"),
        ("home is missing", "all objects missing"),
        ("folder mode 000", "manifest empty"),
        ("root mode 000", "cache is a file"),
        ("file is a foreign hard link", "folder to link outside"),
        ("setuid", "object of other bytes"),
        ("two files swapped", "inputs byte"),
        ("unchangeable changed file", "unchangeable cache"),
        ("file to folder with files", "mounted over a folder"),
        ("file owner", "capability"),
    ]
]
EVERY = [*TREE, *REST, *PAIRS]
