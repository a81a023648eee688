"""`/templates/{name}/…`: promote, roll back, pin, and the policy of gates."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from execapp.api.http import auth
from execapp.api.http.openapi import ERRORS
from execapp.api.http.responses import actor_of, check_query, reply, token_of
from execapp.api.presenters.templates import (
    present_policy,
    present_promotion,
    present_whole_template,
)
from execapp.api.v1.schemas.common import ReasonIn
from execapp.api.v1.schemas.templates import (
    MovedOut,
    PolicyIn,
    PolicyOut,
    PromoteIn,
    RollBackIn,
    TemplateOut,
)
from execapp.models import Scope
from templatemgr import catalog, lists
from templatemgr.models import Promotion
from templatemgr.promotion import gates, promotions

router = Router(tags=["Templates"], by_alias=True)


@router.post(
    "/{name}/promote",
    auth=auth.change_templates,
    response={200: MovedOut, **ERRORS},
    summary="Promote a version",
)
def promote(request: HttpRequest, name: str, body: PromoteIn) -> HttpResponse:
    """Make a version current. Running executions keep their version."""
    check_query(request, ())
    promotion = promotions.promote(
        template=name,
        version=body.version,
        actor=actor_of(request),
        reason=body.reason,
        expected_current=body.expected_current,
        **_override(request, body.override),
    )
    return _moved(name, promotion)


@router.post(
    "/{name}/rollback",
    auth=auth.change_templates,
    response={200: MovedOut, **ERRORS},
    summary="Roll back",
)
def roll_back(request: HttpRequest, name: str, body: RollBackIn) -> HttpResponse:
    """Make the version before the current one current; each repetition goes one further back."""
    check_query(request, ())
    promotion = promotions.roll_back(
        template=name,
        actor=actor_of(request),
        reason=body.reason,
        expected_current=body.expected_current,
        **_override(request, body.override),
    )
    return _moved(name, promotion)


@router.post(
    "/{name}/pin",
    auth=auth.change_templates,
    response={200: TemplateOut, **ERRORS},
    summary="Pin a template",
)
def pin(request: HttpRequest, name: str, body: ReasonIn) -> HttpResponse:
    """Refuse promotions and roll backs until the template is unpinned."""
    check_query(request, ())
    promotions.pin(template=name, actor=actor_of(request), reason=body.reason)
    return reply(present_whole_template(lists.find_template(name=name)))


@router.post(
    "/{name}/unpin",
    auth=auth.change_templates,
    response={200: TemplateOut, **ERRORS},
    summary="Unpin a template",
)
def unpin(request: HttpRequest, name: str, body: ReasonIn) -> HttpResponse:
    """Allow promotions again."""
    check_query(request, ())
    promotions.unpin(template=name, actor=actor_of(request), reason=body.reason)
    return reply(present_whole_template(lists.find_template(name=name)))


@router.get(
    "/{name}/policy",
    auth=auth.read,
    response={200: PolicyOut, **ERRORS},
    summary="Read the policy of gates",
)
def policy(request: HttpRequest, name: str) -> HttpResponse:
    """Return the gates that promotions of this template must pass."""
    check_query(request, ())
    return reply(present_policy(gates.required(template=catalog.get(name=name))))


@router.put(
    "/{name}/policy",
    auth=auth.administer,
    response={200: PolicyOut, **ERRORS},
    summary="Set the policy of gates",
)
def set_policy(request: HttpRequest, name: str, body: PolicyIn) -> HttpResponse:
    """Set the gates that promotions must pass besides the essential ones; needs the scope admin."""
    check_query(request, ())
    gates.set_policy(
        template=name,
        required=body.required,
        actor=actor_of(request),
        reason=promotions.checked_reason(body.reason),
    )
    return reply(present_policy(gates.required(template=catalog.get(name=name))))


def _override(request: HttpRequest, reason: str | None) -> dict[str, Any]:
    if reason is None:
        return {}
    auth.require_scope(token_of(request), Scope.ADMIN, "Passing closed gates")
    text = promotions.checked_reason(reason)
    return {"override": True, "override_reason": text}


def _moved(name: str, promotion: Promotion) -> HttpResponse:
    shown = present_whole_template(lists.find_template(name=name))
    return reply({**shown, "promotion": present_promotion(promotion)})
