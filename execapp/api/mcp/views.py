"""The transport: one JSON-RPC message a POST, one JSON reply; no session and no stream.

Source: "Streamable HTTP" of the specification of 2025-11-25, which allows both.
"""

import json
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host
from django.http.response import HttpResponseBase

from execapp import doors
from execapp.api.http import auth
from execapp.api.http.bodies import drain
from execapp.api.http.deferred import DeferredResponse
from execapp.api.http.error_replies import STATUSES, handle
from execapp.api.http.json_parser import StrictParser
from execapp.api.http.responses import check_query
from execapp.api.mcp import protocol, tools
from execapp.api.mcp.protocol import Message, ProtocolError
from execapp.errors import ExecutionError, ForbiddenError, RateLimitedError, UnauthorizedError
from execapp.models import ApiToken, Scope

VERSION_HEADER = "MCP-Protocol-Version"
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
ABOUT = (
    "Stencil runs programs and tests in sealed sandboxes without a network. Call list_templates "
    "first, then run_code or run_tests with all files of the program."
)


def view(request: HttpRequest) -> HttpResponseBase:
    """Answer one message. Raise Http404 if the door is closed."""
    if not doors.is_open("mcp"):
        raise Http404
    if request.method != "POST":
        drain(request)
        response = HttpResponse(status=405)
        response["Allow"] = "POST"  # no stream is offered, and no session can be ended
        return response
    document: object = None
    try:
        _check_origin(request)
        token = _authenticate(request)
        check_query(request, ())
        document = StrictParser().parse_body(request)
        _check_version(request)
        return _answer(request, token, protocol.parse(document))
    except ProtocolError as error:
        request_id = protocol.id_of(document)
        return protocol.error(request_id, error.code, error.message, status=error.status)
    except ExecutionError as error:
        drain(request)
        return protocol.own_error(protocol.id_of(document), error, STATUSES.get(error.code, 500))


def _check_origin(request: HttpRequest) -> None:
    """Refuse a page of another origin, also under a name that it leads to us (DNS rebinding)."""
    origin = request.headers.get("Origin")
    if origin is None or origin in settings.CSRF_TRUSTED_ORIGINS:
        return
    try:
        page = urlsplit(origin)
        name = (page.hostname or "").lower()
    except ValueError:
        name = ""
    host, _ = split_domain_port(request.get_host())
    name = f"[{name}]" if ":" in name else name
    named = [each for each in settings.ALLOWED_HOSTS if each != "*"]
    own = name == host and validate_host(name, named)
    if own or (name in LOCAL_NAMES and host in LOCAL_NAMES):
        return
    message = "Pages of this origin may not call: name the origin in STENCIL_TRUSTED_ORIGINS."
    raise ForbiddenError(message)


def _authenticate(request: HttpRequest) -> ApiToken:
    found = auth.any_token(request)
    if not isinstance(found, ApiToken):
        message = "Send a valid token: Authorization: Bearer <token>."
        raise UnauthorizedError(message)
    return found


def _check_version(request: HttpRequest) -> None:
    given = request.headers.get(VERSION_HEADER)
    if given is not None and given not in protocol.VERSIONS:
        text = f"{VERSION_HEADER} must be one of {', '.join(protocol.VERSIONS)}."
        raise ProtocolError(protocol.INVALID_REQUEST, text, status=400)


def _answer(request: HttpRequest, token: ApiToken, message: Message) -> HttpResponseBase:
    if message.notification:
        return HttpResponse(status=202)
    match message.method:
        case "initialize":
            return protocol.result(message.id, _welcome(message.params))
        case "ping":
            return protocol.result(message.id, {})
        case "tools/list":
            shown = [tool.described(name) for name, tool in tools.TOOLS.items()]
            return protocol.result(message.id, {"tools": shown})
        case "tools/call":
            return _call(request, token, message)
    text = f"There is no method {message.method[:100]!r}."
    raise ProtocolError(protocol.METHOD_NOT_FOUND, text)


def _welcome(params: Any) -> dict[str, Any]:
    wanted = params.get("protocolVersion")
    return {
        "protocolVersion": wanted if wanted in protocol.VERSIONS else protocol.VERSIONS[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "stencil", "title": "Stencil", "version": _own_version()},
        "instructions": ABOUT,
    }


def _call(request: HttpRequest, token: ApiToken, message: Message) -> HttpResponse:
    name, arguments = message.params.get("name"), message.params.get("arguments", {})
    tool = tools.TOOLS.get(name) if isinstance(name, str) else None
    if tool is None or not isinstance(arguments, dict):
        known = ", ".join(tools.TOOLS)
        text = f"name must be one of {known}, and arguments an object."
        raise ProtocolError(protocol.INVALID_PARAMS, text)
    auth.require_scope(token, Scope(tool.scope), f"The tool {name}")
    call = tools.Call(request=request, token=token, id=message.id, arguments=arguments)
    failed = partial(_failed, message.id)
    try:
        response = tool.run(call)
    except RateLimitedError:
        raise
    except Exception as error:  # noqa: BLE001 - the edge: every failure gets its reply here
        return failed(handle(error))
    if isinstance(response, DeferredResponse):
        response.reshape = failed
    return response


def _failed(request_id: protocol.Id, response: HttpResponse) -> HttpResponse:
    """Return an error of our API as a failed result, and every other reply as it is."""
    if response.status_code < 400:
        return response
    found = json.loads(response.content)["error"]
    details = found["details"]
    if "Retry-After" in response:
        details = {**details, "retry_after": int(response["Retry-After"])}
    return tools.failed(request_id, found["code"], found["message"], details)


def _own_version() -> str:
    try:
        return version("stencil")
    except PackageNotFoundError:  # a checkout that is not installed
        return "0.1.0"
