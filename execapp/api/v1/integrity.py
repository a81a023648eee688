"""`/templates/{name}/versions/{number}/…`: verify, heal, and the files it was built from."""

from django.http import HttpRequest, HttpResponse
from django.utils.http import content_disposition_header
from ninja import Router

from execapp.api.http import auth
from execapp.api.http.error_replies import error_reply
from execapp.api.http.openapi import ERRORS, streamed
from execapp.api.http.responses import MEDIA_TYPES, actor_of, check_query, reply, wanted_form
from execapp.api.presenters.versions import present_version
from execapp.api.v1.schemas.versions import InputsOut, VersionOut
from templatemgr import lists
from templatemgr.build import export
from templatemgr.maintenance import verification

router = Router(tags=["Templates"])
ONE = "/{name}/versions/{number}"


@router.post(
    f"{ONE}/verify",
    auth=auth.change_templates,
    response={202: VersionOut, **ERRORS},
    summary="Verify a version",
)
def verify(request: HttpRequest, name: str, number: str) -> HttpResponse:
    """Read every file again, beside executions; `verification` of the version tells how far it is.

    What is damaged is quarantined, and healed where the server is set up to heal by itself. Asking
    while one is under way gives that one.
    """
    check_query(request, ())
    version = lists.find_version(name=name, number=number)
    verification.request(template=name, version=version.number, actor=actor_of(request))
    return reply(present_version(lists.find_version(name=name, number=number)), status=202)


@router.post(
    f"{ONE}/heal",
    auth=auth.change_templates,
    response={202: VersionOut, **ERRORS},
    summary="Heal a version",
)
def heal(request: HttpRequest, name: str, number: str) -> HttpResponse:
    """Verify it, and make whole what is damaged: from the store, or by a rebuild of its inputs.

    `verification` of the version tells how far it is, and names the rebuild if there is one.
    """
    check_query(request, ())
    version = lists.find_version(name=name, number=number)
    verification.request_healing(template=name, version=version.number, actor=actor_of(request))
    return reply(present_version(lists.find_version(name=name, number=number)), status=202)


@router.get(
    f"{ONE}/inputs",
    auth=auth.read,
    response={200: InputsOut, **ERRORS},
    openapi_extra=streamed(MEDIA_TYPES["tar.gz"], form=("json", "tar.gz")),
    summary="List or download the inputs of a version",
)
def inputs(request: HttpRequest, name: str, number: str) -> HttpResponse:
    """Return the files of its build; by Accept or `format` all of them as an archive."""
    check_query(request, ("format",))
    form = wanted_form(request, "tar.gz")
    version = lists.find_version(name=name, number=number)
    if form == "tar.gz":
        data = export.archive(template=name, version=version.number)
        return _download(data, MEDIA_TYPES[form], f"{name}-{version.number}.tar.gz")
    items = [
        {"path": file.path, "size_bytes": len(file.content), "executable": file.executable}
        for file in export.inputs_of(template=name, version=version.number)
    ]
    digest = f"sha256:{version.definition_digest}"
    return reply({"version": version.number, "definition_digest": digest, "items": items})


@router.get(
    ONE + "/inputs/{path:path}",
    auth=auth.read,
    response={200: None, **ERRORS},
    openapi_extra=streamed("application/octet-stream"),
    summary="Download an input of a version",
)
def one_input(request: HttpRequest, name: str, number: str, path: str) -> HttpResponse:
    """One of these files, as it is."""
    check_query(request, ())
    version = lists.find_version(name=name, number=number)
    files = export.inputs_of(template=name, version=version.number)
    content = next((file.content for file in files if file.path == path), None)
    if content is None:
        message = f"{version} was not built from a file {path[:200]!r}."
        return error_reply("not_found", message)
    return _download(content, "application/octet-stream", path.rpartition("/")[2])


def _download(data: bytes, kind: str, name: str) -> HttpResponse:
    # A file to keep, never a page: it could be HTML.
    headers = {
        "Content-Disposition": content_disposition_header(as_attachment=True, filename=name)
        or "attachment"
    }
    return HttpResponse(data, content_type=kind, headers=headers)
