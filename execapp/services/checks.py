"""Check a submission before it is stored. Pure.

Each function returns all errors that it finds, so that a client gets them in one answer.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from execapp.conf import Sizes
from execapp.errors import MAX_REPORTED, Field
from execapp.limits import LIMIT_NAMES
from execapp.models import Mode
from sandbox.limits import Limits
from sandbox.session.paths import check_paths
from sandbox.session.variables import Variables

ENCODINGS = ("utf8", "base64")
MIB = 1024 * 1024
# Below these limits a runtime cannot report that it exceeded them.
LEAST = {
    "wall_ms": 1,
    "cpu_ms": 1,
    "memory_bytes": 16 * MIB,
    "disk_bytes": MIB,
    "output_bytes": 0,
    "processes": 1,
}
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Always refused: variables of the loader, of the C library and of Stencil.
_ENV_OURS = re.compile(r"(?i:LD_|GLIBC_|MALLOC_).*|GCONV_PATH|LOCPATH|PATH|HOME|PWD|STENCIL_.*")
# Variables that interpreters read: refused unless the template accepts the name.
_ENV_INTERPRETERS = re.compile(r"(?i:NODE_|PYTHON|npm_).*")
_LABEL_KEY = re.compile(r"[^:\x00-\x1f\x7f]+")


def check_files(files: Sequence[Mapping[str, str]], sizes: Sizes) -> list[Field]:
    """Check number, paths, encodings and contents of the files."""
    if not files:
        return [Field(path="files", message="Give at least one file.")]
    if len(files) > sizes.max_files:
        return [Field(path="files", message=f"At most {sizes.max_files} files are taken.")]
    problems = [
        Field(path=f"files.{index}.path", message=f"The path is refused: {reason}.")
        for index, reason in check_paths([file["path"] for file in files], most=MAX_REPORTED)
    ]
    if len(problems) == MAX_REPORTED:
        return problems
    for index, file in enumerate(files):
        if len(problems) == MAX_REPORTED:
            break
        if file["encoding"] not in ENCODINGS:
            text = "Give utf8 or base64."
            problems.append(Field(path=f"files.{index}.encoding", message=text))
        elif file["encoding"] != "utf8" and content_of(file) is None:
            text = "This is not base64 (standard alphabet, padded, no white space)."
            problems.append(Field(path=f"files.{index}.content", message=text))
    return problems


def content_of(file: Mapping[str, str]) -> bytes | None:
    """Return the bytes of a file; None if its content is not valid base64."""
    if file["encoding"] == "utf8":
        return file["content"].encode("utf-8")
    try:
        return base64.b64decode(file["content"], validate=True)
    except (binascii.Error, ValueError):
        return None


def content_size(file: Mapping[str, str]) -> int:
    """Return the number of bytes of a file that passed `check_files`, without decoding it."""
    content = file["content"]
    if file["encoding"] == "utf8":
        return size_of(content)
    return len(content) // 4 * 3 - content[-2:].count("=")


def check_entry(
    mode: str, entry: str | None, default: str | None, paths: Iterable[str]
) -> list[Field]:
    """Check that the entry file is among the files; test mode needs no entry file."""
    if mode != Mode.RUN:
        return []
    chosen = entry or default
    if chosen is None:
        return [Field(path="entry", message="Name the file to run.")]
    if chosen not in set(paths):
        return [Field(path="entry", message=f"{chosen[:200]!r} is not among the files.")]
    return []


def check_args(args: Sequence[str], stdin: str, sizes: Sizes) -> list[Field]:
    """Check number and length of the arguments, and the length of the standard input."""
    problems = []
    if len(args) > sizes.max_args:
        problems.append(Field(path="args", message=f"At most {sizes.max_args} are taken."))
    for index, arg in enumerate(args[: sizes.max_args]):
        if "\0" in arg:
            problems.append(Field(path=f"args.{index}", message="NUL cannot be in an argument."))
        if size_of(arg) > sizes.max_arg_bytes:
            text = f"At most {sizes.max_arg_bytes} bytes are taken."
            problems.append(Field(path=f"args.{index}", message=text))
    if size_of(stdin) > sizes.max_stdin_bytes:
        text = f"At most {sizes.max_stdin_bytes} bytes are taken."
        problems.append(Field(path="stdin", message=text))
    return problems


def check_env(
    env: Mapping[str, str], sizes: Sizes, variables: Variables | None = None
) -> list[Field]:
    """Check names and lengths; refuse each name that would change the toolchain, and say why.

    `variables` are the rules of the template; with None only the rules for all templates apply.
    """
    if len(env) > sizes.max_env:
        return [Field(path="env", message=f"At most {sizes.max_env} variables are taken.")]
    problems = []
    for name, value in env.items():
        path = f"env.{name[:100]}"
        if not _ENV_NAME.fullmatch(name):
            text = "A name is letters, digits and _, and does not begin with a digit."
            problems.append(Field(path=path, message=text))
        elif (why := _refusal(name, variables)) is not None:
            problems.append(Field(path=path, message=f"{name[:100]} is refused: {why}."))
        elif "\0" in value:
            problems.append(Field(path=path, message="NUL cannot be in a value."))
        elif size_of(name) + size_of(value) > sizes.max_env_bytes:
            text = f"At most {sizes.max_env_bytes} bytes are taken."
            problems.append(Field(path=path, message=text))
    return problems


def _refusal(name: str, variables: Variables | None) -> str | None:
    """Return why a variable is refused; None if it is allowed or if only the template decides."""
    if _ENV_OURS.fullmatch(name):
        return "it would change the toolchain"
    if variables is None:
        return None
    if (why := variables.refusal(name)) is not None:
        return why
    if _ENV_INTERPRETERS.fullmatch(name) and not variables.accepts(name):
        return "it would change the toolchain"
    return None


def check_labels(labels: Mapping[str, str], sizes: Sizes) -> list[Field]:
    """Check number and length of the labels; a key has no colon, since filters are key:value."""
    if len(labels) > sizes.max_labels:
        return [Field(path="labels", message=f"At most {sizes.max_labels} labels are taken.")]
    problems = []
    for key, value in labels.items():
        path = f"labels.{key[:100]}"
        if not _LABEL_KEY.fullmatch(key):
            text = "A key is not empty and has neither a colon nor control characters."
            problems.append(Field(path=path, message=text))
        elif "\0" in value:
            problems.append(Field(path=path, message="NUL cannot be in a value."))
        elif size_of(key) + size_of(value) > sizes.max_label_bytes:
            text = f"At most {sizes.max_label_bytes} bytes are taken."
            problems.append(Field(path=path, message=text))
    return problems


def check_limits(limits: Mapping[str, Any], maximum: Limits) -> list[Field]:
    """Check that limits are known, whole numbers, and at most the maximum of the definition."""
    problems = []
    for name, value in limits.items():
        path = f"limits.{name[:100]}"
        if name not in LIMIT_NAMES:
            text = f"Known limits are {', '.join(LIMIT_NAMES)}."
            problems.append(Field(path=path, message=text))
        elif type(value) is not int or value < LEAST[name]:
            text = f"Give a whole number, {LEAST[name]} or more."
            problems.append(Field(path=path, message=text))
        elif value > getattr(maximum, name):
            text = f"This template allows at most {getattr(maximum, name)}."
            problems.append(Field(path=path, message=text))
    return problems


def size_of(text: str) -> int:
    """Return the number of bytes in UTF-8; a lone surrogate counts as three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
