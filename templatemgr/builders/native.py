"""Compile the native parts of a definition: C sources to shared objects in the tree.

The compiler is zig's clang from the PyPI package `ziglang`. It runs in a cage without network, and
the cage shows the compiler and the C files of one folder of the definition: no package and no tree.
It runs after the packages were installed, so that no package can replace its output. The flags make
the output depend on the sources and on the version of the compiler only.
"""

import importlib.metadata
import importlib.util
import os
import platform
import tempfile
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from sandbox import cage
from sandbox.limits import MIB
from templatemgr.builders import steps
from templatemgr.builders.base import Job
from templatemgr.definitions import native, source_files
from templatemgr.errors import BuildError
from templatemgr.lockfile import Locked
from templatemgr.trees import foreign

PACKAGE = "ziglang"
COMPILER, SOURCES, OUTPUT = "/compiler", "/source", "part.so"
STEP = "installing"
WALL_MS = 2 * 60 * 1000
MEMORY_BYTES = 2048 * MIB
MAX_OUTPUT_BYTES = 8 * MIB
ELF = b"\x7fELF"
# The oldest C library that a part can be loaded beside, and what only one processor has.
TARGETS: Mapping[str, tuple[str, ...]] = {
    "x86_64": ("-target", "x86_64-linux-gnu.2.28", "-fcf-protection=full"),
    "aarch64": ("-target", "aarch64-linux-gnu.2.28", "-mbranch-protection=standard"),
}
# Freestanding: no header and no library of a system. Symbols are resolved when a part is loaded.
LANGUAGE = ("-std=gnu17", "-O2", "-ffreestanding", "-nostdlib", "-fPIC", "-shared")
STRICT = ("-Wall", "-Wextra", "-Werror", "-fno-color-diagnostics")
# Nothing in the output tells the time, a path or the machine of the build.
REPRODUCIBLE = ("-g0", "-s", "-fno-ident", f"-ffile-prefix-map={SOURCES}/=", "-Wl,--build-id=none")
HARDENED = (
    # zig refuses -fstack-protector without its own C library; any C library has what it needs.
    *("-Xclang", "-stack-protector", "-Xclang", "2"),
    "-fstack-clash-protection",
    *("-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"),
)
REINSTALL = "Install Stencil's environment again: python -m pip install -r requirements/run.lock."
REMEDIES = {
    r"file not found": "A source can include the C files of its own folder: list the header in "
    "`files` and put it beside the source. There are no headers of a system.",
    r"fatal error|error:": "Correct the C source: warnings are errors (-Wall -Wextra -Werror).",
    r"": REINSTALL,
}


def compile_parts(job: Job) -> None:
    """Compile every part of `[native]` into the job's tree, after the packages were installed.

    Do nothing for a definition without such parts. Raises BuildError, BuildCancelledError.
    """
    for target, sources in job.definition.native.items():
        shown = _contents(job, sources[0])
        job.log("build", f"Compiling {target} by zig {version()} from {_digests(shown)}.")
        data = _compiled(job, sources, shown)
        _place(job.tree, target, data)
        digest = sha256(data).hexdigest()
        job.log("build", f"Compiled {target}: {len(data)} bytes, sha256:{digest}")


def version() -> str:
    """Return the version of the installed compiler. Raises BuildError if it is missing."""
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise _missing() from None


def packages(parts: Mapping[str, tuple[str, ...]]) -> list[Locked]:
    """Return the compiler as an item of a version's packages; nothing without native parts.

    `parts` is `native` of a definition.
    """
    if not parts:
        return []
    first = next(iter(parts))
    return [
        Locked(
            name=PACKAGE, version=version(), direct=True, path=first, chain=(PACKAGE,),
            licence="MIT",
        )
    ]  # fmt: skip


def recorded(rows: Iterable[Mapping[str, Any]]) -> list[Locked]:
    """Return the compiler from the recorded packages of a version; nothing if it has none."""
    found = filter(is_compiler, rows)
    return [Locked(**{**row, "chain": tuple(row.get("chain", ()))}) for row in found]


def is_compiler(row: Mapping[str, Any]) -> bool:
    """Return whether a recorded package is the compiler, which no lock of a template holds.

    A template can also have the package as a tool: then its path is that of the package.
    """
    return row["name"] == PACKAGE and str(row.get("path", "")).endswith(".so")


def try_compiler() -> str:
    """Compile one line in a cage; return the compiler's version.

    Raises BuildError if the compiler is missing or broken, SandboxError if no cage can start.
    """
    said: list[str] = []
    found = version()
    with tempfile.TemporaryDirectory(prefix="stencil-native-") as folder:
        jail = _cage(Path(folder), {"trial.c": b"int trial;\n"})
        status = cage.run(jail, list(_argv(("trial.c",))), lambda _stream, text: said.append(text))
        if status != 0 or not Path(folder, OUTPUT).is_file():
            message = f"zig {found} ended with status {status}. {' '.join(said)[:300]}".strip()
            raise BuildError(message, step=STEP, remedy=REINSTALL)
    return found


def _contents(job: Job, source: str) -> dict[str, bytes]:
    """Return the C files of a source's folder by path, from the inputs and not from the tree."""
    places = source_files.locate(job.definition.root)
    visible = native.visible(job.definition.files, source)
    return {path: source_files.read(places[path], shown=path) for path in visible}


def _digests(contents: Mapping[str, bytes]) -> str:
    digests = (f"{path} sha256:{sha256(data).hexdigest()}" for path, data in contents.items())
    return ", ".join(digests)


def _compiled(job: Job, sources: tuple[str, ...], contents: Mapping[str, bytes]) -> bytes:
    """Return the shared object that the compiler makes of the sources."""
    with tempfile.TemporaryDirectory(prefix="native-", dir=job.workspace) as folder:
        _run(job, _cage(Path(folder), contents), _argv(sources))
        try:
            data = foreign.read_file(Path(folder, OUTPUT), most=MAX_OUTPUT_BYTES)
        except (OSError, ValueError) as error:
            message = f"The compiler's output cannot be read: {foreign.reason(error)}."
            raise BuildError(message, step=STEP, remedy=REINSTALL) from error
    if not data.startswith(ELF):
        raise BuildError("The compiler made no shared object.", step=STEP, remedy=REINSTALL)
    return data


def _cage(folder: Path, contents: Mapping[str, bytes]) -> cage.Cage:
    """Return a cage without network that can write in `folder` and shows only these sources."""
    return cage.Cage(
        writable=folder,
        read_only=((_folder(), COMPILER),),
        files={f"{SOURCES}/{path}": data for path, data in contents.items()},
        env={
            "TZ": "UTC",
            "ZIG_GLOBAL_CACHE_DIR": "/tmp/zig",  # noqa: S108 - inside the cage
            "ZIG_LOCAL_CACHE_DIR": "/tmp/zig",  # noqa: S108 - inside the cage
        },
        wall_ms=WALL_MS,
        memory_bytes=MEMORY_BYTES,
        disk_bytes=4 * MAX_OUTPUT_BYTES,
    )


def _argv(sources: tuple[str, ...]) -> tuple[str, ...]:
    machine = platform.machine()
    if machine not in TARGETS:
        message = f"Native parts cannot be compiled for {machine}."
        remedy = f"Build on one of: {', '.join(TARGETS)}; or leave `native` out."
        raise BuildError(message, step=STEP, remedy=remedy)
    flags = (*TARGETS[machine], *LANGUAGE, *STRICT, *REPRODUCIBLE, *HARDENED)
    named = (f"{SOURCES}/{source}" for source in sources)
    return (f"{COMPILER}/zig", "cc", *flags, "-o", f"/build/{OUTPUT}", *named)


def _run(job: Job, jail: cage.Cage, argv: tuple[str, ...]) -> None:
    job.log("build", " ".join(("$ zig", *argv[1:])))
    steps.run(
        job, jail, argv, step=STEP, what="The compiler of native parts", remedies=REMEDIES,
        mark="", first=True,
    )  # fmt: skip


def _place(tree: Path, target: str, data: bytes) -> None:
    """Write a part to the tree, where no file may be yet."""
    place = tree / target
    words = "Choose another path in `native`, where no package puts a file."
    if not steps.lies_in(tree, place):
        message = f"{target} would lie outside of the tree: a folder above it is a link."
        raise BuildError(message, step=STEP, remedy=words)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(place, flags, 0o644), "wb") as file:
            file.write(data)
    except (FileExistsError, NotADirectoryError) as error:
        message = f"{target} cannot be written: a package has put a file there."
        raise BuildError(message, step=STEP, remedy=words) from error


def _folder() -> Path:
    """Return the folder of the compiler. Raises BuildError if it is missing."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None or not Path(spec.origin).with_name("zig").is_file():
        raise _missing()
    return Path(spec.origin).resolve().parent


def _missing() -> BuildError:
    message = "The compiler of native parts is missing: the package ziglang is not installed."
    return BuildError(message, step=STEP, remedy=REINSTALL)
