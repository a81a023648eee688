"""An edit of input files between two requests: the open files, their texts and the changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from templatemgr.build import inputs
from templatemgr.build.inputs import Inputs
from templatemgr.builders import registry
from templatemgr.difference import Text
from templatemgr.errors import DefinitionError

FILE_FIELD = "file:"  # + the path of a file; its value: the text
MAX_OPEN = 12
MODES = {
    ".json": "json", ".lock": "text", ".toml": "toml", ".ts": "typescript", ".mts": "typescript",
    ".cts": "typescript", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript",
    ".py": "python", ".npmrc": "ini", ".ini": "ini", ".cfg": "ini",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Editor:
    """One open file: its form field, its text, the language that colours it, and its fault."""

    path: str
    field: str
    text: str
    mode: str
    fault: DefinitionError | None = None

    @property
    def row(self) -> int | None:
        """The line of the fault. Ace counts from 0."""
        return self.fault.line - 1 if self.fault is not None and self.fault.line else None

    @property
    def lines(self) -> int:
        """The height of the field in lines, from 6 to 28."""
        return min(28, max(6, self.text.count("\n") + 1))


@dataclass(frozen=True, kw_only=True)
class Edit:
    """The open files and the changes in them. `previewed`: the difference was requested.

    `fault` is the place of the first fault in the typed inputs.
    """

    files: Mapping[str, str]
    changed: Mapping[str, str] = field(default_factory=dict)
    texts: tuple[Text, ...] = ()
    problem: str = ""
    fault: DefinitionError | None = None
    previewed: bool = False

    @property
    def ready(self) -> bool:
        """Whether the edit can be built."""
        return self.previewed and bool(self.changed) and not self.problem


def start(source: Inputs, paths: Sequence[str]) -> Edit:
    """Open the given files; without any, the file that names the packages."""
    updater = registry.updater(source.definition.builder)
    first = updater.MANIFEST if updater else "template.toml"
    files: dict[str, str] = {}
    for path in (paths or [first])[:MAX_OPEN]:
        text = source.text(path)
        if text is not None:
            files[path] = text
    fault = inputs.propose(inputs=source, files={}).problem
    _open_faulty(source, files, fault)
    return Edit(files=files, problem=fault.message if fault else "", fault=fault)


def proceed(
    source: Inputs, texts: Mapping[str, str], *, action: str, path: str = "", digest: str = ""
) -> Edit:
    """Take the typed texts and do one step: "open" `path`, "preview" or "build".

    `digest` is that of the inputs which the page showed. A refusal becomes `problem` of the result,
    and every text stays as it was typed.
    """
    files, problem = _known(source, texts)
    if action == "open" and path and not problem:
        problem = _open(source, files, path)
    changed = {path: text for path, text in files.items() if text != source.text(path)}
    previewed = action in {"preview", "build"}
    if not previewed or problem:
        return Edit(files=files, changed=changed, problem=problem)
    if not changed:
        return Edit(files=files, previewed=True, problem="No file is changed yet.")
    if digest != source.digest:
        problem = "The files changed since you opened them: check the difference again."
    proposal = inputs.propose(inputs=source, files=changed)
    _open_faulty(source, files, proposal.problem)
    return Edit(
        files=files,
        changed=changed,
        texts=proposal.texts,
        problem=problem or (proposal.problem.message if proposal.problem else ""),
        fault=proposal.problem,
        previewed=True,
    )


def editor(path: str, text: str, fault: DefinitionError | None = None) -> Editor:
    """Return how an open file is shown; `fault` is marked if it is in this file."""
    mine = fault if fault is not None and _path(fault) == path else None
    name = PurePosixPath(path).name
    suffix = PurePosixPath(path).suffix or name
    mode = MODES.get(suffix, "text")
    return Editor(path=path, field=f"{FILE_FIELD}{path}", text=text, mode=mode, fault=mine)


def _path(fault: DefinitionError) -> str:
    """Return the file of a fault, relative to the folder of the definition."""
    return fault.file.partition("/")[2]


def _open(source: Inputs, files: dict[str, str], path: str) -> str:
    """Open another file. Return the problem, or an empty text."""
    text = source.text(path)
    if text is None:
        return f"{path} is not a text file that can be edited here."
    if len(files) >= MAX_OPEN:
        return f"{MAX_OPEN} files are open: build these first."
    files.setdefault(path, text)
    return ""


def _open_faulty(source: Inputs, files: dict[str, str], fault: DefinitionError | None) -> None:
    """Open the file of a fault too, so that the user can correct it there."""
    if fault is None or _path(fault) in files or len(files) >= MAX_OPEN:
        return
    text = source.text(_path(fault))
    if text is not None:
        files[_path(fault)] = text


def _known(source: Inputs, texts: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return the texts up to the first that is no file of the inputs, and the problem with it."""
    files: dict[str, str] = {}
    for path, text in texts.items():
        if path not in source.files:
            return files, f"{path} is not a file of the inputs any more."
        files[path] = _line_ends(text, source.text(path) or "")
    return files, ""


def _line_ends(text: str, before: str) -> str:
    """Return the text with the line ends of the file: a browser sends CRLF for all."""
    plain = text.replace("\r\n", "\n")
    return plain.replace("\n", "\r\n") if "\r\n" in before else plain
