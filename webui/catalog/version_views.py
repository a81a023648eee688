"""Pages of one version: its record, its inputs, its integrity, its removal."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from templatemgr import catalog
from templatemgr.build import inputs
from templatemgr.errors import TemplateError
from templatemgr.maintenance import retrying, verification
from templatemgr.models import HealthState, Version
from templatemgr.promotion import promotions, removal
from webui.http import HtmxHttpRequest
from webui.promotions.forms import ReasonForm
from webui.promotions.queries import compare_with
from webui.shell import confirmations, decorators, fields
from webui.templatetags.stencil import size

PROBLEMS_SHOWN = 50
FORMS = {"tar.gz": "application/gzip", "zip": "application/zip"}


@decorators.page
def detail(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Show one version: its record, health, smoke results and packages."""
    version = catalog.get_version(template=name, number=number)
    template = catalog.get(name=name)
    is_current = version.pk == template.current_id
    previous = promotions.previous(template) if is_current else None
    found = []
    if previous is not None and decorators.may(request, "templatemgr.promote_version"):
        found.append(confirmations.roll_back(template, previous))
    context = {
        "template": template,
        **integrity_of(version),
        "is_current": is_current,
        "removed": version.health.state == HealthState.RETIRED,
        "previous": previous,
        "compare_with": compare_with(template, version),
        "packages": sorted(version.packages, key=lambda item: (not item["direct"], item["name"])),
        "confirmations": found,
    }
    return render(request, "catalog/version.html", context)


@decorators.page
def download_inputs(_request: HttpRequest, name: str, number: int, form: str) -> HttpResponse:
    """Send the files that a version was built from, as an archive."""
    if form not in FORMS:
        message = f"There is no archive of the format {form!r}."
        raise Http404(message)
    packed = inputs.archive(
        template=name, version=number, form="zip" if form == "zip" else "tar.gz"
    )
    response = HttpResponse(packed, content_type=FORMS[form])
    response["Content-Disposition"] = f'attachment; filename="{name}-{number}-inputs.{form}"'
    return response


@decorators.page
def verification_progress(request: HtmxHttpRequest, name: str, number: int) -> HttpResponse:
    """Show the card of a version's integrity, for htmx during a verification."""
    version = catalog.get_version(template=name, number=number)
    context = {"template": version.template, **integrity_of(version)}
    answer = render(request, "catalog/_integrity.html", context)
    last = context["verification"]
    if request.htmx and (last is None or last.finished):
        answer["HX-Refresh"] = "true"  # the result concerns the whole page
    return answer


@decorators.change("templatemgr.verify_version")
def verify(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Request a verification of every file of a version; its page shows the progress."""
    verification.request(template=name, version=number, actor=decorators.actor(request))
    decorators.done(
        request, f"All files of version {number} are verified: its page shows the result."
    )
    if request.POST.get("back") == "template":
        return redirect("template", name)
    return redirect("version", name, number)


def integrity_of(version: Version) -> dict[str, Any]:
    """Return the context of the card of a version's integrity."""
    return {
        "version": version,
        "verification": verification.latest(version=version),
        "problems": version.health.problems[:PROBLEMS_SHOWN],
        "problems_left": max(0, len(version.health.problems) - PROBLEMS_SHOWN),
        "doubts": version.health.doubts[:PROBLEMS_SHOWN],
        "doubts_left": max(0, len(version.health.doubts) - PROBLEMS_SHOWN),
        "tries": retrying.tries(version=version) if version.health.tries else [],
    }


@decorators.change("templatemgr.heal_version")
def heal(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Verify a version and heal it: from the store, else by a rebuild."""
    actor = decorators.actor(request)
    verification.request(template=name, version=number, actor=actor, heal=True)
    decorators.done(request, f"Version {number} is verified again; damage is then healed.")
    return redirect("version", name, number)


@decorators.page
def confirm_removal(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Show how much disk space a removal frees, and the reasons against it."""
    if not decorators.may(request, "templatemgr.remove_version"):
        raise PermissionDenied
    version = catalog.get_version(template=name, number=number)
    context = {"confirmation": _removal(version), "template": version.template}
    return render(request, "shell/confirmation.html", context)


@decorators.change("templatemgr.remove_version")
def remove(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Remove the tree of a version from the disk."""
    form = ReasonForm(request.POST)
    reason = fields.values(form).get("reason", "")
    try:
        freed = removal.remove(
            template=name, version=number, actor=decorators.actor(request), reason=reason
        )
    except TemplateError as error:
        if isinstance(error, decorators.UNKNOWN):
            raise
        version = catalog.get_version(template=name, number=number)
        shown = _removal(version).refused(form.typed, error.message)
        context = {"confirmation": shown, "template": version.template}
        return render(request, "shell/confirmation.html", context, status=409)
    decorators.done(
        request,
        f"Version {number} is removed: {size(freed.bytes)} are free again. "
        "A rebuild from it restores it.",
    )
    return redirect("version", name, number)


def _removal(version: Version) -> confirmations.Confirmation:
    needed = removal.refusals(version=version)
    if version.health.state == HealthState.RETIRED:
        needed = ["it was removed already"]
    frees = None if needed else removal.would_free(version=version).bytes
    return confirmations.remove(version, frees=frees, needed=needed)
