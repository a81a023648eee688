"""Which files a definition has: those of its folder and of the shared folders it includes."""

import hashlib
import re
from pathlib import Path

from templatemgr.definitions.toml import Table, TomlError, line_of, load
from templatemgr.errors import DefinitionError

FILE = "template.toml"
SHARED = re.compile(r"_[a-z][a-z0-9-]{0,62}")
# Of a definition that is to be built. Ours have some fifty files and 300 KB.
MAX_INCLUDED = 20
MAX_FILES = 2_000
MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_BYTES = 32 * 1024 * 1024


def list_definitions(folder: Path) -> list[str]:
    """Return the names of the definitions in a folder, sorted. A missing folder has none.

    A folder whose name begins with `_` is shared by definitions and is none itself.
    """
    if not folder.is_dir():
        return []
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith("_"))
    return sorted(entry.name for entry in entries if (entry / FILE).is_file())


def digest(root: Path) -> str:
    """Return the hex SHA-256 over every file of a definition: path, size and bytes.

    Names beginning with `.` count, `__pycache__` and the like do not occur: folders are data.
    """
    total = hashlib.sha256(b"stencil-definition-1\n")
    for path, file in locate(root).items():
        content = file.read_bytes()
        total.update(f"{len(path.encode())}:{path}:{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()


def list_paths(root: Path) -> list[str]:
    """Return the relative paths of every file of a definition, sorted by bytes.

    Raises DefinitionError for a link or a special file: inputs are copied, never followed.
    """
    return list(locate(root))


def locate(root: Path) -> dict[str, Path]:
    """Return where each file of a definition lies, by its relative path, sorted by bytes.

    What a definition includes lies in a folder beside it, under the same name; or inside of it, as
    in the inputs that a version keeps, which need nothing else. Raises DefinitionError.
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
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            place = Path(shown, relative).as_posix()
            raise DefinitionError(place, "", "only plain files and folders are allowed")
        if path.is_file() and not _ignored(relative):
            found[relative] = path
    return found


def _included(root: Path) -> tuple[str, ...]:
    """Return the shared folders that a definition names. Raises DefinitionError."""
    try:
        return include(root, load(root / FILE))
    except TomlError as error:
        raise explained(root, error) from error


# Decision 0009: definitions share folders; every version keeps a copy.
def include(root: Path, table: Table) -> tuple[str, ...]:
    """Return the shared folders that a table names. Raises TomlError."""
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
    """Whether a path is what a tool leaves in a checkout, and no part of the definition."""
    return path.split("/")[0] == "node_modules"


def explained(root: Path, error: TomlError) -> DefinitionError:
    """Return what is wrong with a TOML file of a definition, with the line where it is known."""
    line = error.line or line_of(error.file, error.key)
    shown = error.file.relative_to(root.parent).as_posix()
    return DefinitionError(shown, error.key, error.reason, line=line)


def check_sizes(root: Path) -> None:
    """Raise DefinitionError for more or larger files than a definition needs, or odd names.

    Nothing is opened, and counting ends where the bound is.
    """
    count = total = 0
    for path in root.rglob("*"):
        relative = path.relative_to(root).as_posix()
        if _ignored(relative):
            continue
        count += 1
        shown = f"{root.name}/{relative}".encode("utf-8", "backslashreplace").decode()[:300]
        if not relative.isprintable() or len(relative.encode("utf-8", "replace")) > 512:
            raise DefinitionError(shown, "", "has a name that is too long or cannot be shown")
        if ".git" in relative.split("/"):
            raise DefinitionError(shown, "", "is of a repository, and no part of a definition")
        size = path.lstat().st_size if path.is_file() else 0
        total += size
        if size > MAX_FILE_BYTES:
            raise DefinitionError(shown, "", f"is larger than {MAX_FILE_BYTES} bytes")
        if count > MAX_FILES:
            raise DefinitionError(root.name, "", f"holds more than {MAX_FILES} files and folders")
        if total > MAX_BYTES:
            raise DefinitionError(root.name, "", f"is larger than {MAX_BYTES} bytes")
