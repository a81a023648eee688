"""`/templates`: what there is and what is current. Changing is in `unserved`."""

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from execapp.api import auth, schemas
from execapp.api.openapi import ERRORS
from execapp.api.replies import check_query, reply
from execapp.services import templates

router = Router(tags=["Templates"])
PAGE = ("limit", "cursor")


@router.get("", auth=auth.read, response={200: schemas.TemplatesOut, **ERRORS})
def listing(request: HttpRequest, query: Query[schemas.PageQuery]) -> HttpResponse:
    """Every template, by name."""
    check_query(request, PAGE)
    items, following = templates.templates(cursor=query.cursor, limit=query.limit)
    return reply({"items": items, "next": following})


@router.get("/{name}", auth=auth.read, response={200: schemas.TemplateOut, **ERRORS})
def one(request: HttpRequest, name: str) -> HttpResponse:
    """One template, with the limits of its current version."""
    check_query(request, ())
    return reply(templates.template(name=name))


@router.get("/{name}/versions", auth=auth.read, response={200: schemas.VersionsOut, **ERRORS})
def versions(request: HttpRequest, name: str, query: Query[schemas.PageQuery]) -> HttpResponse:
    """The versions of a template, newest first."""
    check_query(request, PAGE)
    items, following = templates.versions(name=name, cursor=query.cursor, limit=query.limit)
    return reply({"items": items, "next": following})


@router.get(
    "/{name}/versions/{number}", auth=auth.read, response={200: schemas.VersionOut, **ERRORS}
)
def version(request: HttpRequest, name: str, number: str) -> HttpResponse:
    """One version with its packages and smoke results."""
    check_query(request, ())
    return reply(templates.version(name=name, number=number))


@router.get("/{name}/promotions", auth=auth.read, response={200: schemas.PromotionsOut, **ERRORS})
def promotions(request: HttpRequest, name: str, query: Query[schemas.PageQuery]) -> HttpResponse:
    """What was current when, by whom and why; newest first."""
    check_query(request, PAGE)
    items, following = templates.promotions(name=name, cursor=query.cursor, limit=query.limit)
    return reply({"items": items, "next": following})
