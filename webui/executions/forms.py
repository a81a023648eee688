"""The form that filters the list of executions, and the one that runs an execution again."""

from typing import Any

from django import forms
from django.http import QueryDict

from execapp import history
from execapp.errors import InvalidRequestError
from execapp.history import ExecutionFilter
from execapp.models import Execution, ExecutionState, Mode

NAMES = ("template", "version", "state", "mode", "client", "label", "since", "until", "q")
ANY = ("", "any")


def _text(placeholder: str, size: int, **attributes: str) -> forms.TextInput:
    return forms.TextInput(attrs={"placeholder": placeholder, "size": size} | attributes)


def _moment() -> forms.TextInput:
    return forms.TextInput(attrs={"type": "datetime-local", "step": 1})


class ExecutionFilterForm(forms.Form):
    """The filters as the page shows them. `history.parse_filter_form` reads and checks the values.

    After `is_valid()`, `filters` is the parsed filter. Cursors of pages are no part of the form.
    """

    template = forms.Field(required=False, widget=forms.Select(choices=[ANY]))
    version = forms.Field(required=False, widget=_text("any", 4, inputmode="numeric"))
    state = forms.Field(
        required=False,
        widget=forms.Select(
            choices=[ANY, *((value, text.lower()) for value, text in ExecutionState.choices)]
        ),
    )
    mode = forms.Field(
        required=False, widget=forms.Select(choices=[ANY, *((mode, mode) for mode in Mode.values)])
    )
    client = forms.Field(required=False, widget=_text("any", 10))
    label = forms.Field(required=False, widget=_text("key:value", 12))
    since = forms.Field(required=False, label="From (UTC)", widget=_moment())
    until = forms.Field(required=False, label="Before (UTC)", widget=_moment())
    q = forms.Field(required=False, label="Id begins with", widget=_text("0198f3a2", 12))

    data: QueryDict
    filters: ExecutionFilter

    def clean(self) -> dict[str, Any]:
        """Parse the filters. A refused value becomes an error of its field."""
        try:
            self.filters = history.parse_filter_form(dict(self.data.lists()))
        except InvalidRequestError as error:
            for problem in error.fields:
                self.add_error(problem.path, problem.message)
        return self.cleaned_data

    def offer_templates(self, names: list[str]) -> None:
        """Let the field of templates offer these names."""
        widget = self.fields["template"].widget
        assert isinstance(widget, forms.Select)  # noqa: S101 - declared above
        widget.choices = [ANY, *((name, name) for name in names)]

    @property
    def submitted(self) -> list[tuple[str, str]]:
        """The filled fields, for the links of the pages; a label may occur several times."""
        return [(name, text) for name in NAMES for text in self.data.getlist(name) if text]

    @property
    def labels(self) -> list[str]:
        """The labels that the list is filtered by."""
        return [text for text in self.data.getlist("label") if text.strip()]


class RerunForm(forms.Form):
    """The version to run an execution on again: empty for its own, "current", or a number."""

    on = forms.CharField(required=False)

    def template(self, execution: Execution) -> str | None:
        """Return the template to name in the submission; None for the execution's own version."""
        on = self.cleaned_data.get("on", "")
        if not on:
            return None
        return execution.template_name if on == "current" else f"{execution.template_name}@{on}"
