"""Run by the copied interpreter, in the cage: bytecode that is the same wherever it is made.

`compile_tree.py <where the tree can be written> <where it will be run>`. The bytecode names the
second place and is never checked against its source: the tree is sealed. Files are compiled in the
order of their names by one process, because what was compiled before shows in the bytes.
"""

import os
import py_compile
import site
import sys
import sysconfig


def main(tree: str, place: str) -> int:
    """Compile every module of the tree. Exit status 1 when the copy would not find its packages."""
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
    """Compile one file; 0 when it is none of this Python's (a template, another version's)."""
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
