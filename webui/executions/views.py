"""Executions: the list with its filters, one with all that is known of it, again, or no more."""

import uuid
from typing import Any
from urllib.parse import urlencode

from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
)
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers

from core.pagination import CursorError, Page
from execapp import history, serialization
from execapp.errors import ExecutionError
from execapp.models import Execution, ExecutionState, Mode
from execapp.services import submissions
from templatemgr.errors import TemplateError
from templatemgr.models import HealthState, Template, Version
from webui.executions import result_page
from webui.http import HtmxHttpRequest
from webui.shell import decorators

PAGE = 50
MOST_VERSIONS = 50  # to run again on
FILTERS = ("template", "state", "mode", "client", "version", "label", "since", "until", "q")


@decorators.page
def index(request: HtmxHttpRequest) -> HttpResponse:
    """One page, newest first; for htmx the table alone."""
    cursor, newer = request.GET.get("cursor", ""), request.GET.get("newer", "")
    wanted = {name: request.GET.get(name, "").strip() for name in FILTERS}
    problem, page = "", Page[Execution]()
    try:
        filters = history.parse_filter_form(dict(request.GET.lists()))
        page = history.page(
            filters=filters, viewer=viewer(request), cursor=cursor, newer=newer, limit=PAGE
        )
    except CursorError as error:
        problem = f"cursor: {error.message}"
    except ExecutionError as error:
        problem = error.message
    given = [(name, value) for name in FILTERS for value in request.GET.getlist(name) if value]
    context = {
        "page": page,
        "older_url": _url([*given, ("cursor", page.next)]) if page.next else "",
        "newer_url": _url([*given, ("newer", page.previous)]) if page.previous else "",
        "newest_url": _url(given),
        "live": not (cursor or newer),
        "given": wanted,
        "labels": [text for text in request.GET.getlist("label") if text.strip()],
        "filtered": bool(given),
        "problem": problem,
        "everything": viewer(request).everything,
    }
    if not request.htmx:
        context["templates"] = Template.objects.values_list("name", flat=True)
        context["states"], context["modes"] = ExecutionState.choices, Mode.choices
    return _page(request, "index", "_table", context, status=422 if problem else 200)


@decorators.page
def detail(request: HtmxHttpRequest, execution_id: uuid.UUID) -> HttpResponse:
    """Everything about one execution; for htmx the parts that change while it is open."""
    execution = history.get(execution_id=execution_id, viewer=viewer(request))
    context = {
        "execution": execution,
        "result": result_page.result(execution, base(request)),
        "others": _others(execution),
        "live": not execution.finished,
    }
    return _page(request, "detail", "_live", context)


@decorators.page
def as_json(request: HttpRequest, execution_id: uuid.UUID) -> JsonResponse:
    """The execution as the API shows it, with what was submitted."""
    execution = history.get(execution_id=execution_id, viewer=viewer(request))
    whole = serialization.submitted(execution) | serialization.to_api(execution)
    return JsonResponse(whole, json_dumps_params={"indent": 2, "ensure_ascii": False})


@decorators.change("execapp.cancel_execution")
def cancel(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponseRedirect:
    """Ask one of the executions that the user may see to end."""
    execution = history.get(execution_id=execution_id, viewer=viewer(request))
    execution, changed = submissions.cancel(
        execution_id=execution.pk, actor=decorators.actor(request)
    )
    if not changed:
        decorators.done(request, f"It had ended before: {execution.get_state_display()}.")
    elif execution.finished:
        decorators.done(request, "Cancelled before it started.")
    return redirect("execution", execution_id)


@decorators.change("execapp.submit_execution")
def rerun(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponseRedirect:
    """Submit the same again as the signed-in user: on its version, the current one or another."""
    execution = history.get(execution_id=execution_id, viewer=viewer(request))
    on = request.POST.get("on", "")
    template = execution.template_name if on == "current" else None
    if on and template is None:
        template = f"{execution.template_name}@{on}"
    try:
        made = submissions.rerun(
            execution=execution, client=decorators.actor(request), token=None, template=template
        )
    except (TemplateError, ExecutionError) as error:
        return decorators.refuse(request, error, "execution", execution_id)
    return redirect("execution", made.pk)


def viewer(request: HttpRequest) -> history.Viewer:
    """Whose eyes: all executions for those who may, their own for others."""
    everything = decorators.may(request, "execapp.view_all_executions")
    return history.Viewer.of_user(decorators.actor(request), everything=everything)


def base(request: HttpRequest) -> str:
    """Where this server is, as the browser knows it."""
    return f"{request.scheme}://{request.get_host()}"


def _page(
    request: HtmxHttpRequest, whole: str, part: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    name = part if request.htmx else whole
    response = render(request, f"executions/{name}.html", context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _url(given: list[tuple[str, str]]) -> str:
    return f"?{urlencode(given)}"


def _others(execution: Execution) -> list[tuple[int, bool]]:
    """The healthy versions that it did not run on, newest first, and whether each is current."""
    rows = Version.objects.filter(
        template__name=execution.template_name, health__state=HealthState.VERIFIED
    ).exclude(pk=execution.version_id)
    numbers = rows.order_by("-number").values_list("number", "pk", "template__current")
    return [(number, pk == current) for number, pk, current in numbers[:MOST_VERSIONS]]
