"""The changes of inputs by builds of kind update or edit: checked on request, then applied."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from templatemgr import operator_rules, store
from templatemgr.builders import registry
from templatemgr.builders.base import Job
from templatemgr.definitions import definition_file, readers, screening, source_files
from templatemgr.definitions.definition import Definition
from templatemgr.errors import BuildError, DefinitionError, InvalidOptionsError
from templatemgr.models import Build, BuildKind

EDIT_IT = "Nothing is built from it until a build of kind edit changes that."
MAX_PACKAGES = 200
MAX_BYTES = 1024 * 1024  # of all edited files together


def options(
    kind: str, packages: Sequence[str], files: Mapping[str, str] | None, source: Path
) -> dict[str, Any]:
    """Return the options that the row keeps. Raises InvalidOptionsError, DefinitionError."""
    if packages and kind != BuildKind.UPDATE:
        message = f"Packages are for builds of kind update, not {kind}."
        raise InvalidOptionsError(message, field="packages")
    if files is not None and kind != BuildKind.EDIT:
        message = f"Files are for builds of kind edit, not {kind}."
        raise InvalidOptionsError(message, field="files")
    if kind == BuildKind.UPDATE:
        return {"packages": _packages(packages, definition_file.read_kept(source).builder)}
    if kind == BuildKind.EDIT:
        return {"files": _files(files or {}, source)}
    return {}


def check(kind: str, chosen: Mapping[str, Any], source: Path) -> None:
    """Reject a build with invalid inputs at the request, before it is queued.

    Raises InvalidOptionsError for a fault in an edited file, DefinitionError for other faults.
    """
    files: Mapping[str, str] = chosen.get("files", {})
    if not files:
        try:
            read(kind, files, source)
        except DefinitionError as error:
            raise error.with_remedy(EDIT_IT) from None
        return
    found = problem(source, files)
    if found is None:
        return
    path = found.file.partition("/")[2]
    if path not in files:
        raise found.with_remedy("Edit this file, too.")
    raise InvalidOptionsError(
        found.message,
        field=f"files.{path}",
        **{key: found.details[key] for key in ("file", "line", "key", "remedy", "excerpt")},
    )


def problem(source: Path, files: Mapping[str, str]) -> DefinitionError | None:
    """Return the fault of a definition with these files replaced, or None.

    Only a temporary copy is written.
    """
    with TemporaryDirectory(prefix="stencil-edit-") as folder:
        copy = Path(folder) / source.name  # a definition has the name of its folder
        try:
            source_files.check_sizes(source)
            store.copy(source_files.locate(source), copy)
            for path, text in files.items():
                (copy / path).write_bytes(text.encode())
            read(BuildKind.EDIT, files, copy)
        except DefinitionError as error:
            return error
    return None


def read(kind: str, edited: Collection[str], inputs: Path) -> Definition:
    """Read inputs that a build of this kind begins with. Raises DefinitionError.

    A lock that the build makes again is not checked before. A lock that will follow an edited
    manifest may still contain packages that the manifest dropped: it is checked when it is written.
    """
    allowed = operator_rules.current()
    if kind == BuildKind.REFRESH:
        return definition_file.read(inputs, allowed, without=readers.LOCKS)
    stale = kind == BuildKind.EDIT and not set(readers.LOCKS) & set(edited)
    return definition_file.read(inputs, replace(allowed, stale_lock=stale))


def shown(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return options for the audit trail: of files only the names; the row has their text."""
    return {key: sorted(value) if key == "files" else value for key, value in chosen.items()}


def edited_bytes(chosen: Mapping[str, Any]) -> int:
    """Return the bytes of the paths and texts of the edited files."""
    files: Mapping[str, str] = chosen.get("files", {})
    return sum(len(path.encode()) + len(text.encode()) for path, text in files.items())


def edit(build: Build, inputs: Path) -> None:
    """Write the edited files over the copied inputs. Raises BuildError."""
    for path, text in build.options.get("files", {}).items():
        if not (inputs / path).is_file():
            message = f"There is no file {path} to edit any more."
            raise BuildError(message, step=build.step)
        (inputs / path).write_bytes(text.encode())


def lock(build: Build, definition: Definition, job: Job) -> list[str]:
    """Update the lock for the change, with network; return the input files that were written.

    Raises BuildError.
    """
    builder = registry.builder(definition.builder)
    if build.kind == BuildKind.REFRESH:
        builder.relock(job)
        return list(builder.LOCKS)
    updater = registry.updater(definition.builder)
    if build.kind == BuildKind.UPDATE:
        if updater is None:  # the definition's builder changed since the request
            message = f"Packages of a {definition.builder} template cannot be updated one by one."
            raise BuildError(message, step=build.step, remedy="Refresh all of them.")
        updater.update(job, build.options.get("packages", []))
        return [updater.MANIFEST, *builder.LOCKS]
    edited = build.options.get("files", {})
    if updater is not None and updater.MANIFEST in edited and not set(builder.LOCKS) & set(edited):
        updater.align(job)
        return list(builder.LOCKS)
    return []


def copy_back(job: Job, inputs: Path, written: list[str]) -> None:
    """Copy the files that the package manager wrote to the inputs, after the checks of an edit.

    Raises DefinitionError.
    """
    screening.check_files(job.tree, job.definition.builder, written, operator_rules.current())
    store.copy_files(job.tree, inputs, written)


def _packages(packages: Sequence[str], builder: str) -> list[str]:
    updater = registry.updater(builder)
    if updater is None:
        message = f"Packages of a {builder} template cannot be updated one by one: refresh it."
        raise InvalidOptionsError(message, field="packages")
    if len(packages) > MAX_PACKAGES:
        message = f"{len(packages)} packages are too many: {MAX_PACKAGES} at most."
        raise InvalidOptionsError(message, field="packages")
    found = [updater.PACKAGE.fullmatch(package) for package in packages]
    for package, match in zip(packages, found, strict=True):
        if match is None:
            message = f"{package!r} is not a package: write its name, or name@1.2.3."
            raise InvalidOptionsError(message, field="packages")
    names = [match["name"] for match in found if match]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        message = f"{', '.join(twice)}: named twice."
        raise InvalidOptionsError(message, field="packages")
    return list(packages)


def _files(files: Mapping[str, str], source: Path) -> dict[str, str]:
    if not files:
        raise InvalidOptionsError("An edit needs at least one file.", field="files")
    allowed = set(source_files.list_paths(source))
    for path, text in files.items():
        if path not in allowed:
            message = f"{path!r} is not a file of the inputs."
            raise InvalidOptionsError(message, field=f"files.{path}")
        if "\0" in text or not _encodable(text):
            message = f"{path} is not text: it has a NUL or half a character."
            raise InvalidOptionsError(message, field=f"files.{path}")
    size = sum(len(text.encode()) for text in files.values())
    if size > MAX_BYTES:
        message = f"The files have {size} bytes together: {MAX_BYTES} at most."
        raise InvalidOptionsError(message, field="files")
    return dict(files)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
