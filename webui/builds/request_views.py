"""Asking for a version: rebuild, refresh, update or edit, from the definition or any version."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from core import parsing
from execapp.errors import ExecutionError
from execapp.services import building, health
from templatemgr import catalog
from templatemgr.build import builds, lookups
from templatemgr.build import inputs as sources
from templatemgr.build.inputs import Inputs
from templatemgr.builders import registry
from templatemgr.builders.base import Candidate
from templatemgr.errors import TemplateError, UnavailableError
from templatemgr.models import Build, BuildKind, Lookup, LookupState, Template
from webui.builds.input_editor import Edit, editor, from_post, opened
from webui.builds.update_offers import chosen, offers
from webui.http import HtmxHttpRequest
from webui.shell import decorators

BUILD = "templatemgr.build_version"
VERSIONS_LISTED = 500


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of build as the page offers it."""

    name: str
    title: str
    says: str


KINDS = (
    Kind(
        name="rebuild",
        title="Rebuild",
        says="The same lock. When nothing else moved, it reproduces a version to the byte.",
    ),
    Kind(
        name="refresh",
        title="Refresh",
        says="A new lock first: the newest of everything that the ranges allow today.",
    ),
    Kind(
        name="update",
        title="Update",
        says="Chosen packages move, within their ranges or to a version you name.",
    ),
    Kind(name="edit", title="Edit", says="Change the input files first, and see the difference."),
)


@decorators.page_for(BUILD)
def new(request: HttpRequest, name: str) -> HttpResponse:
    """Choose what to build, and from what."""
    again = request.GET.get("again", "")
    if again:
        return _again(request, name, builds.get(build_id=again))
    kind = request.GET.get("kind", "")
    source = parsing.whole_or_none(request.GET.get("from", ""))
    known = kind if kind in BuildKind.values else BuildKind.REBUILD
    return _page(request, name, known, source, ticked=request.GET.getlist("package"))


@decorators.change(BUILD)
def request_build(request: HttpRequest, name: str) -> HttpResponse:
    """Ask for a build, and go where its log is; what is refused comes back as it was typed."""
    kind = request.POST.get("kind", "")
    source = parsing.whole_or_none(request.POST.get("from_version", ""))
    packages = chosen(request.POST) if kind == BuildKind.UPDATE else []
    try:
        build = building.request_build(
            template=name,
            kind=kind,
            actor=decorators.actor(request),
            from_version=source,
            packages=packages,
        )
    except (TemplateError, ExecutionError) as error:
        if isinstance(error, decorators.UNKNOWN):
            raise
        known = kind if kind in BuildKind.values else BuildKind.REBUILD
        return _page(
            request, name, known, source, ticked=packages, problem=error.message, status=409
        )
    return redirect("build", build.pk)


@decorators.change(BUILD)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """One step of an edit: open another file, see the difference, or build."""
    held = parsing.whole_or_none(request.POST.get("from_version", ""))
    try:
        source = sources.read(template=name, version=held)
    except UnavailableError:
        return _page(request, name, BuildKind.EDIT, held, ticked=[], status=409)
    edited = from_post(source, request.POST)
    if request.POST.get("do") != "build" or edited.problem or not edited.changed:
        return _edit_page(request, name, source, edited)
    try:
        build = building.request_build(
            template=name,
            kind=BuildKind.EDIT,
            actor=decorators.actor(request),
            from_version=source.version.number if source.version else None,
            files=edited.changed,
        )
    except (TemplateError, ExecutionError) as error:
        return _edit_page(request, name, source, edited, problem=error.message)
    return redirect("build", build.pk)


@decorators.change(BUILD)
def request_lookup(request: HtmxHttpRequest, name: str) -> HttpResponse:
    """Ask the registry; to htmx it gives the part of the page that waits for the answer."""
    source = parsing.whole_or_none(request.POST.get("from_version", ""))
    try:
        building.request_lookup(template=name, actor=decorators.actor(request), from_version=source)
    except TemplateError as error:
        return decorators.refuse(request, error, "template", name)
    if request.htmx:
        inputs = sources.read(template=name, version=source)
        context = _update_context(catalog.get(name=name), inputs, ())
        return render(request, "builds/_packages.html", context)
    return redirect(_address(name, BuildKind.UPDATE, source))


@decorators.page_for(BUILD)
def packages(request: HttpRequest, name: str) -> HttpResponse:
    """The packages that could move, for htmx while the registry is being asked."""
    source = parsing.whole_or_none(request.GET.get("from", ""))
    try:
        inputs = sources.read(template=name, version=source)
    except UnavailableError:  # the page says what is wrong with them
        address = _address(name, BuildKind.UPDATE, source)
        return HttpResponseClientRedirect(address)
    context = _update_context(catalog.get(name=name), inputs, ())
    return render(request, "builds/_packages.html", context)


def _again(request: HttpRequest, name: str, build: Build) -> HttpResponse:
    """The page as it was before a build that went wrong: nothing has to be chosen again."""
    if build.template.name != name:
        message = f"That build is of {build.template.name}."
        raise Http404(message)
    source = build.from_version.number if build.from_version else None
    if build.kind == BuildKind.EDIT:
        try:
            inputs = sources.read(template=name, version=source)
        except UnavailableError:
            return _page(request, name, BuildKind.EDIT, source, ticked=[])
        files = {path: text for path, text in build.options["files"].items() if inputs.text(path)}
        return _edit_page(request, name, inputs, Edit(files=files, changed=files))
    ticked = [str(package) for package in build.options.get("packages", [])]
    return _page(request, name, build.kind, source, ticked=ticked)


def _page(
    request: HttpRequest,
    name: str,
    kind: str,
    source: int | None,
    *,
    ticked: list[str],
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    template = catalog.get(name=name)
    try:
        inputs = sources.read(template=name, version=source)
    except UnavailableError as error:
        context = _context(template, kind, source) | {"problem": error.message, "unreadable": True}
        return render(request, "builds/new.html", context, status=status)
    context = _context(template, kind, source) | {"problem": problem}
    if kind == BuildKind.UPDATE:
        context |= _update_context(template, inputs, tuple(ticked))
        offered = {
            choice.value
            for offer in context["offers"].movable
            for choice in (offer.ranged, offer.newest)
            if choice
        }
        context["others"] = " ".join(value for value in ticked if value not in offered)
    if kind == BuildKind.EDIT:
        asked = request.GET.getlist("file")
        edited = opened(inputs, asked)
        context |= _edit_context(inputs, edited) | {"problem": problem or edited.problem}
    return render(request, "builds/new.html", context, status=status)


def _edit_page(
    request: HttpRequest, name: str, source: Inputs, edited: Edit, *, problem: str = ""
) -> HttpResponse:
    template = catalog.get(name=name)
    held = source.version.number if source.version else None
    context = _context(template, BuildKind.EDIT, held) | _edit_context(source, edited)
    context["problem"] = problem or edited.problem
    status = 409 if context["problem"] else 200
    return render(request, "builds/new.html", context, status=status)


def _context(template: Template, kind: str, source: int | None) -> dict[str, Any]:
    versions = template.versions.order_by("-number").values_list("number", flat=True)
    return {
        "template": template,
        "kind": next(known for known in KINDS if known.name == kind),
        "kinds": [(known, _address(template.name, known.name, source)) for known in KINDS],
        "source": source,
        "versions": versions[:VERSIONS_LISTED],
        "estimate": builds.estimate_seconds(template.name),
    }


def _update_context(
    template: Template, inputs: Inputs, ticked: tuple[str, ...]
) -> Mapping[str, Any]:
    builder = inputs.definition.builder
    lookup = lookups.newest(template=template.name, digest=inputs.digest)
    can_look = registry.update_finder(builder) is not None
    # While an answer is on its way nothing is offered that it would replace under somebody's hand.
    unanswered = can_look and (lookup is None or lookup.state != LookupState.FAILED)
    held = None if unanswered else inputs.version or template.current
    return {
        "template": template,
        "source": inputs.version.number if inputs.version else None,
        "can_update": registry.updater(builder) is not None,
        "can_look": can_look,
        "builder": builder,
        "lookup": lookup,
        "waits": lookup is not None
        and not lookup.finished
        and not health.snapshot().executor_alive,
        "offers": offers(_answer(lookup), held.packages if held else [], ticked),
    }


def _answer(lookup: Lookup | None) -> list[Candidate]:
    return lookups.answered(lookup) if lookup is not None else []


def _edit_context(inputs: Inputs, edited: Edit) -> dict[str, Any]:
    return {
        "edit": edited,
        "editors": [editor(path, text, edited.fault) for path, text in edited.files.items()],
        "closed": [path for path in inputs.files if path not in edited.files],
        "digest": inputs.digest,
    }


def _address(name: str, kind: str, source: int | None) -> str:
    query = {"kind": kind} | ({"from": str(source)} if source is not None else {})
    return f"{reverse('new_build', args=[name])}?{urlencode(query)}"
