"""Names that users may not take, at every entrance that checks a user before it makes one."""

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from core import actors


def guard() -> None:
    """Called once, when the app is ready: commands and forms ask the model's own field."""
    validators = User._meta.get_field("username").validators
    if validate not in validators:
        validators.append(validate)


def validate(name: str) -> None:
    """Refuse a name of Stencil's own. Whoever may make an admin may call one "admin"."""
    if actors.stands_for_system(name, local=True):
        raise ValidationError(actors.SAYS, code="reserved")


def validate_from_outside(name: str) -> None:
    """The same for who signs up, or comes from elsewhere."""
    if actors.stands_for_system(name):
        raise ValidationError(actors.SAYS, code="reserved")
