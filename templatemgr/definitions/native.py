"""`[native]` of a definition: shared objects that a build compiles from C sources into the tree.

Each key is a path in the tree, each value one C source or a list of C sources, which are listed in
`files`.
"""

from collections.abc import Collection

from templatemgr.definitions.toml import Table

SUFFIXES = (".c", ".h")


def read(table: Table, files: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Read `[native]`; return the sources of each path in the tree. Raises TomlError.

    `files` are all files of the definition that are copied to the tree.
    """
    found = table.lists("native")
    for target, sources in found.items():
        key = f"native.{target}"
        table.check_path(key, target)
        if not sources:
            table.fail(key, "has no source: name a file that ends with .c")
        for index, source in enumerate(sources):
            table.check_path(key, source)
            if source not in files:
                table.fail(key, f"{source!r} is not among `files` and the included folders: add it")
            if source in sources[:index]:
                table.fail(key, f"{source!r} is listed twice")
    return found


# Decision 0036: a source sees the C files of its own folder and nothing else.
def visible(files: Collection[str], source: str) -> tuple[str, ...]:
    """Return the files that the compiler sees beside a source, itself included, sorted."""
    folder = source.rpartition("/")[0]
    return tuple(
        sorted(
            path for path in files if path.rpartition("/")[0] == folder and path.endswith(SUFFIXES)
        )
    )
