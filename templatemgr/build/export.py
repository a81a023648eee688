"""The kept inputs of a version as files, to read or to commit back."""

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from templatemgr import catalog, data_paths, store
from templatemgr.definitions import source_files
from templatemgr.errors import ExportError
from templatemgr.integrity import spares


@dataclass(frozen=True, kw_only=True)
class Input:
    """One file that a version was built from, its path relative to the definition's folder."""

    path: str
    content: bytes
    executable: bool


def inputs_of(*, template: str, version: int) -> list[Input]:
    """Return every input file of a version, after checking their digest, in order of paths.

    Raises UnknownTemplateError, UnknownVersionError, ExportError if they are damaged.
    """
    folder = _proven(template, version)
    return [
        Input(
            path=path,
            content=source_files.read(folder / path, shown=path),
            executable=bool((folder / path).stat().st_mode & 0o100),
        )
        for path in sorted(source_files.list_paths(folder))
    ]


def archive(*, template: str, version: int) -> bytes:
    """Return a version's inputs as a tar.gz with one folder, to be unpacked over the definition's.

    It contains no time and no owner of this machine. Raises as `inputs_of` does.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for file in inputs_of(template=template, version=version):
            entry = tarfile.TarInfo(f"{template}/{file.path}")
            entry.size, entry.mode = len(file.content), 0o755 if file.executable else 0o644
            tar.addfile(entry, io.BytesIO(file.content))
    return packed.getvalue()


def export(*, template: str, version: int, target: Path, overwrite: bool = False) -> list[str]:
    """Copy a version's inputs into a folder, after checking their digest; return their paths.

    Raises UnknownTemplateError, UnknownVersionError, ExportError if they are damaged, or if the
    folder is not empty and `overwrite` is false. Other files in the folder stay.
    """
    inputs = _proven(template, version)
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not overwrite)):
        message = f"{target} is not an empty folder."
        raise ExportError(message, version=version)
    files = source_files.locate(inputs)
    store.copy(files, target)
    return list(files)


def _proven(template: str, version: int) -> Path:
    row = catalog.get_version(template=template, number=version)
    inputs = data_paths.version(row) / "inputs"
    if not spares.inputs_sound(inputs, row.definition_digest):
        message = f"The inputs of {row} are damaged: heal it first."
        raise ExportError(message, template=template, version=version)
    return inputs
