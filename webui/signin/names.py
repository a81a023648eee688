"""Reserved user names, refused wherever a user is checked before it is created."""

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from core import actors


def guard() -> None:
    """Add the check to the model's field, which commands and forms use. Call once at start."""
    validators = User._meta.get_field("username").validators
    if validate not in validators:
        validators.append(validate)


def validate(name: str) -> None:
    """Raise ValidationError for a reserved name, except "admin"."""
    if actors.stands_for_system(name, local=True):
        raise ValidationError(actors.SAYS, code="reserved")


def validate_from_outside(name: str) -> None:
    """Raise ValidationError for a reserved name at sign-up and at single sign-on."""
    if actors.stands_for_system(name):
        raise ValidationError(actors.SAYS, code="reserved")
