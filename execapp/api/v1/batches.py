"""`/executions/batch`: many submissions in one request, each answered on its own."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import pydantic
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Router

from execapp.api.http import auth, deferred, error_replies
from execapp.api.http.openapi import ERRORS, idempotency_header
from execapp.api.http.responses import MEDIA_TYPES, check_query, token_of, wait_seconds
from execapp.api.presenters.executions import present_execution
from execapp.api.v1 import submission_requests
from execapp.api.v1.schemas.executions import BatchIn, BatchOut, SubmissionIn
from execapp.errors import ExecutionError
from execapp.requests import Idempotency, SubmissionRequest
from execapp.services import submissions

if TYPE_CHECKING:
    from execapp.models import Execution

router = Router(tags=["Executions"], by_alias=True)

type Item = dict[str, Any]


@router.post(
    "/batch",
    auth=auth.execute,
    response={200: BatchOut, **ERRORS},
    openapi_extra=idempotency_header(),
)
def batch(request: HttpRequest, body: BatchIn) -> HttpResponseBase:
    """Submit 1 to 100 submissions, each of which is accepted or refused on its own.

    Each counts as a request. `Idempotency-Key` holds for each submission at its place: repeat the
    batch with the same key to submit only those that were refused.
    """
    check_query(request, ())
    key = submission_requests.idempotency_key(request)
    parsed = [_parse(request, place, raw, key) for place, raw in enumerate(body.submissions)]
    seconds = _longest_wait(body)
    permit = deferred.acquire_wait(str(token_of(request).id), seconds)
    asked = iter(submissions.submit_all([one for one in parsed if not isinstance(one, dict)]))
    answers = [one if isinstance(one, dict) else next(asked) for one in parsed]
    items = [_item(answer) for answer in answers]
    waited = [item["execution"].id for item in items if _is_open(item)]
    if permit is None or not waited:
        return _reply(items)
    light = [_without_row(item) for item in items]
    return deferred.answer_all(request, waited, seconds, lambda: _reply(light), permit=permit)


def _parse(
    request: HttpRequest, place: int, raw: object, key: str | None
) -> SubmissionRequest | Item:
    """Return the submission at a place of the batch, or the item that refuses it."""
    try:
        if place:  # the first was counted as the request itself
            auth.count(request, token_of(request))
        body = SubmissionIn.model_validate(raw)
        return submission_requests.make_request(request, body, _idempotency(key, place, raw))
    except pydantic.ValidationError as error:
        return _refusal(error_replies.schema_reply(error))
    except ExecutionError as error:
        return _refusal(error_replies.handle(error))


def _idempotency(key: str | None, place: int, raw: object) -> Idempotency | None:
    """Return the key of one submission: no client can send it as the key of another request."""
    if key is None:
        return None
    derived = f"\x1f{hashlib.sha256(key.encode()).hexdigest()}.{place}"
    return Idempotency(key=derived, body_hash=submission_requests.document_hash(raw))


def _longest_wait(body: BatchIn) -> float:
    """Return the longest valid `wait` of the batch and its submissions, in seconds."""
    given = [body.wait]
    for raw in cast("list[object]", body.submissions):  # not parsed yet
        wait = raw.get("wait", False) if isinstance(raw, dict) else False
        try:
            given.append(wait_seconds(wait))
        except ValueError:
            continue  # this submission is refused for it
    return max(map(float, given))


def _item(answer: Any) -> Item:
    if isinstance(answer, dict):
        return answer
    if isinstance(answer, Exception):
        return _refusal(error_replies.handle(answer))
    execution, created = answer
    return {"status": 201 if created else 200, "execution": execution}


def _refusal(response: HttpResponse) -> Item:
    retry_after = response.get("Retry-After")
    return {
        "status": response.status_code,
        **json.loads(response.content),
        "retry_after": None if retry_after is None else int(retry_after),
    }


def _is_open(item: Item) -> bool:
    return "execution" in item and not item["execution"].finished


def _without_row(item: Item) -> Item:
    """Return the item with the id alone: its row is read again when the wait is over."""
    return {**item, "execution": item["execution"].id} if "execution" in item else item


def _reply(items: list[Item]) -> StreamingHttpResponse:
    """Return the items as JSON, one after the other: all of their output may be large."""
    return StreamingHttpResponse(_pieces(items), content_type=MEDIA_TYPES["json"])


def _pieces(items: list[Item]) -> Iterator[str]:
    for place, item in enumerate(items):
        shown = _shown(item)
        text = json.dumps(shown, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        yield f"{',' if place else '{"items":['}{text}"
    yield "]}"


def _shown(item: Item) -> Item:
    found: Execution | uuid.UUID | None = item.get("execution")
    if found is None:
        return item
    try:
        if isinstance(found, uuid.UUID):
            found = submissions.wait(execution_id=found, seconds=0)
        return {**item, "execution": present_execution(found)}
    except ExecutionError as error:  # it was removed while the client waited
        return _refusal(error_replies.handle(error))
