"""The audit trail: every administrative act, and whether the chain still holds."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from templatemgr import audit
from templatemgr.models import AuditEvent
from webui.views import guards

PAGE = 50


@guards.page
def index(request: HttpRequest) -> HttpResponse:
    """One page of events, newest first, with its filters."""
    return _render(request, request.GET.dict(), None)


@guards.change
def verify(request: HttpRequest) -> HttpResponse:
    """Walk the whole chain and say what was found."""
    return _render(request, {}, audit.verify_chain())


def _render(
    request: HttpRequest, given: dict[str, str], result: audit.ChainResult | None
) -> HttpResponse:
    wanted = {name: given.get(name, "").strip() for name in ("action", "object", "actor")}
    events = AuditEvent.objects.order_by("-sequence")
    for name, value in wanted.items():
        if value:
            events = events.filter(**{name: value})
    before = given.get("before", "")
    if before.isascii() and before.isdecimal() and len(before) < 19:
        events = events.filter(sequence__lt=int(before))
    rows = list(events[: PAGE + 1])
    context = {
        "events": rows[:PAGE],
        "older": rows[PAGE - 1].sequence if len(rows) > PAGE else None,
        "wanted": wanted,
        "result": result,
        "actions": AuditEvent.objects.order_by("action")
        .values_list("action", flat=True)
        .distinct(),
        "may_change": guards.may_change(request.user),
    }
    return render(request, "webui/audit/index.html", context)
