"""Forms of promotions: reasons, the promotion itself, the policy of gates, comparisons.

The services check reasons, versions and gates; the forms read and show them.
"""

from typing import Any

from django import forms

from core import parsing
from webui.shell.fields import WholeNumberField


class ExpectedVersionField(forms.CharField):
    """The version that the form's page showed as current; None if no version was current.

    A damaged value is 0, which no version has: it must not count as "nothing is expected".
    """

    def clean(self, value: Any) -> int | None:
        """Return the number."""
        text = str(value or "").strip()
        return (parsing.whole_or_none(text) or 0) if text else None


def _version() -> WholeNumberField:
    return WholeNumberField(
        required=False, most=parsing.LARGEST, message="Give the number of a version."
    )


class ReasonForm(forms.Form):
    """The reason for an action, as it was typed; a reason with NUL counts as empty."""

    reason = forms.CharField(required=False, strip=False)

    @property
    def typed(self) -> str:
        """The text of the field, to be shown again after a refusal."""
        return str(self.data.get("reason", ""))


class RollBackForm(ReasonForm):
    """A roll back from the version that the page showed as current."""

    expected_current = ExpectedVersionField(required=False)


class PromoteForm(RollBackForm):
    """A promotion. `override`: past closed gates that are not essential."""

    version = _version()
    override = forms.BooleanField(required=False)


class PolicyForm(ReasonForm):
    """The gates that a promotion must pass."""

    required = forms.Field(required=False, widget=forms.CheckboxSelectMultiple)


class CompareForm(forms.Form):
    """Two versions to compare; None for a version that is not chosen."""

    old = _version()
    new = _version()
