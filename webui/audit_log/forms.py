"""Forms of the audit log: the filters of its page, and the export of the events they show."""

from datetime import datetime

from django import forms
from django.core.exceptions import ValidationError

from core import parsing
from webui.audit_log import event_text
from webui.audit_log.queries import FORMATS

CHOOSE_FORMAT = f"Choose {' or '.join(FORMATS)}."
ACTIONS = [("", "any"), *((action, word) for action, (word, _) in event_text.WORDS.items())]


class AuditFilters(forms.Form):
    """The filters of the audit log. Days are UTC; `until` is included."""

    action = forms.CharField(required=False, widget=forms.Select(choices=ACTIONS))
    object = forms.CharField(
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "typescript or typescript@2"}),
    )
    actor = forms.CharField(required=False, widget=forms.TextInput(attrs={"placeholder": "any"}))
    since = forms.CharField(required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.CharField(required=False, widget=forms.DateInput(attrs={"type": "date"}))

    @property
    def submitted(self) -> dict[str, str]:
        """The filled filters as they were typed, for the links of the page and for its record."""
        typed = {name: str(self.data.get(name, "")).strip() for name in AuditFilters.base_fields}
        return {name: text for name, text in typed.items() if text}

    def clean_since(self) -> datetime | None:
        """Return the beginning of the day. Raises ValidationError."""
        return self._day("since")

    def clean_until(self) -> datetime | None:
        """Return the beginning of the day. Raises ValidationError."""
        return self._day("until")

    def _day(self, name: str) -> datetime | None:
        text = self.cleaned_data[name]
        try:
            return parsing.day(text) if text else None
        except parsing.ParseError as error:
            message = f"{name.capitalize()} is {text[:40]!r}: give a day such as 2026-11-23."
            raise ValidationError(message, code="invalid") from error


class ExportForm(AuditFilters):
    """A file format, and the filters that choose the events."""

    format = forms.ChoiceField(
        choices=[(name, name) for name in FORMATS],
        error_messages={"required": CHOOSE_FORMAT, "invalid_choice": CHOOSE_FORMAT},
    )
