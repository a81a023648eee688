"""One version, and what moves from one to another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render

from execapp.services import keeping
from templatemgr.models import Template, Version
from templatemgr.services import catalog, places, promotions, verification
from webui import configuration
from webui.comparison import Comparison
from webui.comparison import compare as compare_packages
from webui.templatetags.stencil import size
from webui.views import guards

PROBLEMS_SHOWN = 50
GATES = {
    "ready": "Built",
    "smoke": "Smoke",
    "healthy": "Integrity",
    "unpinned": "Not pinned",
}


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """A gate under the name that the page gives it."""

    name: str
    title: str
    ok: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Two versions side by side. `old` is None for a template's first promotion."""

    old: Version | None
    new: Version
    packages: Comparison

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
    def size_word(self) -> str:
        """How many bytes more or less the new one has."""
        moved = self.new.size_bytes - (self.old.size_bytes if self.old else 0)
        return (
            f"{size(abs(moved))} {'less' if moved < 0 else 'more'} than" if moved else "as much as"
        )

    @property
    def same_definition(self) -> bool:
        """Whether both come from the same inputs, lock included."""
        return self.old is not None and self.old.definition_digest == self.new.definition_digest

    @property
    def same_tree(self) -> bool:
        """Whether both trees are the same to the byte."""
        return self.old is not None and self.old.tree_digest == self.new.tree_digest


@guards.page
def detail(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Everything that is known of one version."""
    version = catalog.get_version(template=name, number=number)
    template = catalog.get(name=name)
    context = {
        "template": template,
        **integrity_of(version),
        "is_current": version.pk == template.current_id,
        "compare_with": compare_with(template, version),
        "packages": sorted(version.packages, key=lambda item: (not item["direct"], item["name"])),
    }
    return render(request, "webui/templates/version.html", context)


@guards.page
def verification_progress(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The card of a version's integrity, for htmx while files are read again."""
    version = catalog.get_version(template=name, number=number)
    context = {"template": version.template, **integrity_of(version)}
    answer = render(request, "webui/templates/_integrity.html", context)
    last = context["verification"]
    if "HX-Request" in request.headers and (last is None or last.finished):
        answer["HX-Refresh"] = "true"  # what was found concerns the whole page
    return answer


@guards.change("templatemgr.verify_version")
def verify(request: HttpRequest, name: str, number: int) -> HttpResponseRedirect:
    """Ask for every file of a version to be read again; its page shows how far that is."""
    keeping.request_verification(template=name, version=number, actor=guards.actor(request))
    guards.done(request, f"Version {number} is read again, file by file: its page shows the end.")
    if request.POST.get("back") == "template":
        return redirect("template", name)
    return redirect("version", name, number)


def integrity_of(version: Version) -> dict[str, Any]:
    """What the card of a version's integrity shows."""
    return {
        "version": version,
        "verification": verification.latest(version=version),
        "problems": version.health.problems[:PROBLEMS_SHOWN],
        "problems_left": max(0, len(version.health.problems) - PROBLEMS_SHOWN),
    }


@guards.page
def compare(request: HttpRequest, name: str, old: int, new: int) -> HttpResponse:
    """What moves from `old` (0: nothing yet) to `new`; from the current one also its promotion."""
    return render_comparison(request, name=name, old=old, new=new)


def render_comparison(
    request: HttpRequest, *, name: str, old: int, new: int, reason: str = "", problem: str = ""
) -> HttpResponse:
    """The comparison's page; with a problem it is the answer to a refused promotion (409)."""
    template = catalog.get(name=name)
    target = catalog.get_version(template=name, number=new)
    source = catalog.get_version(template=name, number=old) if old else None
    is_promotion = target.pk != template.current_id and (
        template.current_id is None if source is None else source.pk == template.current_id
    )
    gates = gate_rows(target)
    context = {
        "template": template,
        "sides": two_sides(source, target),
        "configuration": configuration.changes(_inputs(source), _inputs(target)) if source else [],
        "gates": gates,
        "smoke_ms": sum(case["ms"] for case in target.smoke),
        "passed": sum(gate.ok for gate in gates),
        "open": all(gate.ok for gate in gates),
        "promoting": is_promotion or bool(problem),
        "is_current": target.pk == template.current_id,
        "reason": reason,
        "problem": problem,
    }
    status = 409 if problem else 200
    return render(request, "webui/templates/compare.html", context, status=status)


def two_sides(old: Version | None, new: Version) -> Sides:
    """Put two versions side by side."""
    packages = compare_packages(old.packages if old else [], new.packages)
    return Sides(old=old, new=new, packages=packages)


def gate_rows(version: Version) -> list[GateRow]:
    """The gates of this version's promotion, with what a reader wants to know of each."""
    return [
        GateRow(
            name=gate.name,
            title=GATES.get(gate.name, gate.name.capitalize()),
            ok=gate.ok,
            detail=gate.detail,
        )
        for gate in promotions.gates(version=version)
    ]


def compare_with(template: Template, version: Version) -> int | None:
    """The number to compare a version with: the current one, or for that the one before it."""
    if template.current is not None and template.current_id != version.pk:
        return template.current.number
    older = template.versions.filter(number__lt=version.number).order_by("-number")
    return older.values_list("number", flat=True).first()


def _inputs(version: Version) -> Path:
    """The folder of the files that a version was built from, which it keeps."""
    return places.version(version) / "inputs"
