"""Stencil's runner for Python. The module `site` reads `stencil.pth` and starts the runner before the interpreter's main task.

The package has a name that no submission is likely to use. Its modules are removed from `sys.modules` before the program starts.
"""
import sys

# The loaded modules, and the keys of sys.path_importer_cache, before the runner was imported.
BARE = frozenset(sys.modules) - {__name__}
PLACES = frozenset(sys.path_importer_cache) - {f"{sys.prefix}/runner"}
