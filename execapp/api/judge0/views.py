"""The calls of Judge0's interface."""

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from core import parsing
from core.engine import hub
from execapp import history
from execapp.api.http import auth, deferred, json_parser
from execapp.api.http.responses import reply
from execapp.api.judge0 import bodies, known, results
from execapp.api.judge0.bodies import WrongSubmissionError
from execapp.conf import sizes
from execapp.errors import (
    ExecutionError,
    InvalidRequestError,
    MediaTypeError,
    UnauthorizedError,
    UnknownExecutionError,
)
from execapp.models import ApiToken, Execution, Judge0Submission, Scope
from execapp.services import judge0_submissions
from templatemgr.errors import TemplateError

CONVERSION = (
    "some attributes for this submission cannot be converted to UTF-8, "
    "use base64_encoded=true query parameter"
)


def statuses(request: HttpRequest) -> HttpResponse:
    """List the statuses."""
    _token(request, Scope.READ)
    return reply([{"id": number, "description": text} for number, text in known.STATUSES.items()])


def languages(request: HttpRequest) -> HttpResponse:
    """List the languages of the setting whose templates are healthy."""
    _token(request, Scope.READ)
    return reply([{"id": each.id, "name": each.name} for each in known.numbered()])


def all_languages(request: HttpRequest) -> HttpResponse:
    """List the same, none of them archived."""
    _token(request, Scope.READ)
    found = [{"id": each.id, "name": each.name, "is_archived": False} for each in known.numbered()]
    return reply(found)


def language(request: HttpRequest, number: str) -> HttpResponse:
    """Return one language."""
    _token(request, Scope.READ)
    wanted = parsing.whole_or_none(number)
    for each in known.numbered():
        if each.id == wanted:
            more = {"is_archived": False, "source_file": None, "compile_cmd": None, "run_cmd": None}
            return reply({"id": each.id, "name": each.name, **more})
    return _error("not found", 404)


def about(request: HttpRequest) -> HttpResponse:
    """Return the version of the interface that this door serves."""
    _token(request, Scope.READ)
    extra = request.path_info.startswith("/judge0/extra/")
    version = f"{known.VERSION}-extra" if extra else known.VERSION
    return reply(
        {"version": version, "homepage": None, "source_code": None, "maintainer": "Stencil"}
    )


def config_info(request: HttpRequest) -> HttpResponse:
    """Return the configuration."""
    _token(request, Scope.READ)
    return reply(known.config_info())


def create(request: HttpRequest) -> HttpResponseBase:
    """Submit one; with `wait=true`, answer when it has ended."""
    token = _token(request, Scope.EXECUTE)
    encoded, fields = _encoded(request), _fields(request)
    if isinstance(fields, HttpResponse):
        return fields
    body = _body(request)
    seconds = float(sizes().max_wait_seconds) if request.GET.get("wait") == "true" else 0.0
    permit = deferred.acquire_wait(str(token.id), seconds)
    waiting = permit is not None and not isinstance(permit, str)
    try:
        execution = _submit(body, token, encoded=encoded, waiting=waiting, waits=_hub(request))
    except WrongSubmissionError as error:
        return reply(error.errors, status=422)
    identifier = execution.id

    def shown(execution: Execution) -> HttpResponse:
        if seconds <= 0:
            return reply({"token": str(identifier)}, status=201)
        row = Judge0Submission.objects.get(execution_id=identifier)
        row.execution = execution
        return _shown(row, fields, encoded=encoded, status=201)

    return deferred.answer(request, execution, seconds, shown, begun=waiting, permit=permit)


def one(request: HttpRequest, token: str) -> HttpResponse:
    """Return one submission."""
    viewer, encoded, fields = _reader(request)
    if isinstance(fields, HttpResponse):
        return fields
    identifier = parsing.identifier_or_none(token)
    rows = judge0_submissions.find([identifier], viewer=viewer) if identifier else {}
    if identifier not in rows:
        message = f"There is no submission {token[:80]} that you may see."
        raise UnknownExecutionError(message)
    return _shown(rows[identifier], fields, encoded=encoded, status=200)


def destroy(request: HttpRequest, token: str) -> HttpResponse:  # noqa: ARG001 - of the address
    """Refuse: executions are kept."""
    _token(request, Scope.EXECUTE)
    return _error("delete not allowed", 400)


def create_batch(request: HttpRequest) -> HttpResponse:
    """Submit up to twenty, each answered on its own: a token, or its errors."""
    token = _token(request, Scope.EXECUTE)
    encoded, body = _encoded(request), _body(request)
    given = body.get("submissions") if isinstance(body, dict) else None
    if not isinstance(given, list) or not given:
        return _error("there should be at least one submission in a batch", 400)
    if len(given) > known.MAX_BATCH:
        return _too_many()
    answers: list[dict[str, Any]] = []
    for each in given:
        try:
            execution = _submit(each, token, encoded=encoded)
        except WrongSubmissionError as error:
            answers.append(error.errors)
        except (ExecutionError, TemplateError) as error:
            if not any("token" in answer for answer in answers):
                raise
            # Earlier ones run already: their tokens must reach the client.
            answers.append({"error": [error.message]})
        else:
            answers.append({"token": str(execution.id)})
    status = 201 if any("token" in answer for answer in answers) else 422
    return reply(answers, status=status)


def batch(request: HttpRequest) -> HttpResponse:
    """Return several submissions; null for each that does not exist."""
    viewer, encoded, fields = _reader(request)
    if isinstance(fields, HttpResponse):
        return fields
    given = request.GET.get("tokens", "").strip()
    tokens = given.split(",") if given else []
    if not tokens:
        return _error("there should be at least one submission in a batch", 400)
    if len(tokens) > known.MAX_BATCH:
        return _too_many()
    ids = [parsing.identifier_or_none(token.strip()) for token in tokens]
    rows = judge0_submissions.find({each for each in ids if each}, viewer=viewer)
    try:
        shown = [_row(rows, each, fields, encoded=encoded) for each in ids]
    except results.NotTextError:
        return _error(CONVERSION.replace("this submission", "one or more submissions"), 400)
    return reply({"submissions": shown})


def _row(
    rows: dict[uuid.UUID, Judge0Submission],
    identifier: uuid.UUID | None,
    fields: tuple[str, ...],
    *,
    encoded: bool,
) -> dict[str, Any] | None:
    row = rows.get(identifier) if identifier else None
    return None if row is None else results.present(row, fields, encoded=encoded)


def _submit(body: object, token: ApiToken, *, encoded: bool, **wait: Any) -> Execution:
    wanted = bodies.read(body, token, encoded=encoded)
    try:
        return judge0_submissions.submit(
            wanted.request,
            language_id=wanted.language_id,
            expected_output=wanted.expected_output,
            options=wanted.options,
            **wait,
        )
    except InvalidRequestError as error:
        raise bodies.translated(error) from error


def _shown(
    row: Judge0Submission, fields: tuple[str, ...], *, encoded: bool, status: int
) -> HttpResponse:
    try:
        return reply(results.present(row, fields, encoded=encoded), status=status)
    except results.NotTextError:
        if status == 201:
            return reply({"error": CONVERSION, "token": str(row.execution_id)}, status=status)
        return _error(CONVERSION, 400)


def _reader(
    request: HttpRequest,
) -> tuple[history.Viewer, bool, tuple[str, ...] | HttpResponse]:
    token = _token(request, Scope.READ)
    return history.Viewer.of_token(token), _encoded(request), _fields(request)


def _encoded(request: HttpRequest) -> bool:
    return request.GET.get("base64_encoded") == "true"


def _fields(request: HttpRequest) -> tuple[str, ...] | HttpResponse:
    """Return the wanted fields, or the refusal of unknown ones."""
    names = [name for name in request.GET.get("fields", "").split(",") if name]
    unknown = [name for name in names if name != "*" and name not in results.FIELDS]
    if unknown:
        return _error(f"invalid fields: [{', '.join(unknown)[:300]}]", 400)
    if "*" in names:
        return results.FIELDS
    return tuple(dict.fromkeys(names)) or results.DEFAULT_FIELDS


def _body(request: HttpRequest) -> Any:
    if request.content_type != "application/json":
        message = "Send the body as application/json."
        raise MediaTypeError(message)
    return json_parser.loads(request.body)


def _hub(request: HttpRequest) -> Any:
    return hub.of(request.META)


def _token(request: HttpRequest, scope: Scope) -> ApiToken:
    """Return the token of X-Auth-Token or of Authorization, alone or after "Bearer"."""
    given = request.headers.get("X-Auth-Token") or request.headers.get("Authorization", "")
    scheme, _, rest = given.strip().partition(" ")
    secret = rest.strip() if scheme.lower() == "bearer" else given.strip()
    found = auth.Bearer(scope).authenticate(request, secret) if secret else None
    if found is None:
        message = "Send a valid token of this server: X-Auth-Token, or Authorization: Bearer."
        raise UnauthorizedError(message)
    return found


def _too_many() -> HttpResponse:
    most = known.MAX_BATCH
    message = f"number of submissions in a batch should be less than or equal to {most}"
    return _error(message, 400)


def _error(message: str, status: int) -> HttpResponse:
    return reply({"error": message}, status=status)
