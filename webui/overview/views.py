"""The overview: items that need attention, metrics, templates, latest events."""

import hashlib
import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.vary import vary_on_headers

from templatemgr.models import AuditEvent
from templatemgr.promotion import promotions
from webui.activity.card import chart_context
from webui.audit_log import event_text
from webui.http import HtmxHttpRequest
from webui.overview import attention, metrics
from webui.promotions.queries import roll_back_confirmations
from webui.shell import decorators
from webui.shell.context_processors import know_health, may, shell_health

LATEST_EVENTS = 6
# Texts that change without an event: elapsed times and medians.
TIME = re.compile(r"<time[^<>]*>[^<]*</time>|\b\d+(\.\d+)? ms\b")
# Events that announce another event, or report that all is well.
MINOR_ACTIONS = ("build.request", "version.verify", "token.create", "user.sign_in", "audit.export")


@vary_on_headers("HX-Request")
@decorators.page
def overview(request: HtmxHttpRequest) -> HttpResponse:
    """Show the overview; htmx gets only the metrics, every five seconds."""
    now = timezone.now()
    samples = metrics.sample(now)
    counted = metrics.measure(now, samples)
    if request.htmx:
        return render(request, "overview/_metrics.html", {"metrics": counted})
    know_health(request, counted.health)
    context = {"metrics": counted} | chart_context(request) | _state(request, samples)
    context["seen"] = seen_of(context | may(request))
    return render(request, "overview/overview.html", context)


@decorators.page
def state(request: HttpRequest) -> HttpResponse:
    """Return attention, templates and events for htmx; status 204 if nothing has changed.

    `seen` is the digest of what the page shows. Without a change nothing is swapped, and the focus
    stays.
    """
    context = _state(request, metrics.sample(timezone.now())) | may(request)
    context["seen"] = seen_of(context)
    if request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    swapped = render_to_string("overview/_state.html", context | {"oob": True})
    return HttpResponse(render_to_string("overview/_poll.html", context) + swapped)


def seen_of(context: dict[str, Any]) -> str:
    """Return a short digest of the shown state, without elapsed times."""
    page = render_to_string("overview/_state.html", context)
    return hashlib.sha256(TIME.sub("", page).encode()).hexdigest()[:16]


def _state(request: HttpRequest, samples: list[metrics.Sample]) -> dict[str, Any]:
    templates = list(metrics.templates())
    times = metrics.medians(samples)
    previous = promotions.previous_of(templates)
    events = AuditEvent.objects.exclude(action__in=MINOR_ACTIONS)[:LATEST_EVENTS]
    return {
        "rows": [
            (template, times.get(template.name), previous.get(template.pk))
            for template in templates
        ],
        "confirmations": roll_back_confirmations(request, templates, previous),
        "attention": attention.items(templates),
        "try_playground": attention.offers_playground(decorators.actor(request), templates),
        "events": [event_text.describe(event) for event in events],
    }


@decorators.page
def rail_health(request: HttpRequest) -> HttpResponse:
    """Show the health in the foot of the navigation; htmx polls it every five seconds."""
    return render(request, "shell/_health.html", {"health": shell_health()})
