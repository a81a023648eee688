"""Copy the Python that runs Stencil into a tree. The copy is relocatable.

The copy has bin/python, a shared libpython if there is one, and the standard library. It leaves out
tests, graphical modules, and the files that are needed to build extensions. System libraries (libc,
OpenSSL, …) are those of the machine. The caller starts the copy in a cage before it is used.
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
# Names that are left out at any depth of the standard library.
NOT_SEALED = ("__pycache__", "test", "tests", "site-packages", "dist-packages")
# Left out at its top: graphical modules, installers, and files that adapt a system's own Python.
NOT_AT_TOP = (
    "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip", "lib2to3", "config-*",
    "EXTERNALLY-MANAGED", "sitecustomize.py", "usercustomize.py",
)  # fmt: skip
NOT_EXTENSIONS = ("_tkinter.*", "_test*", "_ctypes_test*", "_xx*", "xx*")


class InterpreterError(Exception):
    """This Python cannot be copied."""


def copy(tree: Path) -> None:
    """Copy the interpreter into a tree. Raises InterpreterError, OSError."""
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
    if not extensions.is_dir() and elsewhere.is_dir():  # lib64 is a folder of its own
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
    """A filter for `ignore` of `shutil.copytree`: the names of a folder that are left out."""

    def __init__(self, top: Path) -> None:
        self._top = str(top)
        self._at_top = shutil.ignore_patterns(*NOT_AT_TOP)
        self._anywhere = shutil.ignore_patterns(*NOT_SEALED)

    def __call__(self, folder: str, names: Iterable[str]) -> set[str]:
        listed = list(names)
        left = set(self._anywhere(folder, listed))
        return left | set(self._at_top(folder, listed)) if folder == self._top else left


def _library(binary: Path) -> Path | None:
    """Return the path of libpython if the binary is linked to it, else None.

    Raises InterpreterError if the library is not found.
    """
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
    """Return the binary with a relative search path for libpython instead of an absolute one.

    The path is a NUL-terminated string. The new path is not longer, so that it fits in its place.
    Return an unchanged binary if there is no such path.
    """
    for prefix in (sys.base_prefix, sysconfig.get_config_var("prefix")):
        path = b"\0" + os.fsencode(f"{prefix}/lib") + b"\0"
        if path in binary and len(BESIDE) + 2 <= len(path):
            ours = (b"\0" + BESIDE.encode()).ljust(len(path), b"\0")
            return binary.replace(path, ours, 1)
    return binary
