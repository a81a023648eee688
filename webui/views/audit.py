"""The audit trail: read by page, and walked from its first event to its last."""

from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render

from templatemgr import audit
from templatemgr.models import AuditEvent
from webui import acts
from webui.views import guards

PAGE = 50
FIELDS = ("action", "object", "actor")


@guards.page
def index(request: HttpRequest) -> HttpResponse:
    """A page of events, newest first, below a sequence number."""
    given = {name: request.GET.get(name, "").strip() for name in FIELDS}
    before = request.GET.get("before", "")
    below = int(before) if before.isascii() and before.isdecimal() and len(before) < 19 else None
    events = list(chosen(given, below)[: PAGE + 1])
    more = len(events) > PAGE
    wanted = {name: value for name, value in given.items() if value}
    older = {**wanted, "before": events[PAGE - 1].sequence} if more else {}
    context = {
        "acts": [acts.read(event) for event in events[:PAGE]],
        "actions": [(action, word) for action, (word, _) in acts.WORDS.items()],
        "given": given,
        "filtered": bool(wanted),
        "paged": below is not None,
        "newest_url": f"?{urlencode(wanted)}",
        "older_url": f"?{urlencode(older)}" if older else "",
    }
    return render(request, "webui/audit.html", context)


@guards.change("templatemgr.verify_audit")
def verify(request: HttpRequest) -> HttpResponseRedirect:
    """Walk the whole chain and say what was found."""
    result = audit.verify_chain()
    if result.ok:
        text = f"The chain holds: {result.count:,} events, each follows the one before it."
        guards.done(request, text if result.count != 1 else "The chain holds: 1 event.")
    else:
        text = (
            f"The chain is broken at event {result.first_broken:,}: {result.reason}. "
            f"The {result.count:,} events before it hold. Compare with a backup."
        )
        messages.error(request, text, extra_tags="bad")
    return redirect("audit")


def chosen(given: dict[str, str], below: int | None) -> QuerySet[AuditEvent]:
    """The events of these filters; a template's name stands for its versions too."""
    events = AuditEvent.objects.order_by("-sequence")
    if given["action"]:
        events = events.filter(action=given["action"])
    if given["actor"]:
        events = events.filter(actor=given["actor"])
    if name := given["object"]:
        # "name@…" as a range, which an index serves: "A" is the character after "@".
        events = events.filter(Q(object=name) | Q(object__gte=f"{name}@", object__lt=f"{name}A"))
    return events if below is None else events.filter(sequence__lt=below)
