"""Files that executions gave back, in the shape of the HTTP contract."""

from typing import Any

from execapp.errors import UnknownFileError
from execapp.models import CollectedFile, Execution
from execapp.output import decode_output
from execapp.services import collected_files

CONTENT_BYTES = 256 * 1024  # of each file in an answer


def present_files(execution: Execution) -> list[dict[str, Any]] | None:
    """Return the files by path; None if the submission asked for none."""
    if execution.collect is None:
        return None
    found = collected_files.files_of(execution) if execution.finished else []
    return [_present(execution, file) for file in found]


def _present(execution: Execution, file: CollectedFile) -> dict[str, Any]:
    truncated = file.size_bytes > CONTENT_BYTES
    content: str | None = None
    encoding: str | None = None
    try:
        data = collected_files.read(file.sha256, most=CONTENT_BYTES)
    except UnknownFileError:
        truncated = True  # the storage has lost it
    else:
        content, encoding = decode_output(data, truncated=truncated)
    return {
        "path": file.path,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "content": content,
        "encoding": encoding,
        "url": f"/api/v1/executions/{execution.pk}/files/{file.sha256}",
        "truncated": truncated,
    }
