"""Actions on `current`: promote, roll back, pin, unpin; and the policy of the gates.

Each action is a POST. Its confirmation is a page of its own, which JavaScript shows as a dialog. A
refusal shows that page again, with the typed reason.
"""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from templatemgr import catalog
from templatemgr.errors import CurrentChangedError, TemplateError
from templatemgr.models import Promotion, PromotionKind, Template, Version
from templatemgr.promotion import gates, promotions
from webui.promotions import queries
from webui.promotions.compare_views import render_comparison
from webui.promotions.forms import PolicyForm, PromoteForm, ReasonForm, RollBackForm
from webui.promotions.gate_rows import policy_rows
from webui.promotions.package_changes import compare
from webui.shell import confirmations, decorators, fields
from webui.shell.confirmations import Confirmation

OVERRIDE = "templatemgr.override_gates"


@decorators.page
def confirm(request: HttpRequest, name: str, action: str) -> HttpResponse:
    """Show the confirmation of an action as a page, for browsers without JavaScript."""
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
    """Make a version current. A refusal shows the comparison again, with the typed reason."""
    form = PromoteForm(request.POST)
    chosen = fields.values(form)
    version, override = chosen.get("version") or 0, chosen["override"]
    if override and not decorators.may(request, OVERRIDE):
        raise PermissionDenied
    try:
        promotion = promotions.promote(
            template=name,
            version=version,
            actor=decorators.actor(request),
            reason=chosen.get("reason", ""),
            expected_current=chosen["expected_current"],
            override=override,
        )
    except TemplateError as error:
        # Compare with the present current version: another user may have promoted meanwhile.
        now = catalog.get(name=name).current
        return render_comparison(
            request,
            name=name,
            old=now.number if now else 0,
            new=version,
            reason=form.typed,
            problem=error.message,
            override=override,
        )
    return redirect("receipt", name, promotion.pk)


@decorators.change("templatemgr.promote_version", fresh=True)
def roll_back(request: HttpRequest, name: str) -> HttpResponse:
    """Make the version before this one current again."""
    form = RollBackForm(request.POST)
    chosen = fields.values(form)
    try:
        _expect(catalog.get(name=name), chosen["expected_current"])
        promotion = promotions.roll_back(
            template=name, actor=decorators.actor(request), reason=chosen.get("reason", "")
        )
    except TemplateError as error:
        return _refused(request, name, "rollback", error, form)
    return redirect("receipt", name, promotion.pk)


@decorators.change("templatemgr.pin_template")
def pin(request: HttpRequest, name: str) -> HttpResponse:
    """Refuse promotions until it is unpinned."""
    form = ReasonForm(request.POST)
    reason = fields.values(form).get("reason", "")
    try:
        promotions.pin(template=name, actor=decorators.actor(request), reason=reason)
    except TemplateError as error:
        return _refused(request, name, "pin", error, form)
    decorators.done(request, "Pinned: the current version stays until the template is unpinned.")
    return redirect("template", name)


@decorators.change("templatemgr.pin_template")
def unpin(request: HttpRequest, name: str) -> HttpResponse:
    """Allow promotions again."""
    form = ReasonForm(request.POST)
    reason = fields.values(form).get("reason", "")
    try:
        promotions.unpin(template=name, actor=decorators.actor(request), reason=reason)
    except TemplateError as error:
        return _refused(request, name, "unpin", error, form)
    decorators.done(request, "Unpinned: versions can be promoted.")
    return redirect("template", name)


@decorators.page
def receipt(request: HttpRequest, name: str, promotion_id: int) -> HttpResponse:
    """Show one promotion or roll back: its changes, its actor and reason, and how to undo it."""
    template = catalog.get(name=name)
    rows = queries.promotion_rows(template)
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
        "changes": compare(before.packages, promotion.to_version.packages) if before else None,
        "event": queries.promotion_event(promotion),
        "is_last": after is None,
        "undo": _undo(request, template, promotion) if after is None else None,
    }
    return render(request, "promotions/receipt.html", context)


@decorators.page
def policy(request: HttpRequest, name: str) -> HttpResponse:
    """Show the gates that a promotion of this template must pass, and their changes."""
    template = catalog.get(name=name)
    return _policy_page(request, template, gates.required(template=template))


@decorators.change("templatemgr.change_gate_policy")
def set_policy(request: HttpRequest, name: str) -> HttpResponse:
    """Set the gates that a promotion must pass."""
    template = catalog.get(name=name)
    form = PolicyForm(request.POST)
    chosen = fields.values(form)
    required = chosen["required"] or []
    try:
        reason = promotions.checked_reason(chosen.get("reason", ""))
        # All gates are recorded as "all": a gate that is added later counts, too.
        everything = set(gates.names()) <= {*required, *gates.ESSENTIAL}
        gates.set_policy(
            template=name,
            required=None if everything else required,
            actor=decorators.actor(request),
            reason=reason,
        )
    except TemplateError as error:
        return _policy_page(
            request, template, required, reason=form.typed, problem=error.message, status=409
        )
    decorators.done(request, "The policy applies from the next promotion.")
    return redirect("policy", name)


def _policy_page(
    request: HttpRequest,
    template: Template,
    required: Iterable[str],
    *,
    reason: str = "",
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    context = {
        "template": template,
        "gates": policy_rows(required),
        "history": queries.policy_events(template),
        "reason": reason,
        "problem": problem,
    }
    return render(request, "promotions/policy.html", context, status=status)


def _confirmation(template: Template, action: str) -> Confirmation | None:
    if action == "rollback":
        return confirmations.roll_back(template, promotions.previous(template))
    known = {"pin": confirmations.pin, "unpin": confirmations.unpin}
    return known[action](template) if action in known else None


def _refused(
    request: HttpRequest, name: str, action: str, error: TemplateError, form: ReasonForm
) -> HttpResponse:
    """Show the confirmation again with the problem; an unknown template stays a 404."""
    if isinstance(error, decorators.UNKNOWN):
        raise error
    template = catalog.get(name=name)
    confirmation = _confirmation(template, action)
    if confirmation is None:
        raise error
    shown = confirmation.refused(form.typed, error.message)
    context = {"confirmation": shown, "template": template}
    return render(request, "shell/confirmation.html", context, status=409)


def _undo(request: HttpRequest, template: Template, promotion: Promotion) -> Confirmation | None:
    """Return the roll back that undoes a promotion; None when it leads to another version."""
    if not decorators.may(request, "templatemgr.promote_version"):
        return None
    previous = promotions.previous(template)
    if promotion.kind == PromotionKind.ROLLBACK or previous != promotion.from_version:
        return None
    return confirmations.roll_back(template, previous) if isinstance(previous, Version) else None


def _expect(template: Template, expected: int | None) -> None:
    """Raise CurrentChangedError for a form that is older than the last promotion, or sent twice."""
    actual = template.current.number if template.current else None
    if expected is not None and actual != expected:
        message = f"{template.name} is on version {actual}, not {expected}: review it again."
        raise CurrentChangedError(message, expected=expected, current=actual)
