"""Read the body of Piston's `execute` and make a `SubmissionRequest` of it."""

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from semantic_version import NpmSpec
from semantic_version import Version as SemanticVersion

from execapp.api import languages
from execapp.api.languages import Language
from execapp.errors import ExecutionError, InvalidRequestError
from execapp.models import ApiToken, Mode
from execapp.requests import SubmissionRequest
from execapp.services import token_pins
from sandbox.limits import Limits
from templatemgr import version_runtimes
from templatemgr.errors import NotBuiltError, UnknownTemplateError, UnknownVersionError

LONGEST_NAME = 64
LONGEST_RANGE = 256  # characters, as in npm's own parser
DEFAULT_MS = 3_000  # run_timeout and run_cpu_time of a request that names none
ENCODINGS = ("utf8", "base64", "hex")
NO_LIMIT = -1
# Fields of a request by the paths of our services' errors.
_FIELDS = {
    "limits.wall_ms": "run_timeout",
    "limits.cpu_ms": "run_cpu_time",
    "limits.memory_bytes": "run_memory_limit",
    "limits.disk_bytes": "files",
    "entry": "files",
    "mode": "language",
}


class WrongJobError(ExecutionError):
    """The request is wrong; the message is the one that Piston's clients know."""

    code = "invalid_request"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A checked request, and the language that runs it."""

    request: SubmissionRequest
    language: Language


def read(body: object, token: ApiToken) -> Job:
    """Return the job of a body. Raises WrongJobError, and UnavailableError of the template."""
    fields = body if isinstance(body, dict) else {}
    name, wanted = _text(fields, "language"), _text(fields, "version")
    files = _files(fields)
    language, number, maximum = _runtime(name, wanted, token)
    main = next((file for file in files if file["encoding"] == "utf8"), None)
    if main is None:
        raise WrongJobError("files must include at least one utf8 encoded file")
    if language.name == "typescript" and not main["path"].endswith((".ts", ".tsx", ".mts", ".cts")):
        main["path"] += ".ts"
    request = SubmissionRequest(
        client=token.name,
        token=token,
        template=f"{language.name}@{number}",
        mode=Mode.RUN,
        files=[_stored(file, index) for index, file in enumerate(files)],
        entry=main["path"],
        args=_args(fields),
        stdin=_stdin(fields),
        limits=_limits(fields, maximum),
    )
    return Job(request=request, language=language)


def translated(error: InvalidRequestError) -> WrongJobError:
    """Return an error of our services with the names that this request has for its fields."""
    first = error.fields[0]
    parts = first.path.split(".")
    if parts[0] == "files" and len(parts) == 3:
        name = f"files[{parts[1]}].{'name' if parts[2] == 'path' else parts[2]}"
    elif parts[0] == "args" and len(parts) == 2:
        name = f"args[{parts[1]}]"
    else:
        name = _FIELDS.get(first.path, first.path)
    return WrongJobError(f"{name}: {first.message}")


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise WrongJobError(f"{name} is required as a string")
    return value


def _files(fields: Mapping[str, Any]) -> list[dict[str, str]]:
    given = fields.get("files")
    if not isinstance(given, list):
        raise WrongJobError("files is required as an array")
    found = []
    for index, file in enumerate(given):
        if not isinstance(file, dict) or not isinstance(file.get("content"), str):
            raise WrongJobError(f"files[{index}].content is required as a string")
        name, encoding = file.get("name"), file.get("encoding") or "utf8"
        if name is not None and not isinstance(name, str):
            raise WrongJobError(f"files[{index}].name must be a string")
        if encoding not in ENCODINGS:
            raise WrongJobError(f"files[{index}].encoding must be one of {', '.join(ENCODINGS)}")
        path = name or f"file{index}.code"
        found.append({"path": path, "content": file["content"], "encoding": encoding})
    return found


def _stored(file: dict[str, str], index: int) -> dict[str, str]:
    """Return a file with an encoding that our services know: hex becomes base64."""
    if file["encoding"] != "hex":
        return file
    try:
        data = binascii.unhexlify(file["content"])
    except (binascii.Error, ValueError):
        message = f"files[{index}].content is not hex: give two digits for each byte"
        raise WrongJobError(message) from None
    return {**file, "content": base64.b64encode(data).decode(), "encoding": "base64"}


def _runtime(name: str, wanted: str, token: ApiToken) -> tuple[Language, int, Limits]:
    """Return the language, the number of its version and the highest limits."""
    unknown = WrongJobError(f"{name[:LONGEST_NAME]}-{wanted[:LONGEST_NAME]} runtime is unknown")
    template = languages.template_named(name)
    if len(template) > LONGEST_NAME or "@" in template or "\0" in template:
        raise unknown
    try:
        version = token_pins.resolve(reference=template, token=token)
    except (UnknownTemplateError, UnknownVersionError, NotBuiltError):
        raise unknown from None
    language = languages.of(version)
    runtime = version_runtimes.runtime_of(version)
    if Mode.RUN not in runtime.modes or not _satisfies(language.version, wanted):
        raise unknown
    return language, version.number, runtime.maximum


def _satisfies(version: str, wanted: str) -> bool:
    """Say whether a version lies in a range of npm's syntax; nothing lies in a wrong range."""
    if len(wanted) > LONGEST_RANGE:
        return False
    try:
        return bool(NpmSpec(wanted.strip()).match(SemanticVersion(version)))
    except ValueError:
        return False


def _args(fields: Mapping[str, Any]) -> list[str]:
    given = fields.get("args")
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(arg, str) for arg in given):
        raise WrongJobError("args must be an array of strings")
    return given


def _stdin(fields: Mapping[str, Any]) -> str:
    given = fields.get("stdin")
    if given is not None and not isinstance(given, str):
        raise WrongJobError("stdin must be a string")
    text = given or ""
    return text if text.endswith("\n") else text + "\n"


def _limits(fields: Mapping[str, Any], maximum: Limits) -> dict[str, int]:
    """Return our limits. Those of the compile stage are checked alone: nothing is compiled."""
    configured = {
        "memory_limit": maximum.memory_bytes,
        "timeout": maximum.wall_ms,
        "cpu_time": maximum.cpu_ms,
    }
    given: dict[str, int | None] = {}
    for constraint, most in configured.items():
        for stage in ("compile", "run"):
            name = f"{stage}_{constraint}"
            given[name] = _limit(fields.get(name), name, most)
    memory = given["run_memory_limit"]
    limits = {
        "wall_ms": given["run_timeout"] or min(DEFAULT_MS, maximum.wall_ms),
        "cpu_ms": given["run_cpu_time"] or min(DEFAULT_MS, maximum.cpu_ms),
    }
    if memory is not None:
        limits["memory_bytes"] = maximum.memory_bytes if memory == NO_LIMIT else memory
    return limits


def _limit(value: object, name: str, most: int) -> int | None:
    if not value:  # as in Piston, 0 is no limit of its own
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongJobError(f"If specified, {name} must be a number")
    if value == NO_LIMIT and name.endswith("memory_limit"):
        return NO_LIMIT
    if value > most:
        raise WrongJobError(f"{name} cannot exceed the configured limit of {most}")
    if value < 0:
        raise WrongJobError(f"{name} must be non-negative")
    return math.ceil(value)
