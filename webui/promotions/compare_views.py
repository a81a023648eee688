"""Two versions side by side: what moved, how far, at what risk; and the promotion that follows."""

from dataclasses import dataclass
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from core import parsing
from templatemgr import catalog, data_paths
from templatemgr.difference import Difference
from templatemgr.errors import UnavailableError
from templatemgr.models import Template, Version
from templatemgr.promotion import comparison as differences
from templatemgr.promotion import gates
from webui.promotions import config_diff
from webui.promotions.change_review import FILES_SHOWN, Weighed, weigh
from webui.promotions.package_changes import compare as compare_packages
from webui.shell import decorators
from webui.templatetags.stencil import size

TITLES = {
    "ready": "Built",
    "smoke": "Smoke",
    "healthy": "Integrity",
    "unpinned": "Not pinned",
    "origins": "Registries",
}


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """A gate under the name that the page gives it. `closed`: it stands in the way."""

    name: str
    title: str
    ok: bool
    closed: bool
    essential: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Two versions side by side. `old` is None for a template's first promotion."""

    old: Version | None
    new: Version
    weighed: Weighed

    @property
    def size_word(self) -> str:
        """How many bytes more or less the new one has."""
        moved = self.new.size_bytes - (self.old.size_bytes if self.old else 0)
        return (
            f"{size(abs(moved))} {'less' if moved < 0 else 'more'} than" if moved else "as much as"
        )

    @property
    def files_word(self) -> str:
        """How many files more or fewer the new one has."""
        moved = self.new.file_count - (self.old.file_count if self.old else 0)
        return (
            f"{abs(moved):,} {'fewer' if moved < 0 else 'more'} than in"
            if moved
            else "as many as in"
        )

    @property
    def same_definition(self) -> bool:
        """Whether both come from the same inputs, lock included."""
        return self.old is not None and self.old.definition_digest == self.new.definition_digest

    @property
    def same_tree(self) -> bool:
        """Whether both trees are the same to the byte."""
        return self.old is not None and self.old.tree_digest == self.new.tree_digest


@decorators.page
def choose(request: HttpRequest, name: str) -> HttpResponse:
    """Choose any two versions to compare; with both chosen, off to their comparison."""
    template = catalog.get(name=name)
    old, new = (parsing.whole_or_none(request.GET.get(side, "")) for side in ("old", "new"))
    if old is not None and new is not None:
        return redirect("compare", name, old, new)
    versions = template.versions.order_by("-number").values_list("number", "created_at")
    context = {"template": template, "versions": versions[:500], "old": old, "new": new}
    return render(request, "promotions/choose.html", context)


@decorators.page
def compare(request: HttpRequest, name: str, old: int, new: int) -> HttpResponse:
    """What moves from `old` (0: nothing yet) to `new`; from the current one also its promotion."""
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
    """The comparison's page; with a problem it is the answer to a refused promotion (409)."""
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


def two_sides(old: Version | None, new: Version, difference: Difference | None = None) -> Sides:
    """Put two versions side by side."""
    packages = compare_packages(old.packages if old else [], new.packages)
    return Sides(old=old, new=new, weighed=weigh(packages, difference))


def gate_rows(version: Version) -> list[GateRow]:
    """The gates of this version's promotion, with what a reader wants to know of each."""
    return [
        GateRow(
            name=gate.name,
            title=title_of(gate.name),
            ok=gate.ok,
            closed=gate.closed,
            essential=gate.name in gates.ESSENTIAL,
            detail=gate.detail,
        )
        for gate in gates.evaluate(version=version)
    ]


def title_of(gate: str) -> str:
    """The name that pages give a gate; one that came later is called as it calls itself."""
    return TITLES.get(gate, gate.replace("_", " ").capitalize())


def compare_with(template: Template, version: Version) -> int | None:
    """The number to compare a version with: the current one, or for that the one before it."""
    if template.current is not None and template.current_id != version.pk:
        return template.current.number
    older = template.versions.filter(number__lt=version.number).order_by("-number")
    return older.values_list("number", flat=True).first()


def _difference(old: Version | None, new: Version) -> tuple[Difference | None, str]:
    """What both keep, compared; or why it cannot be, which hides no more than the details."""
    if old is None:
        return None, ""
    try:
        found = differences.compare(template=new.template.name, old=old.number, new=new.number)
    except UnavailableError as error:
        return None, error.message
    return found, ""


def _inputs(version: Version) -> Path:
    """The folder of the files that a version was built from, which it keeps."""
    return data_paths.version(version) / "inputs"
