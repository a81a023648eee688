"""Restore the state of an interpreter that has not loaded the runner."""
import sys

import _warnings

from . import BARE, PLACES

OURS = "_stencil"

class Before:
    """The interpreter state before the runner was loaded: modules, warning filters, sys.path.

    Only preloaded modules may stay in memory after `restore`.
    """

    def __init__(self):
        self.modules = set(BARE)
        self._filters = list(_warnings.filters)
        sys.path.remove(f"{sys.prefix}/runner")
        self._path = list(sys.path)

    def is_ready(self):
        """Record the modules loaded so far: their names in `warm`, the top-level parts of these names in `tops`."""
        self.warm = frozenset(name for name in sys.modules if name not in self.modules and not _ours(name))
        # Every interpreter finds its start-up and built-in modules before any file, so a submission cannot replace them.
        self.tops = {*map(_top, self.warm)} - {*map(_top, self.modules), *sys.builtin_module_names}
        self._runner = [name for name in sys.modules if _ours(name)]
        self._seen = [place for place in _places() if not place.startswith(f"{sys.prefix}/lib/")]

    def forget(self):
        """Remove the loaded modules from `sys.modules`: the runner keeps its copies, and a later import loads a new module."""
        for name in [name for name in sys.modules if name not in self.modules and not _ours(name)]:
            del sys.modules[name]
        for place in _places():
            del sys.path_importer_cache[place]

    def restore(self):
        """Restore the warning filters, `sys.path` and caches, and remove the runner from `sys.modules`."""
        for name in self._runner:
            del sys.modules[name]
        for place in self._seen:
            sys.path_importer_cache.pop(place, None)
        if _warnings.filters != self._filters:
            _warnings.filters[:] = self._filters
            _warnings._filters_mutated()
        sys.path[:] = self._path
        if "linecache" in sys.modules:
            sys.modules["linecache"].clearcache()
        if "tempfile" in sys.modules:
            sys.modules["tempfile"].tempdir = None


def _places():
    """Return the keys added to `sys.path_importer_cache` since the start that are not in `sys.path`."""
    return [place for place in sys.path_importer_cache if place not in PLACES and place not in sys.path]


def _ours(name):
    return _top(name) == OURS


def _top(name):
    return name.partition(".")[0]
