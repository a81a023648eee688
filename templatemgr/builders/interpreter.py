"""A copy of the Python that runs Stencil, relocatable: it finds its library in the tree.

bin/python, its libpython where it is shared, and the standard library without its tests, its
graphical parts and what it would need to build extensions. System libraries (libc, OpenSSL, …) are
those of the machine. The caller starts the copy in a cage before it is used.
"""

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
STDLIB = f"lib/{VERSION}"
SITE = f"{STDLIB}/site-packages"
BESIDE = "$ORIGIN/../lib"
# Of the standard library, wherever they lie in it.
NOT_SEALED = ("__pycache__", "test", "tests", "site-packages", "dist-packages")
# At its top: what is graphical, what installs, and what the system's own Python is changed by.
NOT_AT_TOP = (
    "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip", "lib2to3", "config-*",
    "EXTERNALLY-MANAGED", "sitecustomize.py", "usercustomize.py",
)  # fmt: skip
NOT_EXTENSIONS = ("_tkinter.*", "_test*", "_ctypes_test*", "_xx*", "xx*")


class InterpreterError(Exception):
    """This Python cannot be copied."""


def copy(tree: Path) -> None:
    """Put the interpreter into a tree. Raises InterpreterError, OSError."""
    binary = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    (tree / "bin").mkdir(parents=True, exist_ok=True)
    target = tree / "bin" / VERSION
    target.write_bytes(_relocated(binary.read_bytes()))
    target.chmod(0o755)
    for name in ("python", "python3"):
        (tree / "bin" / name).symlink_to(VERSION)
    (tree / "lib").mkdir(exist_ok=True)
    library = _library(binary)
    if library is not None:
        shutil.copy(library, tree / "lib" / library.name)
    _copy_library(tree)


def _copy_library(tree: Path) -> None:
    source = Path(sysconfig.get_path("stdlib"))
    if not (source / "os.py").is_file():
        message = f"The standard library is not a folder: {source}"
        raise InterpreterError(message)
    shutil.copytree(source, tree / STDLIB, ignore=_left_out(source))
    extensions = tree / STDLIB / "lib-dynload"
    elsewhere = Path(sysconfig.get_path("platstdlib", vars=_base())) / "lib-dynload"
    if not extensions.is_dir() and elsewhere.is_dir():  # where lib64 is another folder
        shutil.copytree(elsewhere, extensions, ignore=_left_out(elsewhere.parent))
    for pattern in NOT_EXTENSIONS:
        for path in extensions.glob(pattern):
            path.unlink()
    (tree / SITE).mkdir()


def _base() -> dict[str, str]:
    return {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}


def _left_out(top: Path) -> "_Filter":
    return _Filter(top)


class _Filter:
    """Return the names of a folder that `copytree` leaves out."""

    def __init__(self, top: Path) -> None:
        self._top = str(top)
        self._at_top = shutil.ignore_patterns(*NOT_AT_TOP)
        self._anywhere = shutil.ignore_patterns(*NOT_SEALED)

    def __call__(self, folder: str, names: Iterable[str]) -> set[str]:
        listed = list(names)
        left = set(self._anywhere(folder, listed))
        return left | set(self._at_top(folder, listed)) if folder == self._top else left


def _library(binary: Path) -> Path | None:
    """Find libpython if the binary asks for it by name."""
    name: str | None = sysconfig.get_config_var("INSTSONAME")
    if not name or os.fsencode(name) not in binary.read_bytes() or not name.endswith(".so.1.0"):
        return None
    folders = (Path(sys.base_prefix, "lib"), Path(sysconfig.get_config_var("LIBDIR") or "/"))
    found = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if found is None:
        message = f"{name} is in none of {', '.join(map(str, folders))}"
        raise InterpreterError(message)
    return found


def _relocated(binary: bytes) -> bytes:
    """Replace the absolute path at which the linker looks for libpython by one beside the binary.

    The path is a NUL-terminated string and the new one is shorter, so it is replaced in place.
    """
    for prefix in (sys.base_prefix, sysconfig.get_config_var("prefix")):
        path = b"\0" + os.fsencode(f"{prefix}/lib") + b"\0"
        if path in binary and len(BESIDE) + 2 <= len(path):
            ours = (b"\0" + BESIDE.encode()).ljust(len(path), b"\0")
            return binary.replace(path, ours, 1)
    return binary
