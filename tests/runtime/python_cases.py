"""A submission of the Python matrix, with its entry and variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Case:
    """The files by path, the entry and the variables of one run."""

    files: Mapping[str, str | bytes]
    entry: str = "main.py"
    env: Mapping[str, str] = field(default_factory=dict)


def program(source: str | bytes, **others: str | bytes) -> Case:
    """Return a case with a main module and other modules by name. `__` in a name stands for a slash."""
    more = {f"{name.replace('__', '/')}.py": text for name, text in others.items()}
    return Case(files={"main.py": source, **more})
