"""Charts of executions: outcomes and times, of all templates or of one."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from templatemgr import catalog
from webui.activity.card import chart_context
from webui.shell import decorators


@decorators.page
def overview_activity(request: HttpRequest) -> HttpResponse:
    """Render the charts of all templates for one range of time, for htmx."""
    return render(request, "activity/_charts.html", chart_context(request))


@decorators.page
def template_activity(request: HttpRequest, name: str) -> HttpResponse:
    """Render the charts of one template, for htmx."""
    template = catalog.get(name=name)
    return render(request, "activity/_charts.html", chart_context(request, template=template.name))
