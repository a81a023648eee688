"""The tools: their descriptions, and their calls, which are those of our own API."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from pydantic import BaseModel, ValidationError

from core.engine import hub
from execapp import history
from execapp.api.http import concurrency, deferred
from execapp.api.http.responses import wait_seconds
from execapp.api.mcp import protocol, schemas
from execapp.api.presenters.executions import present_execution
from execapp.api.presenters.templates import present_template
from execapp.errors import MAX_MESSAGE, MAX_PATH, MAX_REPORTED, Field, InvalidRequestError
from execapp.models import ApiToken, Execution, Mode, Scope
from execapp.requests import SubmissionRequest
from execapp.services import submissions
from templatemgr import lists

PAGE = 50


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a tool by a token that has the tool's scope."""

    request: HttpRequest
    token: ApiToken
    id: protocol.Id
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool. `run` raises the errors of our API, which the client gets as a failed result."""

    title: str
    description: str
    scope: Scope
    arguments: type[BaseModel]
    result: type[BaseModel]
    run: Callable[[Call], HttpResponse]
    changes: bool = False  # it makes an execution

    def described(self, name: str) -> dict[str, Any]:
        """Return the tool as `tools/list` shows it."""
        return {
            "name": name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.arguments.model_json_schema(),
            "outputSchema": self.result.model_json_schema(mode="serialization"),
            "annotations": {
                "readOnlyHint": not self.changes,
                "destructiveHint": False,
                "idempotentHint": not self.changes,
                "openWorldHint": False,  # a sandbox reaches nothing outside
            },
        }


def parsed[Arguments: BaseModel](kind: type[Arguments], call: Call) -> Arguments:
    """Return the arguments of a call. Raise InvalidRequestError."""
    try:
        return kind.model_validate(call.arguments)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        fields = [
            Field(
                path=".".join(str(part)[:MAX_PATH] for part in each["loc"]) or "arguments",
                message=each["msg"][:MAX_MESSAGE],
            )
            for each in found[:MAX_REPORTED]
        ]
        raise InvalidRequestError(fields, more=len(found) - len(fields)) from None


def _run_code(call: Call) -> HttpResponse:
    given = parsed(schemas.CodeArguments, call)
    return _submit(call, given, Mode.RUN, entry=given.entry, args=given.args, stdin=given.stdin)


def _run_tests(call: Call) -> HttpResponse:
    return _submit(call, parsed(schemas.TestsArguments, call), Mode.TEST)


def _submit(call: Call, given: schemas.TestsArguments, mode: Mode, **more: Any) -> HttpResponse:
    seconds = _seconds(given.wait_seconds)
    wanted = SubmissionRequest(
        client=call.token.name,
        token=call.token,
        template=given.template,
        mode=mode,
        files=[file.model_dump() for file in given.files],
        env=given.env,
        limits=given.limits.model_dump(exclude_none=True),
        labels=given.labels,
        **more,
    )
    permit = deferred.acquire_wait(str(call.token.id), seconds)
    waiting = isinstance(permit, concurrency.Permit)
    execution, created = submissions.submit(
        wanted, waiting=waiting, waits=hub.of(call.request.META)
    )
    begun = created and waiting
    return deferred.answer(
        call.request, execution, seconds, _shown(call), begun=begun, permit=permit
    )


def _get_execution(call: Call) -> HttpResponse:
    given = parsed(schemas.ExecutionArguments, call)
    seconds = _seconds(given.wait_seconds)
    viewer = history.Viewer.of_token(call.token)
    execution = history.get(execution_id=given.id, viewer=viewer)
    permit = deferred.acquire_wait(str(call.token.id), seconds)
    return deferred.answer(call.request, execution, seconds, _shown(call), permit=permit)


def _list_templates(call: Call) -> HttpResponse:
    given = parsed(schemas.ListArguments, call)
    page = lists.list_templates(cursor=given.cursor, limit=PAGE)
    shown = [present_template(row) for row in page.items]
    found = [
        {
            "name": each["name"],
            "title": each["title"],
            "modes": list(each["modes"]),
            "version": each["current"]["version"] if each["current"] else None,
        }
        for each in shown
    ]
    return structured(call.id, {"templates": found, "next": page.next})


def _seconds(given: float) -> float:
    try:
        return wait_seconds(given)
    except ValueError as error:
        raise InvalidRequestError([Field(path="wait_seconds", message=str(error))]) from error


def _shown(call: Call) -> Callable[[Execution], HttpResponse]:
    return lambda execution: structured(call.id, _present(execution))


def _present(execution: Execution) -> dict[str, Any]:
    whole = present_execution(execution)
    copied = ("id", "state", "mode", "exit_code", "signal", "message")
    streams = ("stdout", "stdout_encoding", "stderr", "stderr_encoding")
    template = whole["template"]
    return {
        **{name: whole[name] for name in (*copied, *streams)},
        "finished": execution.finished,
        "template": f"{template['name']}@{template['version']}",
        "truncated": any(whole["truncated"].values()),
        "tests": _tests(whole["tests"]),
        "total_ms": whole["timings"]["total_ms"],
    }


def _tests(tests: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if tests is None:
        return None
    counts = {name: tests[name] for name in ("passed", "failed", "skipped", "total")}
    names = ("name", "file", "state", "message")
    cases = [{name: case[name] for name in names} for case in tests["cases"]]
    errors = [f"{error['file']}: {error['message']}" for error in tests["errors"]]
    return {**counts, "cases": cases, "errors": errors}


def structured(request_id: protocol.Id, found: Mapping[str, Any]) -> HttpResponse:
    """Return the result of a tool, as data and as the same JSON in a text for older clients."""
    text = json.dumps(found, ensure_ascii=False)
    content = [{"type": "text", "text": text}]
    return protocol.result(request_id, {"content": content, "structuredContent": dict(found)})


def failed(request_id: protocol.Id, code: str, message: str, details: object) -> HttpResponse:
    """Return the result of a tool that failed, so that the model can correct its call."""
    text = json.dumps({"code": code, "message": message, "details": details}, ensure_ascii=False)
    content = [{"type": "text", "text": text}]
    return protocol.result(request_id, {"content": content, "isError": True})


TOOLS = {
    "run_code": Tool(
        title="Run code",
        description="Run a program in a sealed sandbox without a network, and return its output.",
        scope=Scope.EXECUTE,
        arguments=schemas.CodeArguments,
        result=schemas.ExecutionResult,
        run=_run_code,
        changes=True,
    ),
    "run_tests": Tool(
        title="Run tests",
        description="Run test files with the template's test tool, and return each test's result.",
        scope=Scope.EXECUTE,
        arguments=schemas.TestsArguments,
        result=schemas.ExecutionResult,
        run=_run_tests,
        changes=True,
    ),
    "list_templates": Tool(
        title="List templates",
        description="List the environments that code can run in, with their current versions.",
        scope=Scope.READ,
        arguments=schemas.ListArguments,
        result=schemas.TemplatesResult,
        run=_list_templates,
    ),
    "get_execution": Tool(
        title="Get an execution",
        description="Return an execution by its id; with wait_seconds, wait for its end.",
        scope=Scope.READ,
        arguments=schemas.ExecutionArguments,
        result=schemas.ExecutionResult,
        run=_get_execution,
    ),
}
