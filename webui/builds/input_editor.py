"""An edit of inputs between two posts: which files are open, what was typed, what it changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from templatemgr.build import inputs as sources
from templatemgr.build.inputs import Inputs
from templatemgr.builders import registry
from templatemgr.difference import Text
from templatemgr.errors import DefinitionError

FIELD = "file:"  # + the path: its text
MAX_OPEN = 12
MODES = {
    ".json": "json", ".lock": "text", ".toml": "toml", ".ts": "typescript", ".mts": "typescript",
    ".cts": "typescript", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript",
    ".py": "python", ".npmrc": "ini", ".ini": "ini", ".cfg": "ini",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Editor:
    """One open file: its field, its text, the language that colours it, and what is wrong."""

    path: str
    field: str
    text: str
    mode: str
    fault: DefinitionError | None = None

    @property
    def row(self) -> int | None:
        """The line that is wrong, as Ace counts: from 0."""
        return self.fault.line - 1 if self.fault is not None and self.fault.line else None

    @property
    def lines(self) -> int:
        """How many lines the field shows, within reason."""
        return min(28, max(6, self.text.count("\n") + 1))


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What is open and what it changes. `previewed`: the difference was asked for.

    `fault` says where the inputs would be refused as they were typed.
    """

    files: Mapping[str, str]
    changed: Mapping[str, str] = field(default_factory=dict)
    texts: tuple[Text, ...] = ()
    problem: str = ""
    fault: DefinitionError | None = None
    previewed: bool = False

    @property
    def ready(self) -> bool:
        """Whether it can be built as it is."""
        return self.previewed and bool(self.changed) and not self.problem


def opened(inputs: Inputs, asked: list[str]) -> Edit:
    """The files to begin with: those asked for, else what says which packages are wanted."""
    updater = registry.updater(inputs.definition.builder)
    first = updater.MANIFEST if updater else "template.toml"
    files: dict[str, str] = {}
    for path in (asked or [first])[:MAX_OPEN]:
        text = inputs.text(path)
        if text is not None:
            files[path] = text
    fault = sources.propose(inputs=inputs, files={}).problem
    _open(inputs, files, fault)
    return Edit(files=files, problem=fault.message if fault else "", fault=fault)


def from_post(inputs: Inputs, form: Mapping[str, Any]) -> Edit:
    """Take what was typed; what cannot be is a `problem`, and the rest stays as it was typed."""
    files, problem = _typed(inputs, form)
    asked = str(form.get("open", ""))
    if form.get("do") == "open" and asked and not problem:
        text = inputs.text(asked)
        if text is None:
            problem = f"{asked} is no text that can be edited here."
        elif len(files) >= MAX_OPEN:
            problem = f"{MAX_OPEN} files are open: build these first."
        else:
            files.setdefault(asked, text)
    changed = {path: text for path, text in files.items() if text != inputs.text(path)}
    previewed = form.get("do") in {"preview", "build"}
    if not previewed or problem:
        return Edit(files=files, changed=changed, problem=problem)
    if not changed:
        return Edit(files=files, previewed=True, problem="Nothing is changed yet.")
    if form.get("digest") != inputs.digest:
        problem = "The files changed since you opened them: look at the difference again."
    proposal = sources.propose(inputs=inputs, files=changed)
    _open(inputs, files, proposal.problem)
    return Edit(
        files=files,
        changed=changed,
        texts=proposal.texts,
        problem=problem or (proposal.problem.message if proposal.problem else ""),
        fault=proposal.problem,
        previewed=True,
    )


def editor(path: str, text: str, fault: DefinitionError | None = None) -> Editor:
    """How a file is shown while it is edited; `fault` is marked where it is of this file."""
    mine = fault if fault is not None and _path(fault) == path else None
    name = PurePosixPath(path).name
    suffix = PurePosixPath(path).suffix or name
    mode = MODES.get(suffix, "text")
    return Editor(path=path, field=f"{FIELD}{path}", text=text, mode=mode, fault=mine)


def _path(fault: DefinitionError) -> str:
    """The file of a fault, relative to the definition's folder."""
    return fault.file.partition("/")[2]


def _open(inputs: Inputs, files: dict[str, str], fault: DefinitionError | None) -> None:
    """Open what is wrong beside what was opened, so that it can be mended where it is told."""
    if fault is None or _path(fault) in files or len(files) >= MAX_OPEN:
        return
    text = inputs.text(_path(fault))
    if text is not None:
        files[_path(fault)] = text


def _typed(inputs: Inputs, form: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    known = inputs.files
    files: dict[str, str] = {}
    for name, value in form.items():
        if not name.startswith(FIELD):
            continue
        path = name.removeprefix(FIELD)
        if path not in known:
            return files, f"{path} is not a file of the inputs any more."
        files[path] = _line_ends(str(value), inputs.text(path) or "")
    return files, ""


def _line_ends(text: str, before: str) -> str:
    """A browser sends CRLF at every line's end: keep what the file had."""
    plain = text.replace("\r\n", "\n")
    return plain.replace("\n", "\r\n") if "\r\n" in before else plain
