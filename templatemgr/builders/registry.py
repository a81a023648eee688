"""Look up a builder by the name that a definition uses."""

from collections.abc import Mapping

from templatemgr.builders.base import Builder, UpdateFinder, Updater
from templatemgr.builders.npm import npm_builder, npm_outdated
from templatemgr.builders.pip import pip_builder, pip_outdated

_BUILDERS: Mapping[str, Builder] = {"npm": npm_builder, "pip": pip_builder}
_UPDATERS: Mapping[str, Updater] = {"npm": npm_builder, "pip": pip_builder}
_UPDATE_FINDERS: Mapping[str, UpdateFinder] = {"npm": npm_outdated, "pip": pip_outdated}


def builder(name: str) -> Builder:
    """Return the builder of this name. Raises KeyError for an unknown name."""
    return _BUILDERS[name]


def updater(name: str) -> Updater | None:
    """Return the builder of this name if it can update single packages, else None."""
    return _UPDATERS.get(name)


def update_finder(name: str) -> UpdateFinder | None:
    """Return the module that finds newer packages for this builder, or None if it has none."""
    return _UPDATE_FINDERS.get(name)
