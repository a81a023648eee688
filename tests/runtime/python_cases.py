"""A submission of the Python matrices, with what is sent around it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files by path, and the entry and variables of one run."""

    files: Mapping[str, str | bytes]
    entry: str = "main.py"
    env: Mapping[str, str] = field(default_factory=dict)


def program(source: str | bytes, **others: str | bytes) -> Case:
    """A main module; others by their name, with `__` for a slash."""
    more = {f"{name.replace('__', '/')}.py": text for name, text in others.items()}
    return Case(files={"main.py": source, **more})
