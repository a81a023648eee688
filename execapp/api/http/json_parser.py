"""Parse JSON bodies of the API with `core.documents`, and raise the errors that clients see."""

from typing import Any, cast

from django.http import HttpRequest
from ninja.parser import Parser
from ninja.types import DictStrAny

from core import documents
from execapp.conf import sizes
from execapp.errors import Field, InvalidRequestError, MalformedError, MediaTypeError

SUBMISSION = "/executions"  # a body that may have many cases
BATCH = "/executions/batch"  # the only body with several submissions


class StrictParser(Parser):
    """The parser of request bodies for the whole API."""

    def parse_body(self, request: HttpRequest) -> DictStrAny:
        """Return the JSON. Raises MediaTypeError, MalformedError, InvalidRequestError."""
        charset = (request.content_params or {}).get("charset", "utf-8")
        if request.content_type != "application/json" or charset.lower() not in ("utf-8", "utf8"):
            message = "Send the body as application/json in UTF-8."
            raise MediaTypeError(message)
        found = cast("DictStrAny", loads(request.body, values=_values(request.path)))
        vars(request)["document"] = found  # the idempotency hash needs the whole document
        return found


def _values(path: str) -> int:
    """Return how many values the body of a request to this address may have."""
    if path.endswith(BATCH):
        return sizes().batch_values
    return sizes().submission_values if path.endswith(SUBMISSION) else sizes().values


def loads(body: bytes, *, values: int | None = None) -> Any:
    """Return one strict JSON document of at most this many values; by default `Sizes.values`."""
    budget = documents.Budget(values=sizes().values if values is None else values)
    try:
        return documents.loads(body, budget)
    except documents.SurrogateError as error:
        raise InvalidRequestError(
            [Field(path=error.path or "body", message=error.message)]
        ) from None
    except documents.DocumentError as error:
        raise MalformedError(error.message) from None
