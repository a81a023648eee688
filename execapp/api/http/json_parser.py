"""Parse JSON bodies of the API with `core.documents`, and raise the errors that clients see."""

from typing import Any, cast

from django.http import HttpRequest
from ninja.parser import Parser
from ninja.types import DictStrAny

from core import documents
from execapp.conf import sizes
from execapp.errors import Field, InvalidRequestError, MalformedError, MediaTypeError

BATCH = "/executions/batch"  # the only body with several submissions


class StrictParser(Parser):
    """The parser of request bodies for the whole API."""

    def parse_body(self, request: HttpRequest) -> DictStrAny:
        """Return the JSON. Raises MediaTypeError, MalformedError, InvalidRequestError."""
        charset = (request.content_params or {}).get("charset", "utf-8")
        if request.content_type != "application/json" or charset.lower() not in ("utf-8", "utf8"):
            message = "Send the body as application/json in UTF-8."
            raise MediaTypeError(message)
        found = cast("DictStrAny", loads(request.body, batch=request.path.endswith(BATCH)))
        vars(request)["document"] = found  # the idempotency hash needs the whole document
        return found


def loads(body: bytes, *, batch: bool = False) -> Any:
    """Return one strict JSON document of at most `Sizes.values`, or `batch_values`, values."""
    values = sizes().batch_values if batch else sizes().values
    try:
        return documents.loads(body, documents.Budget(values=values))
    except documents.SurrogateError as error:
        raise InvalidRequestError(
            [Field(path=error.path or "body", message=error.message)]
        ) from None
    except documents.DocumentError as error:
        raise MalformedError(error.message) from None
