"""Forms of tokens and users. The services check what they store; the forms read and show it."""

import dataclasses
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from execapp.errors import InvalidRequestError
from execapp.models import Scope
from execapp.services import token_limits, token_pins
from execapp.services.token_limits import TokenLimits
from webui.access.queries import TOKEN_STATES
from webui.shell.fields import WholeNumberField
from webui.signin import roles

LONGEST_DAYS = 3650
SCOPES = (
    (Scope.EXECUTE.value, "submits and cancels executions"),
    (Scope.READ.value, "reads its own executions, and templates"),
    (Scope.TEMPLATES.value, "changes templates"),
    (Scope.ADMIN.value, "sees and does everything"),
)
GRACE_HOURS = (
    (0, "at once"),
    (1, "in an hour"),
    (24, "in a day"),
    (168, "in a week"),
    (720, "in 30 days"),
)
ROLES = tuple((role.name, role.description) for role in roles.ROLES)
NO_ROLE = ("none", "may sign in, but has no permissions")
CHOOSE_SCOPES = f"Choose at least one of {', '.join(Scope.values)}."
CHOOSE_ROLE = f"Choose one of {', '.join(roles.NAMES)}."
NO_COMPLETION = {"autocomplete": "off"}


def _any_of(*names: str) -> forms.Select:
    """Return a filter's list of choices. An unknown value selects nothing."""
    return forms.Select(choices=[("", "any"), *((name, name) for name in names)])


class PinsField(forms.CharField):
    """Versions such as typescript@7, separated by white space; gives {"typescript": 7}."""

    widget = forms.Textarea(
        attrs={"class": "mono", "rows": 2, "spellcheck": "false", "placeholder": "typescript@7"}
    )

    def clean(self, value: Any) -> dict[str, int]:
        """Return the versions by template. Raises ValidationError."""
        try:
            return token_pins.parse(super().clean(value).split())
        except InvalidRequestError as error:
            raise ValidationError([field.message for field in error.fields]) from error


def _limit(label: str, name: str, placeholder: str = "default") -> WholeNumberField:
    """Return the field of a limit; empty: the default."""
    most = token_limits.MOST[name]
    return WholeNumberField(
        required=False,
        label=label,
        least=1,
        most=most,
        message=f"Give 1 to {most:,}, or leave it empty.",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "placeholder": placeholder}),
    )


class LimitsForm(forms.Form):
    """The limits of a token; an empty field means the default of the installation."""

    templates = forms.CharField(
        required=False,
        label="Allowed templates",
        help_text="Names, separated by spaces. Empty: all.",
        widget=forms.TextInput(attrs={"class": "mono", "spellcheck": "false"}),
    )
    requests_per_minute = _limit("Requests a minute", "requests_per_minute")
    open_executions = _limit("Executions queued or running", "open_executions")
    cpu_seconds_per_day = _limit("CPU seconds a day", "cpu_seconds_per_day")
    bytes_per_day = _limit("Stored bytes a day", "bytes_per_day")
    exclusive = forms.BooleanField(
        required=False, label="Its executions get a core of their own", label_suffix=""
    )

    @property
    def limits(self) -> TokenLimits:
        """Return the limits of a valid form."""
        names = (field.name for field in dataclasses.fields(TokenLimits))
        chosen = {name: self.cleaned_data[name] for name in names}
        return TokenLimits(**chosen | {"templates": tuple(chosen["templates"].split())})

    @staticmethod
    def initial_of(limits: TokenLimits) -> dict[str, object]:
        """Return the initial values that show `limits`."""
        return limits.columns | {"templates": " ".join(limits.templates)}


class TokenFilters(forms.Form):
    """The filters of the list of tokens."""

    q = forms.CharField(
        required=False,
        label="Name or prefix",
        widget=forms.TextInput(attrs={"placeholder": "ci-bot or stn_a1b2c3"}),
    )
    scope = forms.CharField(required=False, widget=_any_of(*Scope.values))
    state = forms.CharField(required=False, widget=_any_of(*TOKEN_STATES))


class NewTokenForm(LimitsForm):
    """A token to make, with its limits."""

    name = forms.CharField(
        required=False,  # the service checks it
        widget=forms.TextInput(
            attrs=NO_COMPLETION | {"placeholder": "ci-bot", "required": True, "maxlength": 100}
        ),
    )
    scopes = forms.MultipleChoiceField(
        choices=SCOPES,
        initial=["execute", "read"],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": CHOOSE_SCOPES, "invalid_choice": CHOOSE_SCOPES},
    )
    days = WholeNumberField(
        required=False,
        label="Expires after, days",
        least=1,
        most=LONGEST_DAYS,
        message=f"Give 1 to {LONGEST_DAYS:,} days, or leave it empty.",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "placeholder": "never"}),
    )
    pins = PinsField(
        required=False,
        label="Pinned to",
        help_text="One version per line. The client gets it when it names no version. "
        "Empty: the current version.",
    )


class PinsForm(forms.Form):
    """The pins of a token that exists; empty removes all of them."""

    pins = PinsField(
        required=False,
        label="Versions",
        help_text="One version per line. The client gets it when it names no version. "
        "Empty: the current version.",
    )


class RotateForm(forms.Form):
    """When the old secret of a token ends, in hours."""

    grace = WholeNumberField(
        label="The old secret ends",
        most=GRACE_HOURS[-1][0],
        message="Give 0 to 30 days.",
        initial=24,
        widget=forms.Select(choices=GRACE_HOURS),
    )


class UserFilters(forms.Form):
    """The filters of the list of users."""

    q = forms.CharField(
        required=False,
        label="Name or email",
        widget=forms.TextInput(attrs={"placeholder": "contains"}),
    )
    role = forms.CharField(required=False, widget=_any_of(*roles.NAMES, NO_ROLE[0]))
    state = forms.CharField(required=False, widget=_any_of("active", "deactivated"))


class InviteForm(forms.Form):
    """A user to invite."""

    name = forms.CharField(
        required=False,  # the service checks it
        label="User",
        widget=forms.TextInput(
            attrs=NO_COMPLETION
            | {"required": True, "maxlength": 150, "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
    email = forms.CharField(
        required=False,  # the service checks it
        label="Email",
        widget=forms.EmailInput(attrs=NO_COMPLETION | {"placeholder": "none"}),
        help_text="Single sign-on finds the user by it. Stencil sends no email.",
    )
    role = forms.CharField(
        required=False,  # the service checks it
        initial="viewer",
        widget=forms.RadioSelect(choices=ROLES),
    )


class RoleForm(forms.Form):
    """The role of a user who exists."""

    role = forms.ChoiceField(
        choices=[*ROLES, NO_ROLE],
        widget=forms.RadioSelect,
        error_messages={"required": CHOOSE_ROLE, "invalid_choice": CHOOSE_ROLE},
    )
