"""Forms of builds: the filters of the list, the choice of a new build, and its request.

The services check what they store; the forms read and show it. A damaged version in an address or
a hidden field means the definition folder, as an empty one does.
"""

import re
from typing import Any

from django import forms

from core import parsing
from templatemgr.models import BuildKind, Template
from webui.builds.input_editor import FILE_FIELD
from webui.builds.queries import STATE_GROUPS
from webui.builds.update_offers import PACKAGE_FIELD
from webui.shell.fields import WholeNumberField

STATE_TITLES = {
    "open": "Open",
    "through": "Succeeded",
    "failed": "Failed",
    "stopped": "Cancelled or interrupted",
}


def _version() -> WholeNumberField:
    return WholeNumberField(
        required=False, most=parsing.LARGEST, message="Give the number of a version."
    )


def _many() -> forms.Field:
    """Return a field that may stand in a form several times; its value is a list of texts."""
    return forms.Field(required=False, widget=forms.MultipleHiddenInput)


class BuildFilters(forms.Form):
    """The filters of the list of builds. An unknown state or kind is ignored."""

    template = forms.CharField(required=False, widget=forms.Select)
    state = forms.ChoiceField(
        required=False, choices=[("", "all"), *((key, STATE_TITLES[key]) for key in STATE_GROUPS)]
    )
    kind = forms.ChoiceField(required=False, choices=[("", "all"), *BuildKind.choices])

    def list_templates(self) -> None:
        """Fill the choices of templates: one query, for a page that shows the form."""
        names = Template.objects.values_list("name", flat=True)
        choices = [("", "all"), *((name, name) for name in names)]
        self.fields["template"].widget = forms.Select(choices=choices)


class NewBuildForm(forms.Form):
    """The choices in the address of the page: a kind, `from` a version, packages, open files.

    `again` is the id of a build whose choices are copied.
    """

    again = forms.CharField(required=False)
    kind = forms.CharField(required=False)
    package = _many()
    file = _many()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["from"] = _version()  # a keyword of Python


class BuildRequestForm(forms.Form):
    """A rebuild, a refresh or an update, from the definition folder or from a version."""

    kind = forms.CharField(required=False)
    from_version = _version()
    others = forms.CharField(required=False)

    @property
    def packages(self) -> list[str]:
        """The packages to move as they were sent: chosen in the table, then typed by name."""
        chosen = [str(value) for name, value in self.data.items() if name.startswith(PACKAGE_FIELD)]
        typed = re.split(r"[\s,]+", str(self.data.get("others", "")))
        return list(dict.fromkeys(word for word in (*chosen, *typed) if word))


class EditForm(forms.Form):
    """One step of an edit: the text of every open file, and the action."""

    from_version = _version()
    digest = forms.CharField(required=False)  # of the inputs that the page showed
    do = forms.CharField(required=False)  # "open", "preview" or "build"
    open = forms.CharField(required=False)  # the path of another file to open

    @property
    def texts(self) -> dict[str, str]:
        """The text of each open file by its path, as it was sent."""
        return {
            name.removeprefix(FILE_FIELD): str(text)
            for name, text in self.data.items()
            if name.startswith(FILE_FIELD)
        }
