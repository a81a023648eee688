"""Read one submission of Judge0's format; errors are lists of messages by field, as in Judge0."""

import base64
import binascii
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from execapp.api.judge0 import archives, known
from execapp.errors import ExecutionError, InvalidRequestError
from execapp.models import ApiToken, Mode
from execapp.requests import SubmissionRequest
from execapp.services import token_pins
from sandbox.limits import Limits
from templatemgr import version_runtimes
from templatemgr.errors import NotBuiltError, UnknownTemplateError

Errors = dict[str, list[str]]
ENCODED = ("source_code", "stdin", "expected_output")
BLANK = "can't be blank"
# Fields of a submission by the paths of our services' errors.
_FIELDS = {
    "limits.wall_ms": "wall_time_limit",
    "limits.cpu_ms": "cpu_time_limit",
    "limits.memory_bytes": "memory_limit",
    "limits.processes": "max_processes_and_or_threads",
    "args": "command_line_arguments",
    "stdin": "stdin",
    "mode": "language_id",
    "entry": "language_id",
    "callback_url": "callback_url",
}
# Fields that have one possible value here: the value, and what Judge0 says of others.
FIXED: dict[str, tuple[object, str]] = {
    "number_of_runs": (1, "must be less than or equal to 1"),
    "stack_limit": (known.STACK_KB, f"must be equal to {known.STACK_KB}"),
    "max_file_size": (known.FILE_KB, f"must be equal to {known.FILE_KB}"),
    "enable_per_process_and_thread_time_limit": (False, "this option cannot be enabled"),
    "enable_per_process_and_thread_memory_limit": (False, "this option cannot be enabled"),
    "redirect_stderr_to_stdout": (False, "this option cannot be enabled"),
    "enable_network": (False, "enabling network is not allowed"),
    "compiler_options": (
        "",
        "setting compiler options is only allowed for compiled languages",
    ),
}


class WrongSubmissionError(ExecutionError):
    """The submission is wrong; `errors` are the messages by field."""

    code = "invalid_request"

    def __init__(self, errors: Errors) -> None:
        super().__init__("The submission is wrong.")
        self.errors = errors


@dataclass(kw_only=True)
class Reader:
    """Reads the fields of one submission and collects their errors."""

    fields: Mapping[str, Any]
    encoded: bool
    errors: Errors = field(default_factory=dict)

    def wrong(self, name: str, message: str) -> None:
        """Add a message to a field."""
        self.errors.setdefault(name, []).append(message)

    def data(self, name: str, *, encoded: bool) -> bytes | None:
        """Return the bytes of a text field; None without one."""
        value = self.fields.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.wrong(name, "must be a string")
            return None
        if not encoded:
            return value.encode()
        packed = "".join(value.split())
        try:
            return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
        except (binascii.Error, ValueError):
            self.wrong(name, "is not valid Base64")
            return None

    def text(self, name: str) -> str | None:
        """Return a text field that must be UTF-8."""
        data = self.data(name, encoded=self.encoded)
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError:
            self.wrong(name, "is not UTF-8")
            return None

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """Return a number within bounds; texts of digits are numbers, too, as in Judge0."""
        value = self.fields.get(name)
        if value is None:
            return min(default, most)
        try:
            if isinstance(value, bool) or len(str(value)) > known.MOST_CHARACTERS:
                raise ValueError
            found = float(value)
        except (TypeError, ValueError, OverflowError):
            self.wrong(name, "is not a number")
            return default
        if not found >= least:
            self.wrong(name, f"must be greater than or equal to {least:g}")
        elif not found <= most:
            self.wrong(name, f"must be less than or equal to {most:g}")
        return found if least <= found <= most else default

    def fixed(self) -> None:
        """Refuse other values than the possible one: nothing is ignored."""
        for name, (possible, message) in FIXED.items():
            value = self.fields.get(name)
            if value is not None and value != possible and str(value) != str(possible).lower():
                self.wrong(name, message)

    def arguments(self) -> list[str]:
        """Split the arguments as a shell would; no shell reads them."""
        value = self.fields.get("command_line_arguments")
        if value is None:
            return []
        if not isinstance(value, str):
            self.wrong("command_line_arguments", "must be a string")
        elif len(value) > known.MOST_CHARACTERS:
            message = f"is too long (maximum is {known.MOST_CHARACTERS} characters)"
            self.wrong("command_line_arguments", message)
        else:
            try:
                return shlex.split(value)
            except ValueError:
                self.wrong("command_line_arguments", "has a quotation without an end")
        return []


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A checked submission."""

    request: SubmissionRequest
    language_id: int
    expected_output: str | None
    options: dict[str, Any]


def read(body: object, token: ApiToken, *, encoded: bool) -> Wanted:
    """Return a submission. Raises WrongSubmissionError, and UnavailableError of the template."""
    reader = Reader(fields=body if isinstance(body, dict) else {}, encoded=encoded)
    source = reader.data("source_code", encoded=encoded)
    if not source and "source_code" not in reader.errors:
        reader.wrong("source_code", BLANK)
    number, reference, entry, maximum = _language(reader, token)
    stdin, expected = reader.text("stdin"), reader.text("expected_output")
    args = reader.arguments()
    callback = reader.fields.get("callback_url")
    if callback is not None and not isinstance(callback, str):
        reader.wrong("callback_url", "must be a string")
    reader.fixed()
    limits = _limits(reader, maximum)
    more = _additional(reader)
    if reader.errors:
        raise WrongSubmissionError(reader.errors)
    main = {
        "path": entry,
        "content": base64.b64encode(source or b"").decode(),
        "encoding": "base64",
    }
    request = SubmissionRequest(
        client=token.name,
        token=token,
        template=reference,
        mode=Mode.RUN,
        files=[main, *(file for file in more if file["path"] != entry)],
        entry=entry,
        args=args,
        stdin=stdin or "",
        limits=limits,
        callback_url=callback or None,
        callback_event=known.FINISHED,
    )
    names = ("command_line_arguments", "cpu_extra_time")
    options = {name: reader.fields[name] for name in names if reader.fields.get(name) is not None}
    return Wanted(request=request, language_id=number, expected_output=expected, options=options)


def translated(error: InvalidRequestError) -> WrongSubmissionError:
    """Return an error of our services by the fields of Judge0."""
    errors: Errors = {}
    for found in error.fields:
        top = found.path.partition(".")[0]
        name = _FIELDS.get(found.path) or _FIELDS.get(top) or "additional_files"
        errors.setdefault(name, []).append(found.message)
    return WrongSubmissionError(errors)


def _language(reader: Reader, token: ApiToken) -> tuple[int, str, str, Limits]:
    """Return the number, the version's reference, its entry file and its highest limits."""
    given, none = reader.fields.get("language_id"), (0, "", "", Limits())
    if given is None:
        reader.wrong("language_id", BLANK)
        return none
    unknown = f"language with id {str(given)[:20]} doesn't exist"
    digits = str(given) if isinstance(given, int | str) and not isinstance(given, bool) else ""
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else -1
    name = settings.STENCIL_JUDGE0_LANGUAGES.get(number)
    if name is None:
        reader.wrong("language_id", unknown)
        return none
    try:
        version = token_pins.resolve(reference=name, token=token)
    except (UnknownTemplateError, NotBuiltError):
        reader.wrong("language_id", unknown)
        return none
    runtime = version_runtimes.runtime_of(version)
    if runtime.entry is None:
        reader.wrong("language_id", unknown)
        return none
    return number, f"{name}@{version.number}", runtime.entry, runtime.maximum


def _limits(reader: Reader, most: Limits) -> dict[str, int]:
    cpu = reader.number("cpu_time_limit", known.CPU_SECONDS, least=0.001, most=most.cpu_ms / 1000)
    wall = reader.number("wall_time_limit", known.WALL_SECONDS, least=1, most=most.wall_ms / 1000)
    reader.number(
        "cpu_extra_time", known.EXTRA_SECONDS, least=0, most=known.MAX_EXTRA_SECONDS
    )  # in Judge0, too, a program that needs it has exceeded its limit
    limits = {"cpu_ms": max(1, round(cpu * 1000)), "wall_ms": round(wall * 1000)}
    if reader.fields.get("memory_limit") is not None:
        highest = most.memory_bytes // 1024
        least = known.LEAST_MEMORY_KB
        memory = reader.number("memory_limit", highest, least=least, most=highest)
        limits["memory_bytes"] = int(memory) * 1024
    if reader.fields.get("max_processes_and_or_threads") is not None:
        processes = reader.number(
            "max_processes_and_or_threads", most.processes, least=1, most=most.processes
        )
        limits["processes"] = int(processes)
    return limits


def _additional(reader: Reader) -> list[dict[str, str]]:
    data = reader.data("additional_files", encoded=True)
    if not data:
        return []
    try:
        return archives.files(data, most_bytes=known.EXTRACT_KB * 1024)
    except archives.ArchiveError as error:
        reader.wrong("additional_files", str(error))
        return []
