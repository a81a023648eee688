"""What the pages of sign-in ask."""

from django import template
from django.http import HttpRequest

from webui.signin.passkeys import possible

register = template.Library()

# In this order: each browser also names those that it descends from.
BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux")


@register.filter
def passkeys_possible(request: HttpRequest) -> bool:
    """Whether a passkey can be used at the address that the browser shows."""
    return possible(request.get_host())


@register.filter
def browser(agent: str) -> str:
    """ "Firefox on Linux", or the beginning of what the browser says of itself."""
    name = next((name for mark, name in BROWSERS if mark in agent), "")
    system = next((system for system in SYSTEMS if system in agent), "")
    if not name:
        return agent[:60] or "unknown"
    return f"{name} on {system.replace(' OS X', '')}" if system else name
