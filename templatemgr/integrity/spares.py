"""Spare copies of a version's manifest and of its definition.

They lie in `spares/` of the data directory under their digest, which is checked before each use.
The copy of the definition serves to run a version whose own inputs are in doubt. It is no input of
a build: rebuilds and exports start from the inputs of a version or from the definition folder.
"""

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from templatemgr import store
from templatemgr.definitions import source_files
from templatemgr.trees import foreign, manifests, restoring
from templatemgr.trees.manifests import Manifest, ManifestError


class InputsError(Exception):
    """Kept inputs cannot be read, or do not match their digest."""


def manifest_file(data: Path, digest: str) -> Path:
    """Return the path of the spare copy of a manifest."""
    return data / "spares" / "manifests" / f"{digest}.json.gz"


def definition_folder(data: Path, digest: str) -> Path:
    """Return the folder of the spare copy of a definition; it is named as in a version."""
    return data / "spares" / "definitions" / digest / "inputs"


def prove_manifest(file: Path, digest: str, *, files: int | None = None) -> Manifest:
    """Read a manifest that must have this digest, and this number of files. Raises ManifestError.

    The number limits what is read of a damaged file; None for a manifest whose number is not known.
    """
    manifest = manifests.read(file, files=files)
    if manifest.digest() != digest:
        message = "The manifest is not the one that was sealed."
        raise ManifestError(message)
    return manifest


def prove_inputs(folder: Path, digest: str) -> None:
    """Raise InputsError with the reason unless the inputs match a digest."""
    with foreign.reading("They", InputsError):
        if folder.is_symlink():
            raise InputsError("They are a link, not a folder.")
        found = source_files.digest(folder)
    if found != digest:
        raise InputsError("They differ from those that the version was built from.")


def inputs_sound(folder: Path, digest: str) -> bool:
    """Return whether inputs match a digest."""
    try:
        prove_inputs(folder, digest)
    except InputsError:
        return False
    return True


def keep(data: Path, home: Path, *, manifest: Manifest, inputs: str) -> None:
    """Keep a manifest, and the inputs with this digest, unless sound copies are there already.

    The caller has just found both to be whole. Raises OSError.
    """
    file = manifest_file(data, manifest.digest())
    try:
        prove_manifest(file, manifest.digest())
    except ManifestError:
        write(file, manifests.dump(manifest))
    folder = definition_folder(data, inputs)
    if not inputs_sound(folder, inputs):
        copy_inputs(home / "inputs", folder)


def write(file: Path, data: bytes) -> None:
    """Write a file atomically; replace an entry of any kind. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.is_dir() and not file.is_symlink():
        store.remove(file)
    temporary = file.with_name(f".new-{secrets.token_hex(6)}")
    try:
        temporary.write_bytes(data)
        temporary.chmod(manifests.FILE_MODE)
        try:
            temporary.replace(file)
        except PermissionError:
            restoring.unfix(file)
            temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def copy_inputs(source: Path, target: Path) -> None:
    """Copy inputs to a place by renames, without write bits. Raises OSError.

    Until the copy is whole, the present entry stays. If it cannot be removed, it stays beside.
    """
    staged, old = (target.with_name(f".{word}-{secrets.token_hex(6)}") for word in ("new", "old"))
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(source, staged, copy_function=shutil.copyfile)
        for path in staged.rglob("*"):
            if path.is_file() and (source / path.relative_to(staged)).stat().st_mode & 0o100:
                path.chmod(manifests.PROGRAM_MODE)
        if os.path.lexists(target):
            restoring.unfix(target)
            target.rename(old)
        try:
            staged.rename(target)
        except OSError:
            if os.path.lexists(old):
                old.rename(target)
            raise
        store.close(target)
        with suppress(OSError):  # a mount, for instance; nobody reads it any more
            store.remove(old)
    finally:
        store.remove(staged)
