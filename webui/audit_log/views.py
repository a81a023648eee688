"""The audit trail: read by page, walked from its first event to its last, written out."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db import transaction
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import redirect, render
from django.utils import timezone

from core import parsing
from templatemgr import audit
from templatemgr.models import AuditEvent
from webui.audit_log import event_text, queries
from webui.http import HtmxHttpRequest
from webui.shell import decorators


@decorators.page
def index(request: HttpRequest) -> HttpResponse:
    """A page of events, newest first, below a sequence number."""
    return _page(request)


@decorators.change("templatemgr.verify_audit")
def verify(request: HtmxHttpRequest) -> HttpResponseBase:
    """Check one part of the chain. htmx requests the next part by itself."""
    part = bool(request.htmx)
    try:
        check = queries.check_chain(request.POST.get("state", ""))
    except queries.FilterError as error:
        messages.error(request, error.message, extra_tags="bad")
        return decorators.whole(request, redirect("audit"))
    tone, text = _result(check)
    if part:
        context = {"chain_check": check, "tone": tone, "text": text}
        return render(request, "audit_log/_chain_check.html", context)
    if not check.done:
        return _page(request, check=check)
    messages.add_message(request, messages.INFO, text, extra_tags=tone)
    return redirect("audit")


@decorators.change("templatemgr.export_audit", fresh=True)
def export(request: HttpRequest) -> StreamingHttpResponse | HttpResponseRedirect:
    """The events of the filters as a file, with the hashes that prove them."""
    form = request.POST.get("format", "")
    given = {name: request.POST.get(name, "").strip() for name in queries.FIELDS}
    wanted = {name: value for name, value in given.items() if value}
    try:
        events = queries.chosen(given)
        if form not in queries.FORMATS:
            message = "Choose csv or jsonl."
            raise queries.FilterError(message)
    except queries.FilterError as error:
        messages.error(request, error.message, extra_tags="bad")
        return redirect("audit")
    with transaction.atomic():
        details = {"format": form, "filters": wanted}
        act = audit.append(
            actor=decorators.actor(request), action="audit.export", object="audit", details=details
        )
    # Up to and with this very act: what comes later is not what was asked for.
    rows = queries.export(events.filter(sequence__lte=act.sequence), form)
    response = StreamingHttpResponse(rows, content_type=queries.FORMATS[form])
    name = f"audit-{timezone.now():%Y-%m-%d}{'-part' if wanted else ''}.{form}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _page(request: HttpRequest, check: queries.ChainCheck | None = None) -> HttpResponse:
    given = {name: request.GET.get(name, "").strip() for name in queries.FIELDS}
    before = request.GET.get("before", "")
    below = parsing.whole_or_none(before, most=parsing.LARGEST_ROW)
    problem, events = "", list[AuditEvent]()
    try:
        rows = queries.chosen(given).order_by("-sequence")
        rows = rows if below is None else rows.filter(sequence__lt=below)
        events = list(rows[: queries.PAGE + 1])
    except queries.FilterError as error:
        problem = error.message
    more = len(events) > queries.PAGE
    wanted = {name: value for name, value in given.items() if value}
    older = {**wanted, "before": events[queries.PAGE - 1].sequence} if more else {}
    context: dict[str, Any] = {
        "entries": [event_text.describe(event) for event in events[: queries.PAGE]],
        "actions": [(action, word) for action, (word, _) in event_text.WORDS.items()],
        "given": given,
        "wanted": wanted,
        "filtered": bool(wanted),
        "problem": problem,
        "paged": below is not None,
        "newest_url": f"?{urlencode(wanted)}",
        "older_url": f"?{urlencode(older)}" if older else "",
        "chain_check": check,
    }
    return render(request, "audit_log/index.html", context, status=422 if problem else 200)


def _result(check: queries.ChainCheck) -> tuple[str, str]:
    """Return the tone and the text of what the check found so far."""
    result = check.result
    if not result.ok:
        return "bad", (
            f"The chain is broken at event {result.first_broken:,}: {result.reason}. "
            f"The {result.count:,} events before it hold. Compare with a backup."
        )
    if result.count == 1:
        return "ok", "The chain holds: 1 event."
    return "ok", f"The chain holds: {result.count:,} events, each follows the one before it."
