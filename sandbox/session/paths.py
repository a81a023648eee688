"""The rules for paths of submitted files. Pure: no disk access."""

import re
from collections.abc import Iterable, Sequence

MAX_PATH_BYTES = 512
MAX_LEVELS = 32
MAX_NAME_BYTES = 255  # the limit of Linux file systems
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_paths(paths: Sequence[str], *, most: int | None = None) -> list[tuple[int, str]]:
    """Return the faults of paths below src/ as (index, reason), ordered by index.

    Each path is reported once, for its first fault; after `most` faults nothing is looked at.
    Names that differ only by case or Unicode form are different files, as they are on the disk
    inside.
    """
    faults: dict[int, str] = {}
    first: dict[str, int] = {}
    for index, path in enumerate(paths):
        reason = _fault(path)
        if reason is None and path in first:
            reason = f"the same path as number {first[path]}"
        if reason is None:
            first[path] = index
        else:
            faults[index] = reason
            if len(faults) == most:
                return sorted(faults.items())
    faults.update(_files_used_as_folders(first))
    return sorted(faults.items())


def _files_used_as_folders(first: dict[str, int]) -> Iterable[tuple[int, str]]:
    for path, index in first.items():
        slash = path.find("/")
        while slash >= 0:
            if (parent := path[:slash]) in first:
                yield index, f"it lies under {parent!r}, which is a file"
                break
            slash = path.find("/", slash + 1)


def _fault(path: str) -> str | None:
    try:
        size = len(path) if path.isascii() else len(path.encode("utf-8"))
    except UnicodeEncodeError:
        return "it is not valid Unicode (a lone surrogate)"
    if not path:
        return "it is empty"
    if size > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    if _CONTROL.search(path):
        return "it has a control character"
    if path.startswith("/"):
        return "it is absolute"
    return _part_fault(path.split("/"), longest=size)


def _part_fault(parts: list[str], *, longest: int) -> str | None:
    if len(parts) > MAX_LEVELS:
        return f"it is deeper than {MAX_LEVELS} levels"
    if ".." in parts:
        return "it climbs out by '..'"
    if "." in parts:
        return "it has a '.' part"
    if "" in parts:
        return "it has an empty part"
    if longest > MAX_NAME_BYTES and any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        return f"a part of it is longer than {MAX_NAME_BYTES} bytes"
    return None
