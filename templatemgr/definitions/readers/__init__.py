"""Strict readers of the files of a definition: one module for each file format.

The readers use no Django and start no program. A definition is untrusted input, regardless of its
source. Its files configure npm, pip, the loader and the sandbox. Therefore each reader accepts only
the part of the format that definitions need, and refuses text that a tool could parse differently.
Every reader raises `FileError` with key, line, reason and remedy.
"""

from collections.abc import Callable, Mapping

from templatemgr.definitions.readers import npmrc, package_json, package_lock, requirements_files
from templatemgr.definitions.readers.faults import FileError, decoded
from templatemgr.definitions.readers.rules import Rules

__all__ = ["LOCKS", "FileError", "Rules", "check", "names"]
# Decision 0015: one strict reader for each file, used at every entry point.
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
    """Return the names of the top-level files that the tools of a builder ("npm", "pip") read."""
    locks = ("package-lock.json",) if builder == "npm" else ()
    return (*_READERS.get(builder, {}), *locks)


def check(builder: str, name: str, files: Mapping[str, bytes], rules: Rules) -> None:
    """Check one file of a definition with its reader. Raises FileError.

    `name` is one of `names(builder)`; `files` maps the names of the present files to their content.
    `package-lock.json` is checked together with `package.json`, which must ask for its aliases.
    """
    text = decoded(files[name])
    if name == "package-lock.json":
        manifest = files.get("package.json")
        package_lock.read(text, rules, None if manifest is None else decoded(manifest))
    else:
        _READERS[builder][name](text, rules)
