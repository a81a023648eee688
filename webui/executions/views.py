"""Executions: the list with its filters, one with all that is known of it, again, or no more."""

import uuid
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    QueryDict,
)
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers

from core import parsing
from core.pagination import CursorError, Page
from execapp import serialization
from execapp.errors import ExecutionError, Field, InvalidRequestError
from execapp.history import query
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
        filters = _filters(request.GET)
        page = query.page(
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
    execution = query.get(execution_id=execution_id, viewer=viewer(request))
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
    execution = query.get(execution_id=execution_id, viewer=viewer(request))
    whole = serialization.submitted(execution) | serialization.to_api(execution)
    return JsonResponse(whole, json_dumps_params={"indent": 2, "ensure_ascii": False})


@decorators.change("execapp.cancel_execution")
def cancel(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponseRedirect:
    """Ask one of the executions that the user may see to end."""
    execution = query.get(execution_id=execution_id, viewer=viewer(request))
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
    execution = query.get(execution_id=execution_id, viewer=viewer(request))
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


def viewer(request: HttpRequest) -> query.Viewer:
    """Whose eyes: all executions for those who may, their own for others."""
    everything = decorators.may(request, "execapp.view_all_executions")
    return query.Viewer.of_user(decorators.actor(request), everything=everything)


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


def _filters(given: QueryDict) -> query.Filters:
    return query.Filters(
        template=_text(given, "template"),
        version=_number(given),
        state=_choice(given, "state", ExecutionState.values),
        mode=_choice(given, "mode", Mode.values),
        client=_text(given, "client"),
        labels=tuple(_label(text) for text in given.getlist("label") if text.strip()),
        since=_moment(given, "since"),
        until=_moment(given, "until"),
        q=_text(given, "q"),
    )


def _text(given: QueryDict, name: str) -> str | None:
    text = given.get(name, "").strip()
    if "\0" in text:
        raise InvalidRequestError([Field(path=name, message="NUL cannot be in a filter.")])
    return text or None


def _number(given: QueryDict) -> int | None:
    text = _text(given, "version")
    number = parsing.whole_or_none(text)
    if text is not None and number is None:
        problem = Field(path="version", message="Give the number of a version.")
        raise InvalidRequestError([problem], message=problem.message)
    return number


def _moment(given: QueryDict, name: str) -> datetime | None:
    """A time as RFC 3339 or as a browser's field writes it, which is then UTC."""
    text = _text(given, name)
    if text is None:
        return None
    try:
        return parsing.moment(text, zone_needed=False)
    except parsing.ParseError as error:
        problem = Field(path=name, message=f"{error.message.rstrip('.')}, in UTC.")
        raise InvalidRequestError([problem], message=f"{name}: {problem.message}") from None


def _choice(given: QueryDict, name: str, known: list[str]) -> str | None:
    text = _text(given, name)
    if text is not None and text not in known:
        problem = Field(path=name, message=f"There is no {name} {text[:40]!r}.")
        raise InvalidRequestError([problem], message=problem.message)
    return text


def _label(text: str) -> tuple[str, str]:
    key, colon, value = text.strip().partition(":")
    if not colon or not key or "\0" in text:
        problem = Field(path="label", message="A label is found by key:value.")
        raise InvalidRequestError([problem], message=problem.message)
    return key, value
