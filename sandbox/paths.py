"""Which paths a submission may bring. Pure: nothing here looks at a disk."""

from collections.abc import Iterable, Sequence

MAX_PATH_BYTES = 512
MAX_LEVELS = 32
MAX_NAME_BYTES = 255  # what Linux file systems hold


def check_paths(paths: Sequence[str]) -> list[tuple[int, str]]:
    """Say what is wrong with paths that are to stand under src/: (index, reason), by index.

    Each path is reported once, for its first fault. Names that differ only by case or Unicode
    form are different files, as they are on the disk inside.
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
    faults.update(_files_used_as_folders(first))
    return sorted(faults.items())


def _files_used_as_folders(first: dict[str, int]) -> Iterable[tuple[int, str]]:
    for path, index in first.items():
        parts = path.split("/")
        for level in range(1, len(parts)):
            parent = "/".join(parts[:level])
            if parent in first:
                yield index, f"it lies under {parent!r}, which is a file"
                break


def _fault(path: str) -> str | None:
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError:
        return "it is not valid Unicode (a lone surrogate)"
    if not path:
        return "it is empty"
    if size > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        return "it has a control character"
    if path.startswith("/"):
        return "it is absolute"
    return _part_fault(path.split("/"))


def _part_fault(parts: list[str]) -> str | None:
    if len(parts) > MAX_LEVELS:
        return f"it is deeper than {MAX_LEVELS} levels"
    if ".." in parts:
        return "it climbs out by '..'"
    if "." in parts:
        return "it has a '.' part"
    if "" in parts:
        return "it has an empty part"
    if any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        return f"a part of it is longer than {MAX_NAME_BYTES} bytes"
    return None
