"""A tree, a submission, and their form inside of a sandbox and on its channel. Pure."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.errors import StartupError
from sandbox.isolation import profile
from sandbox.limits import MIB, Limits
from sandbox.session.variables import Variables

_SHM_BYTES = 64 * MIB
# A variable in the environment of a tree: the descriptor number of its runner's channel.
CHANNEL = "STENCIL_CHANNEL"
_NUMBERS = range(3, 100)


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A sealed tree and the start of its runner.

    `root` is shown at /template and `cache` at /cache, read-only unless `cache_writable` (only
    for the step that fills it). `links` are names below /template that get a link in /workspace.
    Items of `command` with a slash are paths in the tree ("bin/node"); the last item is the mode.
    `variables` names the variables of a submission that this tree's runtime reads at its start.
    `forks`: its runner can be a fork server.
    """

    root: Path
    cache: Path | None = None
    links: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cache_writable: bool = False
    variables: Variables = field(default_factory=Variables)
    forks: bool = False


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file of a submission; `path` is relative to src/."""

    path: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The code to run; `mode` is "run" or "test"."""

    mode: str
    files: tuple[SourceFile, ...] = ()
    entry: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    pattern: str | None = None


def shared_bytes(limits: Limits) -> int:
    """Return the size of /dev/shm in bytes."""
    return min(limits.disk_bytes, _SHM_BYTES)


def tree_profile(
    tree: Tree, limits: Limits, *, cold: bool = False, env: Mapping[str, str] | None = None
) -> profile.Profile:
    """Return the profile of a sandbox of this tree. StartupError for a bad channel number.

    `cold`: the job is there already; STENCIL_COLD tells the runner. `env`: variables of the
    submission that are set from the start; they override those of the tree.
    """
    binds = [(str(tree.root), "/template", False)]
    if tree.cache is not None:
        binds.append((str(tree.cache), "/cache", tree.cache_writable))
    sizes = {
        "/workspace": limits.disk_bytes,
        "/tmp": limits.disk_bytes,  # noqa: S108 - inside
        "/dev/shm": shared_bytes(limits),  # noqa: S108 - inside
    }
    return profile.Profile(
        command=tuple(_inside(item) for item in tree.command),
        directory="/workspace",
        environment={
            **profile.BASE_ENVIRONMENT,
            "PATH": "/template/bin:/usr/bin:/bin",
            "STENCIL_MODE": tree.command[-1],
            **({"STENCIL_COLD": "1"} if cold else {}),
            **tree.env,
            **(env or {}),
        },
        binds=tuple(binds),
        tmpfs=tuple(profile.Tmpfs(at=at, size_bytes=size) for at, size in sizes.items()),
        folders=("/workspace/src",),
        links=links_of(tree),
        files={"/etc/hosts": profile.HOSTS},
        channel=_channel(tree),
    )


def links_of(tree: Tree) -> tuple[tuple[str, str], ...]:
    """Return the links of a workspace into the tree, as (target, place)."""
    return tuple((f"/template/{name}", f"/workspace/{name}") for name in tree.links)


def _channel(tree: Tree) -> int:
    said = tree.env.get(CHANNEL, str(_NUMBERS[0]))
    if not said.isdecimal() or int(said) not in _NUMBERS:
        numbers = f"{_NUMBERS[0]} to {_NUMBERS[-1]}"
        raise StartupError(f"{CHANNEL} is {said!r}: give a number from {numbers}")
    return int(said)


def _inside(item: str) -> str:
    """Return the path inside for an item that names a file of the tree: one with a slash."""
    named = "/" in item and not item.startswith(("/", "-"))
    return f"/template/{item}" if named else item


# Decision 0003: files travel over the channel; the host opens no path of a sandbox.
def encode_job(submission: Submission, key: str, late: Sequence[str] = ()) -> bytes:
    """Return the job as the one line that the runner gets; its `exit` message must carry `key`.

    `late`: variables of the submission that its runtime should have read at its start.
    """
    job = {
        "type": "job",
        "mode": submission.mode,
        "files": [_encode_file(file) for file in submission.files],
        "entry": submission.entry,
        "args": list(submission.args),
        "env": dict(submission.env),
        "pattern": submission.pattern,
        "key": key,
        "late": list(late),
    }
    return json.dumps(job, separators=(",", ":")).encode("ascii") + b"\n"


def _encode_file(file: SourceFile) -> dict[str, str]:
    try:
        text, encoding = file.content.decode("utf-8"), "utf8"
    except UnicodeDecodeError:
        text, encoding = base64.b64encode(file.content).decode("ascii"), "base64"
    return {"path": file.path, "content": text, "encoding": encoding}
