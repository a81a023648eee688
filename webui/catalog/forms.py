"""Forms of the catalog: the filters of a template's table of versions."""

from django import forms

from templatemgr.models import BuildKind

STATES = (
    ("", "all"),
    ("ready", "Ready"),
    ("promoted", "Once current"),
    ("quarantined", "Quarantined"),
    ("retired", "Removed"),
)
LONGEST_NAME = 150


class VersionFilters(forms.Form):
    """The filters of a table of versions. An unknown state or kind is ignored."""

    state = forms.ChoiceField(required=False, choices=STATES)
    kind = forms.ChoiceField(
        required=False,
        label="Built by",
        choices=[("", "any kind"), *((kind, kind) for kind in BuildKind.values)],
    )
    by = forms.CharField(
        required=False,
        label="Requested by",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def clean_by(self) -> str:
        """Return the name, cut to the length that a name can have."""
        return str(self.cleaned_data["by"])[:LONGEST_NAME]
