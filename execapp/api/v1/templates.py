"""`/templates`: templates, versions, promotions, gates, differences, and removal."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router

from execapp.api.http import auth
from execapp.api.http.json_parser import StrictParser
from execapp.api.http.openapi import ERRORS, reason_parameter, streamed
from execapp.api.http.responses import actor_of, check_query, reply, text_reply, wanted_form
from execapp.api.presenters.differences import present_difference
from execapp.api.presenters.templates import (
    present_promotion,
    present_template,
    present_whole_template,
)
from execapp.api.presenters.versions import (
    present_gates,
    present_version,
    present_version_summary,
)
from execapp.api.v1.schemas.common import PageQuery
from execapp.api.v1.schemas.templates import PromotionsOut, TemplateOut, TemplatesOut
from execapp.api.v1.schemas.versions import (
    DiffOut,
    DiffQuery,
    GatesOut,
    RemovedOut,
    VersionOut,
    VersionsOut,
)
from execapp.errors import Field, InvalidRequestError
from templatemgr import lists
from templatemgr.promotion import comparison, removal
from templatemgr.promotion.gates import evaluate

router = Router(tags=["Templates"], by_alias=True)
PAGE = ("limit", "cursor")


@router.get("", auth=auth.read, response={200: TemplatesOut, **ERRORS}, summary="List templates")
def listing(request: HttpRequest, query: Query[PageQuery]) -> HttpResponse:
    """List all templates by name."""
    check_query(request, PAGE)
    page = lists.list_templates(cursor=query.cursor, limit=query.limit)
    return reply({"items": [present_template(row) for row in page.items], "next": page.next})


@router.get(
    "/{name}",
    auth=auth.read,
    response={200: TemplateOut, **ERRORS},
    summary="Read a template",
)
def one(request: HttpRequest, name: str) -> HttpResponse:
    """Return one template with the limits of its current version."""
    check_query(request, ())
    return reply(present_whole_template(lists.find_template(name=name)))


@router.get(
    "/{name}/versions",
    auth=auth.read,
    response={200: VersionsOut, **ERRORS},
    summary="List versions",
)
def versions(request: HttpRequest, name: str, query: Query[PageQuery]) -> HttpResponse:
    """List the versions of a template, newest first."""
    check_query(request, PAGE)
    row = lists.find_template(name=name)
    page = lists.list_versions(template=row, cursor=query.cursor, limit=query.limit)
    items = [present_version_summary(found, row) for found in page.items]
    return reply({"items": items, "next": page.next})


@router.get(
    "/{name}/versions/{number}",
    auth=auth.read,
    response={200: VersionOut, **ERRORS},
    summary="Read a version",
)
def version(request: HttpRequest, name: str, number: str) -> HttpResponse:
    """Return one version with its packages and smoke results."""
    check_query(request, ())
    return reply(present_version(lists.find_version(name=name, number=number)))


@router.get(
    "/{name}/promotions",
    auth=auth.read,
    response={200: PromotionsOut, **ERRORS},
    summary="List promotions",
)
def promotions(request: HttpRequest, name: str, query: Query[PageQuery]) -> HttpResponse:
    """List the promotions and roll backs, with actor and reason; newest first."""
    check_query(request, PAGE)
    page = lists.list_promotions(name=name, cursor=query.cursor, limit=query.limit)
    return reply({"items": [present_promotion(row) for row in page.items], "next": page.next})


@router.get(
    "/{name}/versions/{number}/gates",
    auth=auth.read,
    response={200: GatesOut, **ERRORS},
    summary="Evaluate the gates of a promotion",
)
def gates(request: HttpRequest, name: str, number: str) -> HttpResponse:
    """Return whether the version can be promoted, with each gate and its reason."""
    check_query(request, ())
    found = lists.find_version(name=name, number=number)
    return reply(present_gates(found, evaluate(version=found)))


@router.get(
    "/{name}/versions/{number}/diff",
    auth=auth.read,
    response={200: DiffOut, **ERRORS},
    openapi_extra=streamed("text/plain", form=("json", "text")),
    summary="Compare two versions",
)
def diff(request: HttpRequest, name: str, number: str, query: Query[DiffQuery]) -> HttpResponseBase:
    """Return the changes from the version `against` to this one; as text by Accept or `format`."""
    check_query(request, ("against", "format"))
    form = wanted_form(request, "text")
    version = lists.find_version(name=name, number=number)
    found = comparison.compare(
        template=version.template.name, old=query.against, new=version.number
    )
    if form == "text":
        return text_reply(f"{line}\n" for line in comparison.to_text(found))
    return reply(present_difference(found))


@router.delete(
    "/{name}/versions/{number}",
    auth=auth.administer,
    response={200: RemovedOut, **ERRORS},
    openapi_extra=reason_parameter(),
    summary="Remove a version",
)
def remove(request: HttpRequest, name: str, number: str) -> HttpResponse:
    """Delete a version's files. Its row, inputs and manifests stay: a rebuild restores it.

    Send the reason in the query or in a body {"reason": "…"}. Refused for the current version, the
    target of a roll back, and a version in use.
    """
    check_query(request, ("reason",))
    version = lists.find_version(name=name, number=number)
    freed = removal.remove(
        template=version.template.name,
        version=version.number,
        actor=actor_of(request),
        reason=_reason(request),
    )
    shown = present_version(lists.find_version(name=name, number=number))
    return reply({"version": shown, "freed_bytes": freed.bytes, "freed_files": freed.files})


def _reason(request: HttpRequest) -> str:
    given: object = request.GET.get("reason")
    if given is None and request.body:
        body: object = StrictParser().parse_body(request)
        given = body.get("reason") if isinstance(body, dict) and set(body) == {"reason"} else None
    if not isinstance(given, str) or "\0" in given:
        text = "Give a reason: ?reason=… or a body with only `reason`."
        raise InvalidRequestError([Field(path="reason", message=text)])
    return given
