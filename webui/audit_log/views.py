"""The audit log: read page by page, checked from its first event to its last, exported."""

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

from core.pagination import Page
from templatemgr import audit
from templatemgr.models import AuditEvent
from webui.audit_log import event_text, queries
from webui.audit_log.forms import AuditFilters, ExportForm
from webui.http import HtmxHttpRequest
from webui.shell import decorators, fields


@decorators.page
def index(request: HttpRequest) -> HttpResponse:
    """Show a page of events, newest first."""
    return _page(request)


@decorators.change("templatemgr.verify_audit")
def verify(request: HtmxHttpRequest) -> HttpResponseBase:
    """Check one part of the chain. htmx requests the next part automatically."""
    part = bool(request.htmx)
    try:
        check = queries.check_chain(request.POST.get("state", ""))
    except queries.StaleCheckError as error:
        messages.error(request, error.message, extra_tags="bad")
        return decorators.redirect_whole_page(request, redirect("audit"))
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
    """Send the events of the filters as a file, with the hashes that prove them."""
    form = ExportForm(request.POST)
    if not form.is_valid():
        messages.error(request, fields.first_error(form), extra_tags="bad")
        return redirect("audit")
    file_format, submitted = form.cleaned_data["format"], form.submitted
    with transaction.atomic():
        event = audit.append(
            actor=decorators.actor(request),
            action="audit.export",
            object="audit",
            details={"format": file_format, "filters": submitted},
        )
    # Up to and including the event of this export; later events are left out.
    events = queries.filtered(form.cleaned_data).filter(sequence__lte=event.sequence)
    response = StreamingHttpResponse(
        queries.export(events, file_format), content_type=queries.FORMATS[file_format]
    )
    name = f"audit-{timezone.now():%Y-%m-%d}{'-part' if submitted else ''}.{file_format}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _page(request: HttpRequest, check: queries.ChainCheck | None = None) -> HttpResponse:
    filters = AuditFilters(request.GET, auto_id="f-%s")
    valid, submitted = filters.is_valid(), filters.submitted
    before = queries.NEWEST.cursor_or_none(request.GET.get("before", ""))
    page = queries.page(filters.cleaned_data, before=before) if valid else Page[AuditEvent]()
    context: dict[str, Any] = {
        "entries": [event_text.describe(event) for event in page.items],
        "filters": filters,
        "submitted": submitted,
        "problem": "" if valid else fields.first_error(filters),
        "paged": before is not None,
        "newest_url": f"?{urlencode(submitted)}",
        "older_url": f"?{urlencode({**submitted, 'before': page.next})}" if page.next else "",
        "chain_check": check,
    }
    return render(request, "audit_log/index.html", context, status=200 if valid else 422)


def _result(check: queries.ChainCheck) -> tuple[str, str]:
    """Return the tone and the text of the check's findings so far."""
    result = check.result
    if not result.ok:
        return "bad", (
            f"The chain is broken at event {result.first_broken:,}: {result.reason}. "
            f"The {result.count:,} events before it are valid. Compare with a backup."
        )
    if result.count == 1:
        return "ok", "The chain holds: 1 event."
    return "ok", f"The chain holds: {result.count:,} events, each follows the one before it."
