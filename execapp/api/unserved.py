"""Calls of the contract that this release does not serve: each has its route, and says so."""

from collections.abc import Callable
from inspect import Parameter, Signature

from django.http import HttpRequest, HttpResponse
from ninja import Router

from execapp.api import auth
from execapp.api.openapi import ERRORS
from execapp.errors import NotSupportedError

templates = Router(tags=["Not served yet"])

# (router, method, path, what, what to use instead)
CALLS = ((templates, "POST", "/{name}/versions/{number}/verify", "Verifying", "verify_templates"),)


def _view(path: str, what: str, command: str) -> Callable[..., HttpResponse]:
    instead = f"manage.py {command}, or the dashboard" if command else "the dashboard"

    def unserved(request: HttpRequest, **names: str) -> HttpResponse:  # noqa: ARG001
        message = f"{what} is not served over the API yet. Use {instead}."
        raise NotSupportedError(message)

    # ninja reads the parameters of a path from the view's signature.
    kind = Parameter.POSITIONAL_OR_KEYWORD
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [Parameter("request", kind, annotation=HttpRequest)]
    parameters += [Parameter(name, kind, annotation=str) for name in names]
    vars(unserved)["__signature__"] = Signature(parameters)
    return unserved


for router, method, path, what, command in CALLS:
    router.api_operation(
        [method],
        path,
        auth=auth.read if method == "GET" else auth.change_templates,
        response=ERRORS,
        summary=f"{what} (not served yet)",
        operation_id=f"unserved_{method}_{path}".lower().translate(str.maketrans("/{}", "___")),
    )(_view(path, what, command))
