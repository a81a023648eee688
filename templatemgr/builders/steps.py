"""Steps that all builders share: run a program in a cage, prune a tree, link a toolchain."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from sandbox import cage
from sandbox.errors import CageStoppedError
from templatemgr import store
from templatemgr.builders.base import Job
from templatemgr.errors import BuildCancelledError, BuildError

KEPT_LINES = 200  # of the output, for the error message
SHOWN_LINES = 12
CLOSED = r"The way to \S+ is closed"  # the message of a cage's proxy for a forbidden host
THEN = " … "  # separates the parts of a remedy's pattern


def run(
    job: Job,
    jail: cage.Cage,
    argv: tuple[str, ...],
    *,
    step: str,
    what: str,
    remedies: Mapping[str, str],
    mark: str,
    first: bool = False,
) -> None:
    """Run a program to its end and write its output to the log.

    `step` and `what` name the step and the program in errors. Raises BuildCancelledError, and
    BuildError if the program fails. The message has the output lines that begin with `mark`: the
    last of them, or with `first` the first of them. The error has the first of `remedies` (see
    `remedy`) that matches the output.
    """
    said: list[str] = []

    def listen(stream: str, text: str) -> None:
        said.append(text)
        del said[:-KEPT_LINES]
        job.log(stream, text)

    try:
        status = cage.run(jail, list(argv), listen, cancel=job.cancel)
    except CageStoppedError as error:
        if job.cancel.is_set():
            raise BuildCancelledError from None
        message = f"{what} was stopped: {error}. {essence(said, mark, first=first)}".strip()
        raise BuildError(message, step=step) from error
    if status != 0:
        message = f"{what} ended with status {status}. {essence(said, mark, first=first)}".strip()
        raise BuildError(message, step=step, remedy=remedy(said, remedies))


def essence(said: list[str], mark: str, *, first: bool = False) -> str:
    """Return the last SHOWN_LINES lines that begin with the mark, else the last of all lines.

    `first`: return the first lines instead.
    """
    errors = [line for line in said if line.startswith(mark) and "complete log" not in line]
    return "\n".join((errors or said)[:SHOWN_LINES] if first else (errors or said)[-SHOWN_LINES:])


def remedy(said: list[str], remedies: Mapping[str, str]) -> str | None:
    """Return the remedy of the first known error in the output, or None.

    The keys of `remedies` are patterns for one line each. THEN separates the parts of a pattern
    that follow each other in a line. Each part is searched once, so that the time is linear in the
    length of the line.
    """
    for pattern, words in remedies.items():
        pieces = [re.compile(piece) for piece in pattern.split(THEN)]
        if any(_has(line, pieces) for line in said):
            return words
    return None


def _has(line: str, pieces: Iterable[re.Pattern[str]]) -> bool:
    place = 0
    for piece in pieces:
        found = piece.search(line, place)
        if found is None:
            return False
        place = found.end()
    return True


def prune(tree: Path, patterns: Iterable[str]) -> None:
    """Remove the entries of a tree that match the glob patterns. Follow no link out of the tree."""
    for pattern in patterns:
        for path in sorted(tree.glob(pattern)):
            if lies_in(tree, path):
                store.remove(path)


def link(tree: Path, name: str, target: str) -> None:
    """Make a relative link to a program of the tree. Raises BuildError.

    `name` and `target` are paths relative to the tree.
    """
    if not (tree / target).exists():
        message = f"The toolchain {name} should lead to {target}, which is not installed."
        words = "Lock a toolchain that exists for this platform."
        raise BuildError(message, step="installing", remedy=words)
    place = tree / name
    if not lies_in(tree, place):
        message = (
            f"The toolchain {name} would lie outside of the tree: a folder above it is a link."
        )
        raise BuildError(message, step="installing")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(tree / target, place.parent))
    except OSError as error:
        message = f"The toolchain {name} cannot be linked: {error.strerror}."
        words = "Name a path in `toolchain` where nothing is yet."
        raise BuildError(message, step="installing", remedy=words) from error


def lies_in(tree: Path, path: Path) -> bool:
    """Return whether a path's folder is in the tree: a script can make a link that leaves it."""
    return path.parent.resolve().is_relative_to(tree.resolve())
