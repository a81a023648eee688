"""`/executions`: submit, wait, read, cancel, run again."""

import uuid

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router

from core import parsing
from core.engine import hub
from execapp import history
from execapp.api.http import auth, concurrency, deferred, downloads, sse
from execapp.api.http.openapi import ERRORS, binary, idempotency_header, resumed
from execapp.api.http.responses import check_query, reply, token_of, wait_parameter
from execapp.api.presenters.executions import (
    present_execution,
    present_submission,
    present_summary,
)
from execapp.api.v1 import submission_requests
from execapp.api.v1.schemas.executions import (
    ExecutionOut,
    ExecutionsOut,
    ExecutionsQuery,
    FilesOut,
    RerunIn,
    SubmissionIn,
)
from execapp.errors import Field, InvalidRequestError
from execapp.models import Execution
from execapp.requests import Idempotency
from execapp.services import collected_files, following, positions, submissions

router = Router(tags=["Executions"], by_alias=True)


@router.post(
    "",
    auth=auth.execute,
    response={201: ExecutionOut, 200: ExecutionOut, **ERRORS},
    openapi_extra=idempotency_header(),
)
def submit(request: HttpRequest, body: SubmissionIn) -> HttpResponse:
    """Submit files to run or test. Status 200 instead of 201 for a known Idempotency-Key."""
    check_query(request, ())
    asked = submission_requests.make_request(request, body, _idempotency(request))
    token = token_of(request)
    seconds = float(body.wait)
    permit = deferred.acquire_wait(str(token.id), seconds)
    waiting = isinstance(permit, concurrency.Permit)
    execution, created = submissions.submit(asked, waiting=waiting, waits=hub.of(request.META))
    begun = created and waiting
    status = 201 if created else 200

    def shown(execution: Execution) -> HttpResponse:
        return reply(present_execution(execution), status=status)

    return deferred.answer(request, execution, seconds, shown, begun=begun, permit=permit)


@router.get("", auth=auth.read, response={200: ExecutionsOut, **ERRORS})
def listing(request: HttpRequest, query: Query[ExecutionsQuery]) -> HttpResponse:
    """List executions, newest first, without output. A token without `admin` sees only its own."""
    check_query(request, ExecutionsQuery.model_fields, repeatable=("label",))
    filters = history.parse_filter(dict(request.GET.lists()))
    viewer = history.Viewer.of_token(token_of(request))
    page = history.page(filters=filters, viewer=viewer, cursor=query.cursor, limit=query.limit)
    items = [present_summary(execution) for execution in page.items]
    return reply({"items": items, "next": page.next})


@router.get("/{execution_id}", auth=auth.read, response={200: ExecutionOut, **ERRORS})
def one(request: HttpRequest, execution_id: str) -> HttpResponse:
    """Return one execution with its output; `?wait=seconds` waits for its end."""
    check_query(request, ("wait",))
    seconds = wait_parameter(request)
    execution = _own(request, execution_id)
    permit = deferred.acquire_wait(str(token_of(request).id), seconds)
    return deferred.answer(request, execution, seconds, _shown, permit=permit)


@router.get("/{execution_id}/files", auth=auth.read, response={200: FilesOut, **ERRORS})
def files(request: HttpRequest, execution_id: str) -> HttpResponse:
    """Return the submitted files and settings of an execution."""
    check_query(request, ())
    return reply(present_submission(_own(request, execution_id)))


@router.get(
    "/{execution_id}/files/{sha256}",
    auth=auth.read,
    response={200: None, **ERRORS},
    openapi_extra=binary(),
)
def collected_file(request: HttpRequest, execution_id: str, sha256: str) -> HttpResponse:
    """Return a whole file that the execution gave back, as a download."""
    check_query(request, ())
    found = collected_files.find(execution=_own(request, execution_id), sha256=sha256)
    return downloads.attachment(collected_files.read(found.sha256), path=found.path)


@router.get(
    "/{execution_id}/events",
    auth=auth.read,
    response={200: None, 204: None, **ERRORS},
    openapi_extra=resumed(),
)
def events(request: HttpRequest, execution_id: str) -> HttpResponseBase:
    """Send Server-Sent Events: `state`, `stdout`, `stderr`, `test`, then `result` with the end.

    Output arrives while the program runs. `Last-Event-ID` resumes at that event. Status 204 after
    `result`: there is nothing more, and EventSource does not connect again.
    """
    check_query(request, ())
    followed = _own(request, execution_id).id
    after = _position(request)
    if after.told == positions.RESULT:
        return HttpResponse(status=204)
    permit = deferred.acquire_follow(str(token_of(request).id))
    return sse.reply(_frames(followed, after), permit)


@router.post(
    "/{execution_id}/cancel",
    auth=auth.execute,
    response={202: ExecutionOut, 200: ExecutionOut, **ERRORS},
)
def cancel(request: HttpRequest, execution_id: str) -> HttpResponse:
    """Request the cancellation: 202, or 200 without a change if the execution has ended."""
    check_query(request, ())
    execution = _own(request, execution_id)
    actor = token_of(request).name
    execution, changed = submissions.cancel(execution_id=execution.id, actor=actor)
    return reply(present_execution(execution), status=202 if changed else 200)


@router.post(
    "/{execution_id}/rerun",
    auth=auth.execute,
    response={201: ExecutionOut, **ERRORS},
)
def rerun(request: HttpRequest, execution_id: str, body: RerunIn | None = None) -> HttpResponse:
    """Submit the same request again, on the same version unless `template` is given."""
    check_query(request, ())
    token = token_of(request)
    made = submissions.rerun(
        execution=_own(request, execution_id),
        client=token.name,
        token=token,
        template=body.template if body else None,
        callback_url=body.callback_url if body else None,
    )
    return reply(present_execution(made), status=201)


def _position(request: HttpRequest) -> positions.Position:
    text = request.headers.get("Last-Event-ID")
    try:
        return positions.parse(text) if text else positions.Position()
    except parsing.ParseError as error:
        problem = Field(path="Last-Event-ID", message="Give the id of an event, unchanged.")
        raise InvalidRequestError([problem]) from error


def _frames(execution_id: uuid.UUID, after: positions.Position) -> deferred.Frames:
    yield sse.HELLO
    quiet = False
    for found in following.follow(execution_id=execution_id, after=after):
        if isinstance(found, following.Event):
            quiet = False
            data = found.data if found.execution is None else present_execution(found.execution)
            yield sse.event(found.kind, data, found.position)
        elif found.version is None:
            yield deferred.Pause(seconds=found.seconds)
        else:
            if quiet:
                yield sse.KEEPALIVE
            quiet = True
            yield deferred.Pause(
                seconds=found.seconds, execution_id=execution_id, version=found.version
            )


def _own(request: HttpRequest, execution_id: str) -> Execution:
    viewer = history.Viewer.of_token(token_of(request))
    return history.get(execution_id=execution_id, viewer=viewer)


def _shown(execution: Execution) -> HttpResponse:
    return reply(present_execution(execution))


def _idempotency(request: HttpRequest) -> Idempotency | None:
    key = submission_requests.idempotency_key(request)
    if key is None:
        return None
    document = submission_requests.document_of(request)
    return Idempotency(key=key, body_hash=submission_requests.document_hash(document))
