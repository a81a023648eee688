"""How an execution's id looks."""

from django import template

register = template.Library()


@register.filter
def id_short(identifier: object) -> str:
    """The beginning, which sorts by time, and the end, which tells neighbours apart."""
    text = str(identifier)
    return f"{text[:8]}…{text[-4:]}"
