"""The files of a definition: those of its folder and of the shared folders that it includes."""

import hashlib
import re
from pathlib import Path

from templatemgr.definitions.toml import Table, TomlError, line_of, load
from templatemgr.errors import DefinitionError
from templatemgr.trees import foreign

FILE = "template.toml"
SHARED = re.compile(r"_[a-z][a-z0-9-]{0,62}")
# Limits for a definition before a build. The supplied definitions have about 50 files and 300 KB.
MAX_INCLUDED = 20
MAX_FILES = 2_000
MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_BYTES = 32 * 1024 * 1024
# Limits for every reader, also of kept inputs: a build may have written a longer lock into them.
MAX_KEPT_FILES = 4 * MAX_FILES
MAX_KEPT_BYTES = 4 * MAX_BYTES


def list_definitions(folder: Path) -> list[str]:
    """Return the sorted names of the definitions in a folder; empty if the folder is missing.

    Skip folders whose name begins with `_`: definitions include these shared folders.
    """
    if not folder.is_dir():
        return []
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith("_"))
    return sorted(entry.name for entry in entries if (entry / FILE).is_file())


def digest(root: Path) -> str:
    """Return the hex SHA-256 over path, size and content of every file of a definition.

    Files whose name begins with `.` are included. Raises DefinitionError (see `locate`), also for
    a file that cannot be read, and for more than MAX_KEPT_BYTES.
    """
    total = hashlib.sha256(b"stencil-definition-1\n")
    left = MAX_KEPT_BYTES
    for path, file in locate(root).items():
        content = read(file, shown=path, most=left)
        left -= len(content)
        total.update(f"{len(path.encode())}:{path}:{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()


def read(file: Path, *, shown: str, most: int = MAX_KEPT_BYTES) -> bytes:
    """Return the content of a file of a definition, `shown` in an error. Raises DefinitionError."""
    try:
        return foreign.read_file(file, most=most)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DefinitionError(shown, "", f"cannot be read: {reason}") from error


def list_paths(root: Path) -> list[str]:
    """Return the relative path of every file of a definition, sorted by bytes.

    Raises DefinitionError for a symlink or a special file, because links are never followed.
    """
    return list(locate(root))


def locate(root: Path) -> dict[str, Path]:
    """Return the location of each file of a definition by relative path, sorted by bytes.

    An included folder is beside the definition, or inside it: the kept inputs of a version hold a
    copy. Raises DefinitionError for a symlink or a special file, for a name that is not UTF-8, and
    for more than MAX_KEPT_FILES files.
    """
    found = _below(root)
    for name in _included(root):
        if not (root / name).is_dir():
            folder = root.parent / name
            found |= {f"{name}/{path}": file for path, file in _below(folder, name).items()}
    return dict(sorted(found.items(), key=lambda item: item[0].encode()))


def _below(folder: Path, shown: str = "") -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in folder.rglob("*"):
        relative = path.relative_to(folder).as_posix()
        place = foreign.printable(Path(shown, relative).as_posix())
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise DefinitionError(place, "", "only plain files and folders are allowed")
        if _ignored(relative):
            continue
        if foreign.printable(relative) != relative:
            raise DefinitionError(place, "", "has a name that is not UTF-8")
        if path.is_file():
            found[relative] = path
        if len(found) > MAX_KEPT_FILES:
            raise DefinitionError(place, "", f"is one of more than {MAX_KEPT_FILES} files")
    return found


def _included(root: Path) -> tuple[str, ...]:
    """Return the names of the folders that a definition includes. Raises DefinitionError."""
    try:
        return include(root, load(root / FILE))
    except TomlError as error:
        raise explained(root, error) from error


# Decision 0009: definitions share folders; every version keeps its own copy.
def include(root: Path, table: Table) -> tuple[str, ...]:
    """Return the names of the folders in `include`, each checked. Raises TomlError."""
    names = table.texts("include", ())
    if len(names) > MAX_INCLUDED:
        table.fail("include", f"names more than {MAX_INCLUDED} folders")
    for index, name in enumerate(names):
        if not SHARED.fullmatch(name):
            table.fail("include", f"{name!r} is not the name of a shared folder, like '_node'")
        place = next((p / name for p in (root, root.parent) if (p / name).is_dir()), None)
        if place is None:
            table.fail("include", f"there is no folder {name!r} beside the definition")
        if place.is_symlink():
            table.fail("include", f"{name!r} is a link")
        if not any(place.iterdir()):
            table.fail("include", f"{name!r} is empty")
        if name in names[:index]:
            table.fail("include", f"{name!r} is listed twice")
    return names


def _ignored(path: str) -> bool:
    """Return whether a path is left in a checkout by a tool and not part of the definition."""
    return path.split("/")[0] == "node_modules"


def explained(root: Path, error: TomlError) -> DefinitionError:
    """Convert a TomlError to a DefinitionError, with the line if it is known."""
    line = error.line or line_of(error.file, error.key)
    shown = error.file.relative_to(root.parent).as_posix()
    return DefinitionError(shown, error.key, error.reason, line=line)


def check_sizes(root: Path) -> None:
    """Raise DefinitionError for too many files, too large files, or invalid names.

    Open no file, and stop at the first limit that is exceeded.
    """
    count = total = 0
    for path in root.rglob("*"):
        relative = path.relative_to(root).as_posix()
        if _ignored(relative):
            continue
        count += 1
        shown = foreign.printable(f"{root.name}/{relative}")[:300]
        if not relative.isprintable() or len(relative.encode("utf-8", "replace")) > 512:
            raise DefinitionError(shown, "", "has a name that is too long or cannot be shown")
        if ".git" in relative.split("/"):
            raise DefinitionError(shown, "", "belongs to a repository, not to a definition")
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise DefinitionError(shown, "", "only plain files and folders are allowed")
        size = path.lstat().st_size if path.is_file() else 0
        total += size
        if size > MAX_FILE_BYTES:
            raise DefinitionError(shown, "", f"is larger than {MAX_FILE_BYTES} bytes")
        if count > MAX_FILES:
            raise DefinitionError(root.name, "", f"holds more than {MAX_FILES} files and folders")
        if total > MAX_BYTES:
            raise DefinitionError(root.name, "", f"is larger than {MAX_BYTES} bytes")
