"""What moves `current`, and what holds it: promote, roll back, pin, unpin, and the gates' policy.

Each act is a POST. What it asks first has a page of its own, which a dialog shows where there is
JavaScript; a refusal answers with that page, and with the reason that was typed.
"""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from core import parsing
from core.engine import WakeKind, get_engine
from templatemgr import catalog
from templatemgr.errors import CurrentChangedError, TemplateError
from templatemgr.models import AuditEvent, Promotion, PromotionKind, Template, Version
from templatemgr.promotion import gates, promotions
from webui.promotions.compare_views import render_comparison, title_of
from webui.promotions.package_changes import compare
from webui.shell import confirmations, decorators
from webui.shell.confirmations import Confirmation

OVERRIDE = "templatemgr.override_gates"
POLICY_EVENTS = 10
SAYS = {
    "ready": "Its build went through.",
    "smoke": "Every smoke submission came out as the definition expects, in the real sandbox.",
    "healthy": "Its files are what was built, when they were last looked at.",
    "unpinned": "Nobody holds the template on its version.",
    "origins": "Every package came from a registry of this machine's configuration.",
}


@decorators.page
def confirm(request: HttpRequest, name: str, action: str) -> HttpResponse:
    """The question before an act, as a page: where there is no JavaScript."""
    template = catalog.get(name=name)
    confirmation = _confirmation(template, action)
    if confirmation is None:
        message = f"There is no action {action!r}."
        raise Http404(message)
    if not decorators.may(request, confirmation.permission):
        raise PermissionDenied
    return render(
        request, "shell/confirmation.html", {"confirmation": confirmation, "template": template}
    )


@decorators.change("templatemgr.promote_version", fresh=True)
def promote(request: HttpRequest, name: str) -> HttpResponse:
    """Make a version current; what is refused comes back on the same page with its reason."""
    wanted = parsing.whole_or_none(request.POST.get("version", "")) or 0
    reason = request.POST.get("reason", "")
    override = "override" in request.POST
    if override and not decorators.may(request, OVERRIDE):
        raise PermissionDenied
    try:
        promotion = promotions.promote(
            template=name,
            version=wanted,
            actor=decorators.actor(request),
            reason=reason,
            expected_current=_expected(request),
            override=override,
        )
    except TemplateError as error:
        # What would move now, which is not what was asked for when somebody else was faster.
        now = catalog.get(name=name).current
        return render_comparison(
            request,
            name=name,
            old=now.number if now else 0,
            new=wanted,
            reason=reason,
            problem=error.message,
            override=override,
        )
    get_engine().wake(WakeKind.PROMOTION)
    return redirect("receipt", name, promotion.pk)


@decorators.change("templatemgr.promote_version", fresh=True)
def roll_back(request: HttpRequest, name: str) -> HttpResponse:
    """Make the version before this one current again."""
    template = catalog.get(name=name)
    try:
        _expect(template, _expected(request))
        promotion = promotions.roll_back(
            template=name, actor=decorators.actor(request), reason=request.POST.get("reason", "")
        )
    except TemplateError as error:
        return _refused(request, name, "rollback", error)
    get_engine().wake(WakeKind.PROMOTION)
    return redirect("receipt", name, promotion.pk)


@decorators.change("templatemgr.pin_template")
def pin(request: HttpRequest, name: str) -> HttpResponse:
    """Refuse promotions until it is unpinned."""
    try:
        promotions.pin(
            template=name, actor=decorators.actor(request), reason=request.POST.get("reason", "")
        )
    except TemplateError as error:
        return _refused(request, name, "pin", error)
    decorators.done(request, "Pinned: what is current stays current until it is unpinned.")
    return redirect("template", name)


@decorators.change("templatemgr.pin_template")
def unpin(request: HttpRequest, name: str) -> HttpResponse:
    """Allow promotions again."""
    try:
        promotions.unpin(
            template=name, actor=decorators.actor(request), reason=request.POST.get("reason", "")
        )
    except TemplateError as error:
        return _refused(request, name, "unpin", error)
    decorators.done(request, "Unpinned: versions can be promoted.")
    return redirect("template", name)


@decorators.page
def receipt(request: HttpRequest, name: str, promotion_id: int) -> HttpResponse:
    """One promotion or roll back: what it moved, who did it and why, and how to undo it."""
    template = catalog.get(name=name)
    related = ("from_version__health", "to_version__health")
    rows = template.promotions.select_related(*related)
    promotion = rows.filter(pk=promotion_id).first()
    if promotion is None:
        message = f"{name} has no promotion {promotion_id}."
        raise Http404(message)
    after = rows.filter(pk__gt=promotion_id).order_by("pk").first()
    before = promotion.from_version
    context: dict[str, Any] = {
        "template": template,
        "promotion": promotion,
        "after": after,
        "moved": compare(before.packages, promotion.to_version.packages) if before else None,
        "event": _event(promotion),
        "is_last": after is None,
        "undo": _undo(request, template, promotion) if after is None else None,
    }
    return render(request, "promotions/receipt.html", context)


@decorators.page
def policy(request: HttpRequest, name: str) -> HttpResponse:
    """Which gates a promotion of this template must pass, and how that changed."""
    return _policy_page(request, catalog.get(name=name))


@decorators.change("templatemgr.change_gate_policy")
def set_policy(request: HttpRequest, name: str) -> HttpResponse:
    """Say which gates must be open."""
    template = catalog.get(name=name)
    chosen = request.POST.getlist("required")
    reason = request.POST.get("reason", "")
    try:
        text = promotions.checked_reason(reason)
        # All of them is said as "all": gates that come later count, too.
        everything = set(gates.names()) <= {*chosen, *gates.ESSENTIAL}
        gates.set_policy(
            template=name,
            required=None if everything else chosen,
            actor=decorators.actor(request),
            reason=text,
        )
    except TemplateError as error:
        return _policy_page(
            request, template, chosen=chosen, reason=reason, problem=error.message, status=409
        )
    decorators.done(request, "The policy is in force for the next promotion.")
    return redirect("policy", name)


def _policy_page(
    request: HttpRequest,
    template: Template,
    *,
    chosen: list[str] | None = None,
    reason: str = "",
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    required = gates.required(template=template) if chosen is None else frozenset(chosen)
    history = AuditEvent.objects.filter(action="template.policy", object=template.name)
    context = {
        "template": template,
        "gates": [
            {
                "name": gate,
                "title": title_of(gate),
                "says": SAYS.get(gate, ""),
                "essential": gate in gates.ESSENTIAL,
                "required": gate in required or gate in gates.ESSENTIAL,
            }
            for gate in gates.names()
        ],
        "history": history.order_by("-sequence")[:POLICY_EVENTS],
        "reason": reason,
        "problem": problem,
    }
    return render(request, "promotions/policy.html", context, status=status)


def _confirmation(template: Template, action: str) -> Confirmation | None:
    if action == "rollback":
        return confirmations.roll_back(template, promotions.previous(template))
    known = {"pin": confirmations.pin, "unpin": confirmations.unpin}
    return known[action](template) if action in known else None


def _refused(request: HttpRequest, name: str, action: str, error: TemplateError) -> HttpResponse:
    """The confirmation again, with what stood in the way; what does not exist stays a 404."""
    if isinstance(error, decorators.UNKNOWN):
        raise error
    template = catalog.get(name=name)
    confirmation = _confirmation(template, action)
    if confirmation is None:
        raise error
    shown = confirmation.refused(request.POST.get("reason", ""), error.message)
    context = {"confirmation": shown, "template": template}
    return render(request, "shell/confirmation.html", context, status=409)


def _undo(request: HttpRequest, template: Template, promotion: Promotion) -> Confirmation | None:
    """The roll back that undoes a promotion; None when it would lead somewhere else."""
    if not decorators.may(request, "templatemgr.promote_version"):
        return None
    previous = promotions.previous(template)
    if promotion.kind == PromotionKind.ROLLBACK or previous != promotion.from_version:
        return None
    return confirmations.roll_back(template, previous) if isinstance(previous, Version) else None


def _event(promotion: Promotion) -> AuditEvent | None:
    """What the audit trail says of it: the event that was appended with its row."""
    target = f"{promotion.template.name}@{promotion.to_version.number}"
    events = AuditEvent.objects.filter(object=target, action=f"version.{promotion.kind}")
    return events.filter(time__gte=promotion.created_at).order_by("sequence").first()


def _expected(request: HttpRequest) -> int | None:
    """The version that the form's page showed as current; 0, which none has, for what is no number.

    What cannot be read must not pass for a form that expects nothing.
    """
    text = request.POST.get("expected_current", "").strip()
    return (parsing.whole_or_none(text) or 0) if text else None


def _expect(template: Template, expected: int | None) -> None:
    """Refuse a form that was opened before somebody else moved `current`, or sent twice."""
    actual = template.current.number if template.current else None
    if expected is not None and actual != expected:
        message = f"{template.name} is on version {actual}, not {expected}: look again first."
        raise CurrentChangedError(message, expected=expected, current=actual)
