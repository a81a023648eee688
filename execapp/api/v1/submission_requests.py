"""The body of a submission as the request that `submissions.submit` takes."""

import hashlib
import json

from django.http import HttpRequest

from execapp.api.http.responses import token_of
from execapp.api.v1.schemas.executions import SubmissionIn
from execapp.cases.asked import Case, CasesRequest
from execapp.errors import Field, InvalidRequestError
from execapp.requests import Idempotency, SubmissionRequest


def make_request(
    request: HttpRequest, body: SubmissionIn, idempotency: Idempotency | None
) -> SubmissionRequest:
    """Return the submission of the request's token."""
    token = token_of(request)
    return SubmissionRequest(
        client=token.name,
        token=token,
        template=body.template,
        mode=body.mode,
        files=[file.model_dump() for file in body.files],
        entry=body.entry,
        args=body.args,
        stdin=body.stdin,
        env=body.env,
        limits=body.limits.model_dump(exclude_none=True),
        labels=body.labels,
        collect=body.collect or (),
        idempotency=idempotency,
        callback_url=body.callback_url,
        cases=_cases(body),
    )


def _cases(body: SubmissionIn) -> CasesRequest | None:
    """Return the cases; InvalidRequestError if their settings stand alone."""
    if body.cases is None:
        # Their defaults are taken: generated clients send them.
        given = {"compare": body.compare != "exact", "stop_on_failure": body.stop_on_failure}
        alone = [name for name, is_given in given.items() if is_given]
        if alone:
            text = "Give cases too: this has no effect without them."
            raise InvalidRequestError([Field(path=name, message=text) for name in alone])
        return None
    compare = body.compare
    return CasesRequest(
        items=[
            Case(
                name=case.name,
                stdin=case.stdin,
                args=case.args,
                env=case.env,
                expected_stdout=case.expected_stdout,
                limits=case.limits.model_dump(exclude_none=True),
            )
            for case in body.cases
        ],
        compare=compare if isinstance(compare, str) else {"float": compare.tolerance},
        stop_on_failure=body.stop_on_failure,
    )


def idempotency_key(request: HttpRequest) -> str | None:
    """Return the header `Idempotency-Key`, or None. Raises InvalidRequestError."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        text = "Give 1 to 255 printable ASCII characters."
        raise InvalidRequestError([Field(path="Idempotency-Key", message=text)])
    return key


def document_hash(document: object) -> str:
    """Return the hash of a JSON document; the order of keys and white space do not change it."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def document_of(request: HttpRequest) -> object:
    """Return the JSON of the body, as the parser read it."""
    document: object = vars(request)["document"]
    return document
