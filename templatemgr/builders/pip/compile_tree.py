"""Compile a tree to reproducible bytecode. The copied interpreter runs this script in a cage.

Usage: `compile_tree.py <writable path of the tree> <path at which the tree is run>`. The bytecode
contains the second path. Python never checks it against its source, because the tree is sealed. One
process compiles the files in the order of their names, because earlier compilations in the same
process can change the bytes of later ones.
"""

import os
import py_compile
import site
import sys
import sysconfig


def main(tree: str, place: str) -> int:
    """Compile every module of the tree; return the exit status.

    The status is 1 if the copied interpreter does not find its packages, else 0.
    """
    packages = f"{place}/{os.path.relpath(sysconfig.get_path('stdlib'), place)}/site-packages"
    if sys.prefix != place or packages not in site.getsitepackages():
        print(f"the copied Python takes {sys.prefix} and {site.getsitepackages()} for its own")
        return 1
    count = 0
    for folder, folders, files in os.walk(tree):
        folders.sort()
        for name in sorted(files):
            if name.endswith(".py"):
                count += compiled(os.path.join(folder, name), tree, place)  # noqa: PTH118 - quick
    print(f"compiled {count} files")
    return 0


def compiled(path: str, tree: str, place: str) -> int:
    """Compile one file; return the number of compiled files.

    The number is 0 for a file that this Python cannot compile: a code template, or code for another
    version of Python.
    """
    shown = place + path.removeprefix(tree)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    cache = f"{os.path.dirname(path)}/__pycache__"  # noqa: PTH120 - quick
    target = f"{cache}/{os.path.basename(path)[:-3]}.{sys.implementation.cache_tag}.pyc"  # noqa: PTH119
    try:
        py_compile.compile(path, target, shown, doraise=True, invalidation_mode=mode)
    except py_compile.PyCompileError:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
