"""Makes a process that has loaded the runner look as one that has not."""
import sys

import _warnings

OURS = "_stencil"


class Before:
    """What there was before the runner; of the rest only what was loaded to save time may stay."""

    def __init__(self):
        self.modules = {name for name in sys.modules if not _ours(name)}
        self._filters = list(_warnings.filters)
        sys.path.remove(f"{sys.prefix}/runner")
        self._path = list(sys.path)
        self._places = set(sys.path_importer_cache)

    def is_ready(self):
        """What is loaded now is what there is to be told apart: `warm` are its names, `tops` their first parts."""
        self.warm = frozenset(name for name in sys.modules if name not in self.modules and not _ours(name))
        # What every Python has loaded, or has within, goes before any file.
        self.tops = {*map(_top, self.warm)} - {*map(_top, self.modules), *sys.builtin_module_names}
        self._runner = [name for name in sys.modules if _ours(name)]
        kept = {*self._places, *sys.path}
        self._seen = [
            place for place in sys.path_importer_cache if place not in kept and not place.startswith(f"{sys.prefix}/lib/")
        ]

    def forget(self):
        """Take out what has been loaded: it stays ours, and whoever asks for such a module gets one of his own."""
        for name in [name for name in sys.modules if name not in self.modules and not _ours(name)]:
            del sys.modules[name]

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


def _ours(name):
    return _top(name) == OURS


def _top(name):
    return name.partition(".")[0]
