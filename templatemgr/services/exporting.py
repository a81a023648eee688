"""The kept inputs of a version as files, to be looked at or committed back."""

from pathlib import Path

from templatemgr import definition as definitions
from templatemgr import store
from templatemgr.errors import ExportError
from templatemgr.services import catalog, integrity, places


def export(*, template: str, version: int, target: Path, overwrite: bool = False) -> list[str]:
    """Copy a version's inputs, proven to be its own, into a folder; return their paths.

    Raises UnknownTemplateError, UnknownVersionError, ExportError when they are damaged, or when
    the folder holds something and `overwrite` is false. Files that are not of the inputs stay.
    """
    row = catalog.get_version(template=template, number=version)
    inputs = places.version(row) / "inputs"
    if not integrity.inputs_sound(inputs, row.definition_digest):
        message = f"The inputs of {row} are damaged: heal it first."
        raise ExportError(message, version=version)
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not overwrite)):
        message = f"{target} is not an empty folder."
        raise ExportError(message, version=version)
    files = definitions.sources(inputs)
    store.copy(files, target)
    return list(files)
