"""Strict readers of the files of a definition: one module a file, no Django, nothing is run.

A definition is foreign input wherever it comes from. Its files are configuration of npm, pip, the
loader and the sandbox, so each is read by a grammar that holds what a definition can want and
nothing else; what a tool could read in another way than we do is refused. Every reader raises
`FileError`, which names key, line, reason and remedy.
"""

from collections.abc import Callable, Mapping

from templatemgr.definitions.readers import npmrc, package_json, package_lock, requirements_files
from templatemgr.definitions.readers.faults import FileError, decoded
from templatemgr.definitions.readers.rules import Rules

__all__ = ["LOCKS", "FileError", "Rules", "check", "names"]
# Decision 0015: one strict reader for each file, at every entrance.
LOCKS = ("package-lock.json", "requirements.lock")

Reader = Callable[[str, Rules], object]
_READERS: Mapping[str, Mapping[str, Reader]] = {
    "npm": {
        ".npmrc": lambda text, _: npmrc.read(text),
        "package.json": package_json.read,
    },
    "pip": {
        "requirements.in": requirements_files.read_wanted,
        "requirements.lock": requirements_files.read_lock,
    },
}


def names(builder: str) -> tuple[str, ...]:
    """Return the files at the top of a definition that its builder's tools read."""
    locks = ("package-lock.json",) if builder == "npm" else ()
    return (*_READERS.get(builder, {}), *locks)


def check(builder: str, name: str, files: Mapping[str, bytes], rules: Rules) -> None:
    """Read one of `names`, whose content is in `files` with that of the others.

    Raises FileError. A lock is read beside its manifest: an alias must be asked for somewhere.
    """
    text = decoded(files[name])
    if name == "package-lock.json":
        manifest = files.get("package.json")
        package_lock.read(text, rules, None if manifest is None else decoded(manifest))
    else:
        _READERS[builder][name](text, rules)
