"""Comparisons of two versions: their changes, the risks, and the promotion that follows."""

from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from templatemgr import catalog, data_paths
from templatemgr.difference import Difference
from templatemgr.errors import UnavailableError
from templatemgr.models import Version
from templatemgr.promotion import comparison
from webui.promotions import config_diff, queries
from webui.promotions.change_review import FILES_SHOWN
from webui.promotions.forms import CompareForm
from webui.promotions.gate_rows import gate_rows
from webui.promotions.sides import two_sides
from webui.shell import decorators, fields


@decorators.page
def choose(request: HttpRequest, name: str) -> HttpResponse:
    """Show the choice of two versions. With both chosen, redirect to their comparison."""
    template = catalog.get(name=name)
    chosen = fields.values(CompareForm(request.GET))
    old, new = chosen.get("old"), chosen.get("new")
    if old is not None and new is not None:
        return redirect("compare", name, old, new)
    context = {
        "template": template,
        "versions": queries.versions_to_compare(template),
        "old": old,
        "new": new,
    }
    return render(request, "promotions/choose.html", context)


@decorators.page
def compare(request: HttpRequest, name: str, old: int, new: int) -> HttpResponse:
    """Show the changes from `old` (0: no version) to `new`; from the current one, the promotion."""
    return render_comparison(request, name=name, old=old, new=new)


def render_comparison(
    request: HttpRequest,
    *,
    name: str,
    old: int,
    new: int,
    reason: str = "",
    problem: str = "",
    override: bool = False,
) -> HttpResponse:
    """Return the page of a comparison; with a problem, the reply to a refused promotion (409)."""
    template = catalog.get(name=name)
    target = catalog.get_version(template=name, number=new)
    source = catalog.get_version(template=name, number=old) if old else None
    is_promotion = target.pk != template.current_id and (
        template.current_id is None if source is None else source.pk == template.current_id
    )
    found = gate_rows(target)
    difference, unread = _difference(source, target)
    closed = [gate for gate in found if gate.closed]
    context = {
        "template": template,
        "sides": two_sides(source, target, difference),
        "unread": unread,
        "files_shown": difference.files.shown[:FILES_SHOWN] if difference else (),
        "configuration": config_diff.changes(_inputs(source), _inputs(target)) if source else [],
        "gates": found,
        "smoke_ms": sum(case["ms"] for case in target.smoke),
        "passed": sum(gate.ok for gate in found),
        "open": not closed,
        "overridable": bool(closed) and not any(gate.essential for gate in closed),
        "closed": closed,
        "promoting": is_promotion or bool(problem),
        "is_current": target.pk == template.current_id,
        "reason": reason,
        "problem": problem,
        "override": override,
    }
    status = 409 if problem else 200
    return render(request, "promotions/compare.html", context, status=status)


def _difference(old: Version | None, new: Version) -> tuple[Difference | None, str]:
    """Compare the kept files of both versions; or return the problem, which hides details only."""
    if old is None:
        return None, ""
    try:
        found = comparison.compare(template=new.template.name, old=old.number, new=new.number)
    except UnavailableError as error:
        return None, error.message
    return found, ""


def _inputs(version: Version) -> Path:
    """Return the folder of the files that a version was built from."""
    return data_paths.version(version) / "inputs"
