"""The system check of STENCIL_ENGINE. Importing this module registers it."""

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from core.engine import ENGINES, get_engine


@register
def check_engine(**_kwargs: Any) -> list[CheckMessage]:
    """Return why the engine cannot be made, else the findings of the engine's own check."""
    try:
        engine = get_engine()
    except ImproperlyConfigured as error:
        return [
            Error(
                str(error),
                hint=f"Name one of {', '.join(ENGINES)}, or the dotted path of a class.",
                id="core.E001",
            )
        ]
    return engine.check()
