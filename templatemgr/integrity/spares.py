"""Second copies of what a version is proven by and run with: its manifest, and its definition.

They lie under `spares/` of the data directory, named by their digest, and are proven by it before
they are used. The definition's copy is for running a version whose own inputs are in doubt. It is
no input of a build: rebuilds and exports start from what a version or the definition folder has.
"""

import os
import secrets
import shutil
from pathlib import Path

from templatemgr import store
from templatemgr.definitions import source_files
from templatemgr.trees import foreign, manifests
from templatemgr.trees.manifests import Manifest, ManifestError


class InputsError(Exception):
    """Kept inputs cannot be read, or are not those that a digest was made of."""


def manifest_file(data: Path, digest: str) -> Path:
    """Return where the spare of a manifest lies."""
    return data / "spares" / "manifests" / f"{digest}.json.gz"


def definition_folder(data: Path, digest: str) -> Path:
    """Return where the spare of a version's definition lies; called as a version calls its own."""
    return data / "spares" / "definitions" / digest / "inputs"


def prove_manifest(file: Path, digest: str) -> Manifest:
    """Read a manifest that must have this digest. Raises ManifestError."""
    manifest = manifests.read(file)
    if manifest.digest() != digest:
        message = "The manifest is not the one that was sealed."
        raise ManifestError(message)
    return manifest


def prove_inputs(folder: Path, digest: str) -> None:
    """Raise InputsError, with the reason, unless inputs are those that a digest was made of."""
    with foreign.reading("They", InputsError):
        if folder.is_symlink():
            raise InputsError("They are a link, not a folder.")
        found = source_files.digest(folder)
    if found != digest:
        raise InputsError("They are not those that the version was built from.")


def inputs_sound(folder: Path, digest: str) -> bool:
    """Whether inputs are those that a digest was made of."""
    try:
        prove_inputs(folder, digest)
    except InputsError:
        return False
    return True


def keep(data: Path, home: Path, *, manifest: Manifest, inputs: str) -> None:
    """Keep a manifest, and the inputs with this digest, unless sound copies are there already.

    Only from what was just found whole. Raises OSError.
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
    """Put a file in its place, whole or not at all; what lies there is replaced. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.is_dir() and not file.is_symlink():
        store.remove(file)
    temporary = file.with_name(f".new-{secrets.token_hex(6)}")
    try:
        temporary.write_bytes(data)
        temporary.chmod(manifests.FILE_MODE)
        os.replace(temporary, file)  # noqa: PTH105 - named in the design: atomic
    finally:
        temporary.unlink(missing_ok=True)


def copy_inputs(source: Path, target: Path) -> None:
    """Put a copy of inputs in a place by rename, closed. Raises OSError."""
    staged = target.with_name(f".new-{secrets.token_hex(6)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(source, staged, copy_function=shutil.copyfile)
        for path in staged.rglob("*"):
            if path.is_file() and (source / path.relative_to(staged)).stat().st_mode & 0o100:
                path.chmod(manifests.PROGRAM_MODE)
        store.remove(target)
        staged.rename(target)
        store.close(target)
    finally:
        store.remove(staged)
