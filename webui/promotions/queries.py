"""The rows of promotions that the pages of promotions and of other families read."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from templatemgr.models import AuditEvent, Promotion, Template, Version
from webui.shell import confirmations, decorators

POLICY_EVENTS = 10
VERSIONS_LISTED = 500


def promotion_rows(template: Template) -> QuerySet[Promotion, Promotion]:
    """Return the promotions of a template, with both versions and their health."""
    return template.promotions.select_related("from_version__health", "to_version__health")


def promotion_event(promotion: Promotion) -> AuditEvent | None:
    """Return the audit event that was appended with the row of a promotion."""
    target = f"{promotion.template.name}@{promotion.to_version.number}"
    events = AuditEvent.objects.filter(object=target, action=f"version.{promotion.kind}")
    return events.filter(time__gte=promotion.created_at).order_by("sequence").first()


def policy_events(template: Template) -> QuerySet[AuditEvent, AuditEvent]:
    """Return the latest changes of a template's policy, newest first."""
    events = AuditEvent.objects.filter(action="template.policy", object=template.name)
    return events.order_by("-sequence")[:POLICY_EVENTS]


def versions_to_compare(template: Template) -> QuerySet[Any, Any]:
    """Return number and time of the newest versions."""
    rows = template.versions.order_by("-number").values_list("number", "created_at")
    return rows[:VERSIONS_LISTED]


def compare_with(template: Template, version: Version) -> int | None:
    """Return the number to compare a version with: the current one, else the one before it."""
    if template.current is not None and template.current_id != version.pk:
        return template.current.number
    older = template.versions.filter(number__lt=version.number).order_by("-number")
    return older.values_list("number", flat=True).first()


def roll_back_confirmations(
    request: HttpRequest, templates: Iterable[Template], previous: Mapping[int, Version]
) -> list[confirmations.Confirmation]:
    """Return a confirmation for each roll back that the user may do from a page of templates.

    `previous`: the version before the current one, by the template's primary key.
    """
    if not decorators.may(request, "templatemgr.promote_version"):
        return []
    return [
        confirmations.roll_back(template, previous[template.pk])
        for template in templates
        if template.pk in previous and not template.pinned
    ]
