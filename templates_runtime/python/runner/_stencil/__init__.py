"""Stencil's runner for Python. `stencil.pth` has `site` start it, before the interpreter turns to its own task.

What of it is imported has a name that no submission is likely to use, and is out of `sys.modules` when the program begins.
"""
import sys

# What there was before us: modules, and places that have been looked at for some.
BARE = frozenset(sys.modules) - {__name__}
PLACES = frozenset(sys.path_importer_cache) - {f"{sys.prefix}/runner"}
