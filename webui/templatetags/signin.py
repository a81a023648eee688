"""Template filters of the pages of sign-in."""

from django import template
from django.http import HttpRequest

from webui.signin.passkeys import possible

register = template.Library()

# In this order: a browser also names the browsers that it is based on.
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
    """Return whether passkeys work at the host name that the browser shows."""
    return possible(request.get_host())


@register.filter
def browser(agent: str) -> str:
    """Return a name such as "Firefox on Linux", or the beginning of an unknown user agent."""
    name = next((name for mark, name in BROWSERS if mark in agent), "")
    system = next((system for system in SYSTEMS if system in agent), "")
    if not name:
        return agent[:60] or "unknown"
    return f"{name} on {system.replace(' OS X', '')}" if system else name
