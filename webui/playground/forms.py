"""The playground's form: files, mode, input and limits; it makes submission requests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from core import parsing
from execapp.models import Mode
from execapp.requests import SubmissionRequest

MOST_LIMIT = 10**15  # the service checks the limits of the template
MOST_FILES = 50  # editors on a page; the API takes more
FORM_ID = "playground-form"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file in its editor. Binary content is base64, and cannot be edited."""

    path: str = ""
    content: str = ""
    encoding: str = "utf8"  # or "base64"

    @property
    def blank(self) -> bool:
        """Whether the editor is unused."""
        return not self.path.strip() and not self.content.strip()


class FilesWidget(forms.Widget):
    """Editors, each with the inputs `path`, `content` and `encoding`. A template draws them."""

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> list[File]:  # noqa: ARG002
        """Return the files in the order of their editors."""
        assert isinstance(data, QueryDict)  # noqa: S101 - forms get request.POST
        columns = [data.getlist(column) for column in ("path", "content", "encoding")]
        return [
            File(path=path, content=with_unix_lines(content), encoding=encoding or "utf8")
            for path, content, encoding in zip_longest(*columns, fillvalue="")
        ]

    def value_omitted_from_data(self, *_args: Any) -> bool:
        """Return False: a form without a file has no input, too."""
        return False


class TextField(forms.Field):
    """A text as it is typed. Browsers end lines with CR LF; the value has LF."""

    def __init__(self, *, rows: int = 0, mono: bool = True, **options: Any) -> None:
        attributes: dict[str, Any] = {"spellcheck": "false"} | ({"class": "mono"} if mono else {})
        widget: forms.Widget = forms.TextInput(attrs=attributes | {"autocomplete": "off"})
        if rows:
            widget = forms.Textarea(attrs=attributes | {"rows": rows})
        super().__init__(widget=widget, required=False, **options)

    def to_python(self, value: Any) -> str:
        """Return the text; empty without one."""
        return with_unix_lines(value or "")


class LinesField(TextField):
    """The lines of a text that are not empty."""

    def clean(self, value: Any) -> Any:
        """Return the lines."""
        return [line for line in super().clean(value).split("\n") if line]


class PairsField(TextField):
    """A table, written as one `name=value` per line."""

    def clean(self, value: Any) -> Any:
        """Return the values by name. Raises ValidationError."""
        found: dict[str, str] = {}
        for line in filter(None, map(str.strip, super().clean(value).split("\n"))):
            name, sign, text = line.partition("=")
            if not sign or not name.strip() or name.strip() in found:
                message = f"{line[:100]!r}: write name=value, each name once."
                raise ValidationError(message, code="invalid")
            found[name.strip()] = text
        return found


class LimitsField(PairsField):
    """A table whose values are whole numbers."""

    def clean(self, value: Any) -> Any:
        """Return the numbers by name. Raises ValidationError."""
        found: dict[str, int] = {}
        for name, text in super().clean(value).items():
            try:
                found[name] = parsing.whole(text, most=MOST_LIMIT)
            except parsing.ParseError as error:
                message = f"{name[:40]}: {text[:40]!r} is not a whole number."
                raise ValidationError(message, code="invalid") from error
        return found


def _select(*choices: tuple[str, str]) -> forms.Select:
    """Return a list of choices in the head of the page, outside of the form's element."""
    return forms.Select(attrs={"class": "select-plain", "form": FORM_ID}, choices=choices)


class PlaygroundForm(forms.Form):
    """A submission as it is typed, valid or not. The service checks its meaning."""

    template = forms.Field(required=False, widget=_select())
    beside = forms.Field(required=False, label="Compare with", widget=_select())
    mode = forms.Field(required=False, initial=Mode.TEST, widget=_select(*Mode.choices))
    code = forms.Field(required=False, label="Files", widget=FilesWidget)
    stdin = TextField(label="Standard input", rows=3)
    args = LinesField(label="Arguments", rows=2, help_text="One per line.")
    entry = TextField(
        label="Entry file",
        help_text="The file that a run starts with. Empty: the template’s own.",
    )
    env = PairsField(label="Environment", rows=2, help_text="NAME=value, one per line.")
    limits = LimitsField(
        rows=2,
        help_text="Such as wall_ms=2000 or memory_bytes=134217728, one per line. Empty: the "
        "template’s own.",
    )
    labels = PairsField(
        rows=2, help_text="key=value, one per line. Executions can be found by their labels."
    )

    def __init__(
        self, data: QueryDict | None = None, *, initial: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(data, initial=dict(initial or {}), auto_id="p-%s")

    def requests(self, *, client: str) -> list[SubmissionRequest]:
        """Return a request for each version that the valid form names: one, or two beside."""
        chosen = self.cleaned_data
        templates = [chosen["template"] or "", chosen["beside"] or ""]
        shared: dict[str, Any] = {
            "client": client,
            "mode": chosen["mode"] or "",
            "files": [
                {"path": file.path.strip(), "content": file.content, "encoding": file.encoding}
                for file in chosen["code"]
                if not file.blank
            ],
            "entry": chosen["entry"] or None,
            **{name: chosen[name] for name in ("args", "stdin", "env", "limits", "labels")},
        }
        named = dict.fromkeys(filter(None, templates)) or {"": None}
        return [SubmissionRequest(template=template, **shared) for template in named]

    def after(self, action: str) -> "PlaygroundForm":
        """Return the same form after "add" or "remove 2", an action on its list of files."""
        typed = {name: self[name].value() for name in self.fields}
        return PlaygroundForm(initial=typed | {"code": edited(typed["code"], action)})

    def offer(
        self, *, templates: Iterable[tuple[str, str]], others: Iterable[tuple[str, str]]
    ) -> None:
        """Let the two lists of versions offer these: value and text."""
        beside = [("", "on one version"), *((value, f"and on {text}") for value, text in others)]
        for name, choices in (("template", templates), ("beside", beside)):
            widget = self.fields[name].widget
            assert isinstance(widget, forms.Select)  # noqa: S101 - declared above
            widget.choices = list(choices)

    @property
    def head_fields(self) -> list[forms.BoundField]:
        """The lists of choices in the head of the page."""
        return [self[name] for name in ("template", "beside", "mode")]

    @property
    def more_fields(self) -> list[forms.BoundField]:
        """The fields that are folded away below the files."""
        return [self[name] for name in ("stdin", "args", "entry", "env", "limits", "labels")]

    @property
    def more(self) -> bool:
        """Whether one of the folded fields is filled."""
        return any(field.value() for field in self.more_fields)


def edited(files: Sequence[File], action: str) -> list[File]:
    """Return the files after "add" or "remove 2"; any other action changes nothing."""
    if action == "add" and len(files) < MOST_FILES:
        return [*files, File()]
    word, _, number = action.partition(" ")
    if word == "remove" and number.isascii() and number.isdecimal():
        return [file for at, file in enumerate(files, 1) if str(at) != number]
    return list(files)


def with_unix_lines(text: str) -> str:
    """Return the text with LF at the end of each line."""
    return text.replace("\r\n", "\n")
