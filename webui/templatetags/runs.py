"""Template filters of executions."""

from django import template

register = template.Library()


@register.filter
def id_short(identifier: object) -> str:
    """Return the beginning of an id, which sorts by time, and its end, which is random."""
    text = str(identifier)
    return f"{text[:8]}…{text[-4:]}"
