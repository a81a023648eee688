"""Sound content for files that must be restored: from the store, else from other trees.

A missing or wrong object is made again first, from bytes whose hash is right, so that all versions
that share it get the same inode. Objects are replaced by rename, never changed.
"""

import os
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from templatemgr import store
from templatemgr.trees import foreign, restoring
from templatemgr.trees.listing import Owners
from templatemgr.trees.manifests import Entry

Place = tuple[Path, str]  # a tree, and a path in it


@dataclass(kw_only=True)
class Supplies:
    """Sound content for the entries of a tree: from the store, else from other places.

    `elsewhere` gives the places that should have the content of an entry's key.
    """

    objects: Path
    owners: Owners
    elsewhere: Callable[[str], Iterable[Place]]
    renewed: set[str] = field(default_factory=set)  # keys of objects that were made again
    troubles: dict[str, str] = field(default_factory=dict)  # key → why a source was of no use

    def __call__(self, entry: Entry) -> Path | None:
        """Return the stored file for an entry, made again if need be; None without its content."""
        stored = store.object_path(self.objects, entry)
        store.make_room(stored)
        if self._stored_soundly(stored, entry):
            restoring.unfix(stored)  # otherwise no hard link could be added
            return stored
        # An object with a wrong mode or owner still has the right bytes for a new inode.
        for tree, path in (
            (self.objects, stored.relative_to(self.objects).as_posix()),
            *self._rest(entry),
        ):
            try:
                if self._renewed_from(tree, path, stored, entry):
                    return stored
            except OSError as error:
                if not isinstance(error, FileNotFoundError):  # what is missing explains nothing
                    self.troubles[entry.key] = f"{path}: {foreign.reason(error)}"
        return None

    def _renewed_from(self, tree: Path, path: str, stored: Path, entry: Entry) -> bool:
        """Make the object again if this file has its bytes; return whether it has."""
        descriptor = restoring.open_beneath(tree, path, force=tree == self.objects)
        try:
            same = restoring.same_bytes(descriptor, entry)
            if same:
                self._renew(stored, descriptor, entry)
            return same
        finally:
            os.close(descriptor)

    def _rest(self, entry: Entry) -> Iterable[Place]:
        yield from self.elsewhere(entry.key)

    def _stored_soundly(self, stored: Path, entry: Entry) -> bool:
        try:
            descriptor = restoring.open_beneath(
                self.objects, stored.relative_to(self.objects).as_posix()
            )
        except OSError:
            return False
        try:
            return restoring.sound(descriptor, entry, self.owners)
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def _renew(self, stored: Path, source: int, entry: Entry) -> None:
        """Put a sound inode in the object's place: the open file itself, or a copy of it."""
        folder = os.open(stored.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        temporary = f".new-{secrets.token_hex(6)}"
        try:
            restoring.share_or_copy(source, folder, temporary, entry, self.owners)
            restoring.unfix(stored.name, folder)
            os.rename(temporary, stored.name, src_dir_fd=folder, dst_dir_fd=folder)
            self.renewed.add(entry.key)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            os.close(folder)
