"""Calls of the contract that this release does not serve: each has its route, and says so."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from ninja import Router

from execapp.api import auth
from execapp.api.openapi import ERRORS
from execapp.errors import NotSupportedError

templates = Router(tags=["Not served yet"])
builds = Router(tags=["Not served yet"])

# (router, method, path, what, what to use instead)
CALLS = (
    (templates, "GET", "/{name}/versions/{number}/diff", "Comparing versions", ""),
    (templates, "POST", "/{name}/versions/{number}/verify", "Verifying", "verify_templates"),
    (templates, "POST", "/{name}/builds", "Building", "build_template"),
    (templates, "POST", "/{name}/promote", "Promoting", "promote_template"),
    (templates, "POST", "/{name}/rollback", "Rolling back", "rollback_template"),
    (templates, "POST", "/{name}/pin", "Pinning", "pin_template"),
    (templates, "POST", "/{name}/unpin", "Unpinning", "pin_template"),
    (builds, "GET", "/{build_id}", "Reading a build", ""),
    (builds, "GET", "/{build_id}/log", "Reading a build log", ""),
    (builds, "GET", "/{build_id}/events", "Following a build", ""),
    (builds, "POST", "/{build_id}/cancel", "Cancelling a build", ""),
)


def _view(what: str, command: str) -> Callable[[HttpRequest], HttpResponse]:
    instead = f"manage.py {command}, or the dashboard" if command else "the dashboard"

    def unserved(_request: HttpRequest) -> HttpResponse:
        message = f"{what} is not served over the API yet. Use {instead}."
        raise NotSupportedError(message)

    return unserved


def _parameters(path: str) -> list[dict[str, object]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    text = {"type": "string"}
    return [{"in": "path", "name": name, "required": True, "schema": text} for name in names]


for router, method, path, what, command in CALLS:
    router.api_operation(
        [method],
        path,
        auth=auth.read if method == "GET" else auth.change_templates,
        response=ERRORS,
        summary=f"{what} (not served yet)",
        operation_id=f"unserved_{method}_{path}".lower().translate(str.maketrans("/{}", "___")),
        openapi_extra={"parameters": _parameters(path)},
    )(_view(what, command))
