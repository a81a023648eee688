"""The checked content of `template.toml`, as frozen dataclasses. Paths are relative."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.limits import Limits
from sandbox.session.variables import Variables
from templatemgr.definitions.smoke import SmokeCase

BUILDERS = ("npm", "pip")
LIMITS = ("wall_ms", "cpu_ms", "memory_bytes", "disk_bytes", "output_bytes", "processes")


@dataclass(frozen=True, kw_only=True)
class Mode:
    """How a mode starts.

    `command` is an argv list whose first item is a path relative to the tree. `entry` is the file
    that mode "run" starts by default; `pattern` tells mode "test" which files are tests.
    """

    command: tuple[str, ...]
    entry: str | None = None
    pattern: str | None = None


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A complete, checked definition. Paths are relative to `root` or to the tree built from it.

    `native` has the C sources of each shared object that a build compiles into the tree.
    `forks` names the modes whose runner can be a fork server.
    """

    root: Path
    name: str
    title: str
    builder: str
    summary: str
    links: tuple[str, ...]
    files: tuple[str, ...]
    install_scripts: tuple[str, ...]
    prune: tuple[str, ...]
    toolchain: Mapping[str, str]
    native: Mapping[str, tuple[str, ...]]
    env: Mapping[str, str]
    variables: Variables
    modes: Mapping[str, Mode]
    forks: tuple[str, ...]
    default: Limits
    maximum: Limits
    cache_submissions: tuple[str, ...]
    smoke: tuple[SmokeCase, ...]
