"""Build a source distribution. The copied interpreter runs this script in a cage without network.

Usage: `build_source.py <task> <folder> <archive>`. The script unpacks the archive into
`<folder>/source`. The packages that the build requires lie in `<folder>/env`. The tasks write their
results into the folder:

- declared: write `requires` of [build-system] to requirements.json (a list). Run no code of the
  archive.
- backend: write the further requirements of the build backend to requirements.json (a list).
- wheel: write the wheel to out/<name>.whl and its METADATA to metadata.txt.

The script calls backends as PEP 517 specifies, each task in a process of its own.
"""

import importlib
import json
import os
import shutil
import site
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from typing import Any

# The defaults of PEP 517 for a project without [build-system].
REQUIRES = ["setuptools>=40.8.0"]
LEGACY = "setuptools.build_meta:__legacy__"
MAX_MEMBERS = 50_000
MAX_BYTES = 1 << 30


def main(task: str, folder: str, archive: str) -> int:
    """Run one task. Return the exit status: 1 for an invalid archive, else 0."""
    os.umask(0o022)
    os.chdir(folder)
    try:
        source = unpack(archive, "source")
        table = build_system(source)
    except (OSError, ValueError, tarfile.TarError) as error:
        print(f"ERROR: {os.path.basename(archive)}: {error}")  # noqa: PTH119 - quick
        return 1
    if task == "declared":
        return _answer(folder, table["requires"])
    os.chdir(source)
    backend = _backend(table, source, f"{folder}/env")
    if task == "backend":
        hook = getattr(backend, "get_requires_for_build_wheel", list)
        return _answer(folder, list(hook()))
    os.makedirs(f"{folder}/out")  # noqa: PTH103 - quick
    name = backend.build_wheel(f"{folder}/out")
    _copy_metadata(f"{folder}/out/{os.path.basename(name)}", f"{folder}/metadata.txt")  # noqa: PTH119
    return 0


def unpack(archive: str, target: str) -> str:
    """Unpack a source distribution; return the absolute path of its single top folder.

    The "data" filter of PEP 706 rejects paths and links that leave the target. Raises ValueError if
    the archive is too large or has another layout; OSError; TarError.
    """
    with tarfile.open(archive, "r:gz") as packed:
        packed.extractall(target, members=_bounded(packed), filter="data")
    names = os.listdir(target)  # noqa: PTH208 - quick
    place = os.path.abspath(os.path.join(target, names[0])) if len(names) == 1 else ""  # noqa: PTH100, PTH118
    if not os.path.isdir(place) or os.path.islink(place):  # noqa: PTH112, PTH114
        message = "a source distribution holds one folder, and all else in it"
        raise ValueError(message)
    return place


def _bounded(packed: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members. Raises ValueError above MAX_MEMBERS files or MAX_BYTES unpacked bytes."""
    size = 0
    for count, member in enumerate(packed):
        size += member.size
        if count >= MAX_MEMBERS or size > MAX_BYTES:
            message = f"it holds more than {MAX_MEMBERS} files or {MAX_BYTES} bytes"
            raise ValueError(message)
        yield member


def build_system(source: str) -> dict[str, Any]:
    """Return [build-system] of pyproject.toml, completed with the defaults of PEP 517.

    Raises ValueError for a file that is not valid TOML or has values of other types.
    """
    table: dict[str, Any] = {"requires": REQUIRES}
    if os.path.isfile(f"{source}/pyproject.toml"):  # noqa: PTH113
        with open(f"{source}/pyproject.toml", "rb") as file:
            table = tomllib.load(file).get("build-system", table)
    lists = (table.get("requires"), table.get("backend-path", []))
    if not all(_texts(item) for item in lists):
        message = "pyproject.toml: [build-system]: `requires` and `backend-path` are lists of texts"
        raise ValueError(message)
    return {"build-backend": LEGACY, "backend-path": [], **table}


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _backend(table: dict[str, Any], source: str, env: str) -> Any:
    """Import the build backend: from `backend-path` in the source, else from the folder `env`."""
    site.addsitedir(env)
    for path in reversed(table["backend-path"]):
        sys.path.insert(0, os.path.join(source, path))  # noqa: PTH118 - quick
    module, _, attributes = table["build-backend"].partition(":")
    found: Any = importlib.import_module(module)
    for name in filter(None, attributes.split(".")):
        found = getattr(found, name)
    return found


def _copy_metadata(wheel: str, target: str) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        [name] = [n for n in names if n.endswith(".dist-info/METADATA") and n.count("/") == 1]
        with packed.open(name) as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file)


def _answer(folder: str, texts: list[str]) -> int:
    with open(f"{folder}/requirements.json", "w", encoding="utf-8") as file:
        json.dump(texts, file)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
