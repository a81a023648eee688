"""The first page: what needs a decision, how it runs, what it runs on, what happened lately."""

import hashlib
import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.vary import vary_on_headers

from templatemgr.models import AuditEvent
from templatemgr.services import promotions
from webui import acts, decisions, figures
from webui.context import know_health, may, shell_health
from webui.views import graphs, guards
from webui.views.templates import ways_back

LATELY = 6
# What moves by itself: how long ago, and the medians of the last hour.
TIME = re.compile(r"<time[^<>]*>[^<]*</time>|\b\d+(\.\d+)? ms\b")
# What only says that something else will happen, or that nothing is wrong.
QUIET = ("build.request", "version.verify", "token.create", "user.sign_in", "audit.export")


@vary_on_headers("HX-Request")
@guards.page
def overview(request: HttpRequest) -> HttpResponse:
    """The overview. To htmx it gives only the four figures, every five seconds."""
    now = timezone.now()
    samples = figures.sample(now)
    counted = figures.figures(now, samples)
    if request.headers.get("HX-Request"):
        return render(request, "webui/overview_figures.html", {"figures": counted})
    know_health(request, counted.health)
    context = {"figures": counted} | graphs.drawn(request) | _state(request, samples)
    context["seen"] = seen_of(context | may(request))
    return render(request, "webui/overview.html", context)


@guards.page
def state(request: HttpRequest) -> HttpResponse:
    """What needs a decision, what is current and what happened, for htmx: 204 when all is as seen.

    `seen` is the digest that came with what the page shows, so that nothing is swapped, and no
    focus lost, while nothing happens.
    """
    context = _state(request, figures.sample(timezone.now())) | may(request)
    context["seen"] = seen_of(context)
    if request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    swapped = render_to_string("webui/_state.html", context | {"oob": True})
    return HttpResponse(render_to_string("webui/_poll.html", context) + swapped)


def seen_of(context: dict[str, Any]) -> str:
    """A short digest of what is shown, without the words for how long ago something was."""
    page = render_to_string("webui/_state.html", context)
    return hashlib.sha256(TIME.sub("", page).encode()).hexdigest()[:16]


def _state(request: HttpRequest, samples: list[figures.Sample]) -> dict[str, Any]:
    templates = list(figures.templates())
    times = figures.medians(samples)
    previous = promotions.previous_of(templates)
    events = AuditEvent.objects.exclude(action__in=QUIET)[:LATELY]
    return {
        "rows": [
            (template, times.get(template.name), previous.get(template.pk))
            for template in templates
        ],
        "asks": ways_back(request, templates, previous),
        "decisions": decisions.decisions(templates),
        "try_playground": decisions.offers_playground(guards.actor(request), templates),
        "lately": [acts.read(event) for event in events],
    }


@guards.page
def rail_health(request: HttpRequest) -> HttpResponse:
    """The foot of the rail, which htmx asks for every five seconds."""
    return render(request, "webui/partials/health.html", {"health": shell_health()})
