"""Form fields and helpers for several groups of pages."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from core import parsing
from execapp.errors import InvalidRequestError


class WholeNumberField(forms.CharField):
    """A whole number in decimal digits within bounds; None when the field is empty and optional.

    Django's IntegerField also accepts "1_000" and digits of other scripts. `message` is the error
    for every refused value.
    """

    def __init__(self, *, least: int = 0, most: int, message: str, **options: Any) -> None:
        super().__init__(**options)
        self.least, self.most, self.message = least, most, message

    def clean(self, value: Any) -> int | None:
        """Return the number. Raise ValidationError."""
        try:
            text = super().clean(value)
        except ValidationError as error:
            raise ValidationError(self.message, code="invalid") from error
        if not text:
            return None
        number = parsing.whole_or_none(text, least=self.least, most=self.most)
        if number is None:
            raise ValidationError(self.message, code="invalid")
        return number


def add_errors(
    form: forms.Form, error: InvalidRequestError, names: Mapping[str, str] | None = None
) -> None:
    """Add the errors of a service to the fields of a form.

    `names` maps names of the service to field names, where they differ. Errors without a field
    become errors of the whole form.
    """
    for problem in error.fields:
        name = problem.path.partition(".")[0]
        name = (names or {}).get(name, name)
        form.add_error(name if name in form.fields else None, problem.message)


def submitted(form: forms.Form) -> dict[str, str]:
    """Return the filled fields of a filter form as text, for the links between its pages."""
    return {name: str(value) for name, value in values(form).items() if value not in ("", None)}


def values(form: forms.Form) -> dict[str, Any]:
    """Return the valid values of a form; a field with an error is left out."""
    form.is_valid()
    return form.cleaned_data


def first_error(form: forms.Form) -> str:
    """Return the first message of a form that is not valid."""
    return str(next(iter(form.errors.values()))[0])
