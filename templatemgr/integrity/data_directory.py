"""The places of the data directory: called at the start, before healing and by `doctor`."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from templatemgr import data_paths
from templatemgr.models import Template
from templatemgr.trees import foreign, places

logger = logging.getLogger(__name__)


def repair() -> dict[Path, str]:
    """Make every place what it must be; return those that cannot be repaired, with the reasons.

    Missing places stay missing: whoever needs one makes it. Raises DatabaseError only.
    """
    troubles: dict[Path, str] = {}
    for place, make in _places():
        try:
            if os.path.lexists(place):
                make(place)
        except OSError as error:
            troubles[place] = foreign.reason(error)
            logger.warning("%s cannot be repaired: %s", place, troubles[place])
    return troubles


def _places() -> Iterator[tuple[Path, Callable[[Path], object]]]:
    """Give each place from the top down, with the function that makes it what it must be."""
    yield data_paths.aside(), _folder
    yield data_paths.store_lock(), _lock
    yield data_paths.objects(), _folder
    yield data_paths.refills(), _folder
    yield data_paths.spares(), _folder
    yield data_paths.downloads("").parent, _folder
    yield data_paths.template("").parent, _shared
    for name in Template.objects.order_by("name").values_list("name", flat=True):
        home = data_paths.template(name)
        yield home, _shared
        yield home / "versions", _shared
        yield home / "staging", _folder
        yield home / ".current.lock", _lock


def _folder(place: Path) -> None:
    places.folder(place, data_paths.aside())


def _shared(place: Path) -> None:
    """Make a folder that an administrator may replace by a link, and that versions lie in."""
    places.folder(place, data_paths.aside(), linked=True, writable=False)


def _lock(place: Path) -> None:
    os.close(places.open_lock(place, data_paths.aside()))
