"""The first page: what needs a decision, how it runs, what it runs on, what happened lately."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.vary import vary_on_headers

from templatemgr.models import AuditEvent
from webui import acts, decisions, figures
from webui.context import shell_health
from webui.views import guards

LATELY = 6
# What only says that something else will happen, or that nothing is wrong.
QUIET = ("build.request", "version.verify", "token.create")


@vary_on_headers("HX-Request")
@guards.page
def overview(request: HttpRequest) -> HttpResponse:
    """The overview. To htmx it gives only the four figures, every five seconds."""
    now = timezone.now()
    counted = figures.figures(now)
    if request.headers.get("HX-Request"):
        return render(request, "webui/overview_figures.html", {"figures": counted})
    templates = list(figures.templates(now))
    times = figures.medians(figures.sample(now))
    context = {
        "figures": counted,
        "rows": [(template, times.get(template.name)) for template in templates],
        "decisions": decisions.decisions(templates),
        "try_playground": decisions.offers_playground(guards.actor(request), templates),
        "lately": [
            acts.read(event) for event in AuditEvent.objects.exclude(action__in=QUIET)[:LATELY]
        ],
    }
    return render(request, "webui/overview.html", context)


@guards.page
def rail_health(request: HttpRequest) -> HttpResponse:
    """The foot of the rail, which htmx asks for every five seconds."""
    return render(request, "webui/partials/health.html", {"health": shell_health()})
