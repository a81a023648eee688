"""The storage of files by digest: a folder of the data directory. A setting may name another."""

from pathlib import Path
from typing import override

from django.conf import settings
from django.core.files.storage import FileSystemStorage


class DataFolderStorage(FileSystemStorage):
    """Files below the data directory. Equal names have equal content, so a save may replace."""

    def __init__(self, *, folder: str) -> None:
        """Keep files below `folder`, readable for this user alone."""
        super().__init__(
            file_permissions_mode=0o600, directory_permissions_mode=0o700, allow_overwrite=True
        )
        self._folder = folder

    @property
    @override
    def base_location(self) -> str:
        return str(Path(settings.STENCIL_DATA) / self._folder)

    @property
    @override
    def location(self) -> str:
        return self.base_location
