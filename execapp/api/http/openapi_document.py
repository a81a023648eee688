"""The view of the OpenAPI document, which is written once in a process.

Writing it takes a quarter of a second of CPU time, and the view needs no token.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from ninja import NinjaAPI
from ninja.responses import NinjaJSONEncoder


@dataclass(frozen=True, kw_only=True)
class Document:
    """The bytes of a document and their ETag."""

    content: bytes
    etag: str


def view(api: NinjaAPI) -> Callable[[HttpRequest], HttpResponseBase]:
    """Return a view of the document of `api`. The first request writes the document."""
    lock = threading.Lock()
    written: list[Document] = []

    def openapi(request: HttpRequest) -> HttpResponseBase:
        with lock:
            if not written:
                written.append(_write(api))
        return _reply(request, written[0])

    return openapi


def _write(api: NinjaAPI) -> Document:
    schema: dict[str, Any] = api.get_openapi_schema()
    content = json.dumps(schema, cls=NinjaJSONEncoder, separators=(",", ":")).encode()
    return Document(content=content, etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _reply(request: HttpRequest, document: Document) -> HttpResponseBase:
    response = HttpResponse(document.content, content_type="application/json; charset=utf-8")
    response["ETag"] = document.etag
    return get_conditional_response(request, etag=document.etag, response=response) or response
