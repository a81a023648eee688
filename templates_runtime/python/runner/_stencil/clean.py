"""Makes a process that has loaded the runner look as one that has not."""
import sys

import _warnings

from . import BARE, PLACES

OURS = "_stencil"

class Before:
    """What there was before the runner; of the rest only what was loaded to save time may stay."""

    def __init__(self):
        self.modules = set(BARE)
        self._filters = list(_warnings.filters)
        sys.path.remove(f"{sys.prefix}/runner")
        self._path = list(sys.path)

    def is_ready(self):
        """What is loaded now is what there is to be told apart: `warm` are its names, `tops` their first parts."""
        self.warm = frozenset(name for name in sys.modules if name not in self.modules and not _ours(name))
        # What every Python has loaded, or has within, goes before any file.
        self.tops = {*map(_top, self.warm)} - {*map(_top, self.modules), *sys.builtin_module_names}
        self._runner = [name for name in sys.modules if _ours(name)]
        self._seen = [place for place in _places() if not place.startswith(f"{sys.prefix}/lib/")]

    def forget(self):
        """Take out what has been loaded: it stays ours, and whoever asks for such a module gets one of his own."""
        for name in [name for name in sys.modules if name not in self.modules and not _ours(name)]:
            del sys.modules[name]
        for place in _places():
            del sys.path_importer_cache[place]

    def restore(self):
        """Undo what else has been changed, and take out the runner."""
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
    """Where has been looked for modules since, beyond sys.path."""
    return [place for place in sys.path_importer_cache if place not in PLACES and place not in sys.path]


def _ours(name):
    return _top(name) == OURS


def _top(name):
    return name.partition(".")[0]
