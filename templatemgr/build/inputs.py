"""The inputs that a build can start from: those of the definition folder, or of any version."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from templatemgr import catalog, data_paths, difference
from templatemgr.build import export, input_changes
from templatemgr.definitions import definition_file, source_files
from templatemgr.definitions.definition import Definition
from templatemgr.difference import Text
from templatemgr.errors import DefinitionError, UnavailableError
from templatemgr.models import Version

# The earliest time that a zip can hold, so that the same inputs give the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)
Form = Literal["tar.gz", "zip"]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Inputs by relative path, and their origin; `version` None: the definition folder."""

    files: Mapping[str, Path]
    definition: Definition
    version: Version | None
    digest: str

    def text(self, path: str) -> str | None:
        """Return the text of a file, or None if it is no text or too large to be shown."""
        return (
            _text(source_files.read(self.files[path], shown=path)) if path in self.files else None
        )


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The changes of an edit; `problem` is the fault of the edited definition, or None."""

    texts: tuple[Text, ...]
    problem: DefinitionError | None


def read(*, template: str, version: int | None) -> Inputs:
    """Return the inputs of a version, or of the definition folder.

    Raises UnknownTemplateError, UnknownVersionError, UnavailableError when they cannot be read.
    """
    catalog.get(name=template)
    row = None if version is None else catalog.get_version(template=template, number=version)
    folder = data_paths.version(row) / "inputs" if row else data_paths.definition(template)
    try:
        definition = definition_file.read_kept(folder)  # it may be invalid: `propose` checks it
        files, digest = source_files.locate(folder), source_files.digest(folder)
    except (DefinitionError, OSError) as error:
        what = f"The inputs of {row}" if row else f"The definition of {template}"
        message = f"{what} cannot be read: {error}"
        raise UnavailableError(message, template=template) from error
    return Inputs(files=files, definition=definition, version=row, digest=digest)


def propose(*, inputs: Inputs, files: Mapping[str, str]) -> Proposal:
    """Return how these files differ from the inputs, and whether the definition is still valid.

    Only a temporary copy is written.
    """
    texts = difference.texts(
        {path: source_files.read(inputs.files[path], shown=path) for path in files},
        {path: text.encode() for path, text in files.items()},
    )
    return Proposal(texts=texts, problem=input_changes.problem(inputs.definition.root, files))


def archive(*, template: str, version: int, form: Form) -> bytes:
    """Return a version's inputs, after checking their digest, as one file to commit back.

    Raises UnknownTemplateError, UnknownVersionError, ExportError.
    """
    if form == "tar.gz":
        return export.archive(template=template, version=version)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in export.inputs_of(template=template, version=version):
            entry = zipfile.ZipInfo(f"{template}/{file.path}", EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if file.executable else 0o644) << 16
            archive.writestr(entry, file.content)
    return packed.getvalue()


def _text(data: bytes) -> str | None:
    if len(data) > difference.MAX_TEXT_BYTES or b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
