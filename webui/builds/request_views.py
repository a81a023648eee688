"""Requests for a build: rebuild, refresh, update or edit, from the definition or from a version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from execapp.errors import ExecutionError
from execapp.services import health, storage
from templatemgr import catalog
from templatemgr.build import builds, inputs, lookups
from templatemgr.build.inputs import Inputs
from templatemgr.builders import native, registry
from templatemgr.builders.base import Candidate
from templatemgr.errors import TemplateError, UnavailableError
from templatemgr.models import Build, BuildKind, Lookup, LookupState, Template, Version
from webui.builds import input_editor, queries
from webui.builds.forms import BuildRequestForm, EditForm, NewBuildForm
from webui.builds.input_editor import Edit
from webui.builds.update_offers import Offers, offers
from webui.http import HtmxHttpRequest
from webui.shell import decorators, fields

BUILD = "templatemgr.build_version"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of build as the page offers it; `says` explains it."""

    name: str
    title: str
    says: str


KINDS = (
    Kind(
        name="rebuild",
        title="Rebuild",
        says="The same lock. If nothing else changed, the result is the same, byte for byte.",
    ),
    Kind(
        name="refresh",
        title="Refresh",
        says="A new lock first, with the newest version of each package within its range.",
    ),
    Kind(
        name="update",
        title="Update",
        says="Update the chosen packages, within their ranges or to a version that you name.",
    ),
    Kind(name="edit", title="Edit", says="Change the input files first, and see the difference."),
)


@decorators.page_for(BUILD)
def new(request: HttpRequest, name: str) -> HttpResponse:
    """Show the choice of a kind of build, and of the inputs that it starts from."""
    chosen = fields.values(NewBuildForm(request.GET))
    if chosen.get("again"):
        return _again(request, name, builds.get(build_id=chosen["again"]))
    return _page(
        request,
        name,
        _kind(chosen.get("kind")),
        chosen.get("from"),
        packages=chosen.get("package") or (),
        files=chosen.get("file") or (),
    )


@decorators.change(BUILD)
def request_build(request: HttpRequest, name: str) -> HttpResponse:
    """Request a build and go to its log. A refusal shows the page with all that was chosen."""
    form = BuildRequestForm(request.POST)
    chosen = fields.values(form)
    kind, version = chosen.get("kind", ""), chosen.get("from_version")
    packages = form.packages if kind == BuildKind.UPDATE else []
    try:
        build = builds.request(
            template=name,
            kind=kind,
            actor=decorators.actor(request),
            from_version=version,
            packages=packages,
        )
    except (TemplateError, ExecutionError) as error:
        if isinstance(error, decorators.UNKNOWN):
            raise
        return _page(
            request,
            name,
            _kind(kind),
            version,
            packages=packages,
            problem=error.message,
            status=409,
        )
    return redirect("build", build.pk)


@decorators.change(BUILD)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Do one step of an edit: open another file, show the difference, or request the build."""
    form = EditForm(request.POST)
    chosen = fields.values(form)
    version = chosen.get("from_version")
    try:
        source = inputs.read(template=name, version=version)
    except UnavailableError:
        return _page(request, name, BuildKind.EDIT, version, status=409)
    edited = input_editor.proceed(
        source,
        form.texts,
        action=chosen.get("do", ""),
        path=chosen.get("open", ""),
        digest=chosen.get("digest", ""),
    )
    if chosen.get("do") != "build" or edited.problem or not edited.changed:
        return _edit_page(request, name, source, edited)
    try:
        build = builds.request(
            template=name,
            kind=BuildKind.EDIT,
            actor=decorators.actor(request),
            from_version=_number(source),
            files=edited.changed,
            admit=storage.edit_admission(token=None, client=decorators.actor(request)),
        )
    except (TemplateError, ExecutionError) as error:
        return _edit_page(request, name, source, edited, problem=error.message)
    return redirect("build", build.pk)


@decorators.change(BUILD)
def request_lookup(request: HtmxHttpRequest, name: str) -> HttpResponse:
    """Request a lookup in the registry. htmx gets the part of the page that waits for it."""
    version = fields.values(BuildRequestForm(request.POST)).get("from_version")
    try:
        lookups.request(template=name, actor=decorators.actor(request), from_version=version)
    except TemplateError as error:
        return decorators.refuse(request, error, "template", name)
    if request.htmx:
        return _packages(request, name, inputs.read(template=name, version=version))
    return redirect(_address(name, BuildKind.UPDATE, version))


@decorators.page_for(BUILD)
def packages(request: HttpRequest, name: str) -> HttpResponse:
    """Show the packages that can move, for htmx during a lookup."""
    version = fields.values(NewBuildForm(request.GET)).get("from")
    try:
        source = inputs.read(template=name, version=version)
    except UnavailableError:  # the page says why the inputs cannot be read
        return HttpResponseClientRedirect(_address(name, BuildKind.UPDATE, version))
    return _packages(request, name, source)


def _packages(request: HttpRequest, name: str, source: Inputs) -> HttpResponse:
    context = _update_context(catalog.get(name=name), source, ())
    return render(request, "builds/_packages.html", context)


def _again(request: HttpRequest, name: str, build: Build) -> HttpResponse:
    """Show the page with the choices of a build that failed."""
    if build.template.name != name:
        message = f"That build belongs to the template {build.template.name}."
        raise Http404(message)
    version = build.from_version.number if build.from_version else None
    if build.kind == BuildKind.EDIT:
        try:
            source = inputs.read(template=name, version=version)
        except UnavailableError:
            return _page(request, name, BuildKind.EDIT, version)
        files = {path: text for path, text in build.options["files"].items() if source.text(path)}
        return _edit_page(request, name, source, Edit(files=files, changed=files))
    chosen = [str(package) for package in build.options.get("packages", [])]
    return _page(request, name, build.kind, version, packages=chosen)


def _page(
    request: HttpRequest,
    name: str,
    kind: str,
    version: int | None,
    *,
    packages: Sequence[str] = (),
    files: Sequence[str] = (),
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    template = catalog.get(name=name)
    context = _context(template, kind, version)
    try:
        source = inputs.read(template=name, version=version)
    except UnavailableError as error:
        context |= {"problem": error.message, "unreadable": True}
        return render(request, "builds/new.html", context, status=status)
    context["problem"] = problem
    if kind == BuildKind.UPDATE:
        context |= _update_context(template, source, tuple(packages))
        context["others"] = " ".join(_not_offered(context["offers"], packages))
    if kind == BuildKind.EDIT:
        edited = input_editor.start(source, files)
        context |= _edit_context(source, edited) | {"problem": problem or edited.problem}
    return render(request, "builds/new.html", context, status=status)


def _edit_page(
    request: HttpRequest, name: str, source: Inputs, edited: Edit, *, problem: str = ""
) -> HttpResponse:
    template = catalog.get(name=name)
    context = _context(template, BuildKind.EDIT, _number(source)) | _edit_context(source, edited)
    context["problem"] = problem or edited.problem
    status = 409 if context["problem"] else 200
    return render(request, "builds/new.html", context, status=status)


def _kind(text: str | None) -> str:
    """Return the kind that the page shows; a rebuild when the text names none."""
    return text if text in BuildKind.values else BuildKind.REBUILD


def _number(source: Inputs) -> int | None:
    return source.version.number if source.version else None


def _not_offered(offered: Offers, packages: Sequence[str]) -> list[str]:
    """Return the packages that the table does not offer: they were typed by name."""
    choices = {
        choice.value
        for offer in offered.movable
        for choice in (offer.ranged, offer.newest)
        if choice
    }
    return [value for value in packages if value not in choices]


def _context(template: Template, kind: str, version: int | None) -> dict[str, Any]:
    return {
        "template": template,
        "kind": next(known for known in KINDS if known.name == kind),
        "kinds": [(known, _address(template.name, known.name, version)) for known in KINDS],
        "source": version,
        "versions": queries.version_numbers(template),
        "estimate": builds.estimate_seconds(template.name),
    }


def _update_context(
    template: Template, source: Inputs, ticked: tuple[str, ...]
) -> Mapping[str, Any]:
    builder = source.definition.builder
    lookup = lookups.newest(template=template.name, digest=source.digest)
    can_look = registry.update_finder(builder) is not None
    # During a lookup nothing is offered: its answer would replace the table under the user's hand.
    unanswered = can_look and (lookup is None or lookup.state != LookupState.FAILED)
    basis = None if unanswered else source.version or template.current
    return {
        "template": template,
        "source": _number(source),
        "can_update": registry.updater(builder) is not None,
        "can_look": can_look,
        "builder": builder,
        "lookup": lookup,
        "waits": lookup is not None
        and not lookup.finished
        and not health.snapshot().executor_alive,
        "offers": offers(_answer(lookup), _movable(basis), ticked),
    }


def _movable(version: Version | None) -> list[Mapping[str, Any]]:
    """Return the recorded packages of a version that an update can move."""
    rows = version.packages if version else []
    return [row for row in rows if not native.is_compiler(row)]


def _answer(lookup: Lookup | None) -> list[Candidate]:
    return lookups.answered(lookup) if lookup is not None else []


def _edit_context(source: Inputs, edited: Edit) -> dict[str, Any]:
    return {
        "edit": edited,
        "editors": [
            input_editor.editor(path, text, edited.fault) for path, text in edited.files.items()
        ],
        "closed": [path for path in source.files if path not in edited.files],
        "digest": source.digest,
    }


def _address(name: str, kind: str, version: int | None) -> str:
    query = {"kind": kind} | ({"from": str(version)} if version is not None else {})
    return f"{reverse('new_build', args=[name])}?{urlencode(query)}"
