"""`/templates/{name}/versions/{number}/…`: verify, heal, and read the inputs of a version."""

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

router = Router(tags=["Templates"], by_alias=True)
ONE = "/{name}/versions/{number}"


@router.post(
    f"{ONE}/verify",
    auth=auth.change_templates,
    response={202: VersionOut, **ERRORS},
    summary="Verify a version",
)
def verify(request: HttpRequest, name: str, number: str) -> HttpResponse:
    """Verify every file again while executions run; `verification` of the version has the progress.

    A damaged version is quarantined, and healed if the server is configured to heal automatically.
    A request during a verification returns that verification.
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
    """Verify the version and heal it: from the store, or by a rebuild from its inputs.

    `verification` of the version has the progress and the id of the rebuild, if any.
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
    """List the inputs of the build; by Accept or `format`, return all of them as an archive."""
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
    """Return one input file, unchanged."""
    check_query(request, ())
    version = lists.find_version(name=name, number=number)
    files = export.inputs_of(template=name, version=version.number)
    content = next((file.content for file in files if file.path == path), None)
    if content is None:
        message = f"{version} was not built from a file {path[:200]!r}."
        return error_reply("not_found", message)
    return _download(content, "application/octet-stream", path.rpartition("/")[2])


def _download(data: bytes, kind: str, name: str) -> HttpResponse:
    # Send the file as a download, never as a page: the file can be HTML.
    headers = {
        "Content-Disposition": content_disposition_header(as_attachment=True, filename=name)
        or "attachment"
    }
    return HttpResponse(data, content_type=kind, headers=headers)
