"""Pages of executions: the list with its filters, one execution, cancel, run again."""

import uuid
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers

from core.pagination import CursorError, Page
from execapp import history
from execapp.api.http import downloads
from execapp.api.presenters.executions import present_execution, present_submission
from execapp.errors import ExecutionError, NotSupportedError
from execapp.models import CollectedFile, Execution
from execapp.services import callbacks, collected_files, submissions
from templatemgr.errors import TemplateError
from webui.executions import queries, result_page
from webui.executions.forms import ExecutionFilterForm, RerunForm
from webui.http import HtmxHttpRequest, base_url
from webui.shell import decorators, fields

PAGE = 50


@decorators.page
def index(request: HtmxHttpRequest) -> HttpResponse:
    """List one page of executions, newest first; htmx gets the table alone."""
    form = ExecutionFilterForm(request.GET, auto_id="f-%s")
    viewer = queries.viewer_of(request)
    cursor, newer = request.GET.get("cursor", ""), request.GET.get("newer", "")
    page = _found(form, viewer, cursor=cursor, newer=newer)
    submitted = form.submitted
    context = {
        "page": page,
        "older_url": _url([*submitted, ("cursor", page.next)]) if page.next else "",
        "newer_url": _url([*submitted, ("newer", page.previous)]) if page.previous else "",
        "newest_url": _url(submitted),
        "live": not (cursor or newer),
        "form": form,
        "filtered": bool(submitted),
        "everything": viewer.everything,
    }
    if not request.htmx:
        form.offer_templates(queries.template_names())
    return _page(request, "index", "_table", context, status=422 if form.errors else 200)


def _found(
    form: ExecutionFilterForm, viewer: history.Viewer, *, cursor: str, newer: str
) -> Page[Execution]:
    """Return the page that the form selects. On an error the page is empty and the form has it."""
    if not form.is_valid():
        return Page()
    try:
        return history.page(
            filters=form.filters, viewer=viewer, cursor=cursor, newer=newer, limit=PAGE
        )
    except CursorError as error:
        form.add_error(None, f"cursor: {error.message}")
    except NotSupportedError as error:
        form.add_error("q", error.message)
    return Page()


@decorators.page
def detail(request: HtmxHttpRequest, execution_id: uuid.UUID) -> HttpResponse:
    """Show one execution; htmx gets the parts that change while it runs."""
    execution = history.get(execution_id=execution_id, viewer=queries.viewer_of(request))
    context = {
        "execution": execution,
        "result": result_page.result(execution, base_url(request)),
        "others": queries.other_versions(execution),
        "live": not execution.finished,
        **queries.callback(execution),
    }
    return _page(request, "detail", "_live", context)


@decorators.page
def as_json(request: HttpRequest, execution_id: uuid.UUID) -> JsonResponse:
    """Return the execution as the API shows it, and the submission itself.

    `files` are the submitted ones; `files_back` came back. `cases` are the results;
    `submitted_cases` have the inputs and the expected outputs.
    """
    execution = history.get(execution_id=execution_id, viewer=queries.viewer_of(request))
    submitted = present_submission(execution)
    whole = submitted | present_execution(execution)
    whole["files_back"], whole["files"] = whole["files"], submitted["files"]
    if "cases" in submitted:
        whole["submitted_cases"] = submitted["cases"]
    return JsonResponse(whole, json_dumps_params={"indent": 2, "ensure_ascii": False})


@decorators.page
def collected_file(request: HttpRequest, execution_id: uuid.UUID, sha256: str) -> HttpResponse:
    """Return a file that came back, as a download."""
    found = _collected(request, execution_id, sha256)
    return downloads.attachment(collected_files.read(found.sha256), path=found.path)


@decorators.page
def picture(request: HttpRequest, execution_id: uuid.UUID, sha256: str) -> HttpResponse:
    """Return a file that came back as a picture; 404 if it is none that is safe to show."""
    found = _collected(request, execution_id, sha256)
    shown = downloads.picture(collected_files.read(found.sha256))
    if shown is None:
        raise Http404
    return shown


def _collected(request: HttpRequest, execution_id: uuid.UUID, sha256: str) -> CollectedFile:
    execution = history.get(execution_id=execution_id, viewer=queries.viewer_of(request))
    return collected_files.find(execution=execution, sha256=sha256)


@decorators.page
def callback(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponse:
    """Return the card of the execution's callback, which replaces itself while it is sent."""
    execution = history.get(execution_id=execution_id, viewer=queries.viewer_of(request))
    context = {"execution": execution, **queries.callback(execution)}
    return render(request, "executions/_callback.html", context)


@decorators.change("execapp.submit_execution")
def resend(request: HttpRequest, delivery_id: uuid.UUID) -> HttpResponseRedirect:
    """Send a delivery again; only its execution's page shows one."""
    sent = callbacks.resend(delivery_id=delivery_id, viewer=queries.viewer_of(request))
    decorators.done(request, "The callback is sent again.")
    return redirect("execution", sent.execution_id)


@decorators.change("execapp.cancel_execution")
def cancel(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponseRedirect:
    """Cancel an execution that the user may see."""
    execution = history.get(execution_id=execution_id, viewer=queries.viewer_of(request))
    execution, changed = submissions.cancel(
        execution_id=execution.pk, actor=decorators.actor(request)
    )
    if not changed:
        decorators.done(request, f"The execution had ended: {execution.get_state_display()}.")
    elif execution.finished:
        decorators.done(request, "Cancelled before it started.")
    return redirect("execution", execution_id)


@decorators.change("execapp.submit_execution")
def rerun(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponseRedirect:
    """Submit the same request as the signed-in user, on its own version or on another."""
    execution = history.get(execution_id=execution_id, viewer=queries.viewer_of(request))
    form = RerunForm(request.POST)
    if not form.is_valid():
        messages.error(request, fields.first_error(form), extra_tags="bad")
        return redirect("execution", execution_id)
    try:
        made = submissions.rerun(
            execution=execution,
            client=decorators.actor(request),
            token=None,
            template=form.template(execution),
        )
    except (TemplateError, ExecutionError) as error:
        return decorators.refuse(request, error, "execution", execution_id)
    return redirect("execution", made.pk)


def _page(
    request: HtmxHttpRequest, whole: str, part: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    name = part if request.htmx else whole
    response = render(request, f"executions/{name}.html", context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _url(submitted: list[tuple[str, str]]) -> str:
    return f"?{urlencode(submitted)}"
