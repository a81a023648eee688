"""The WSGI environment (PEP 3333) of a request, from uvicorn's ASGI scope."""

import io
import sys
from typing import Any
from urllib.parse import unquote_to_bytes

from webui.server.request_body import Body

PATH_BYTES = 8 * 1024  # Django's time for a path of bytes that are no UTF-8 grows by the square
# WSGI or the connection sets these; headers of a request must not.
_OWN = {b"content-length", b"content-type", b"transfer-encoding"}


def environment(scope: Any, headers: dict[bytes, bytes], body: Body) -> dict[str, Any]:
    """Return the environment, with the whole body and its length as `CONTENT_LENGTH`."""
    server = scope["server"] or ("localhost", 0)
    client = scope["client"] or ("", 0)
    found: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "CONTENT_LENGTH": str(body.length) if body.length or not body.whole else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body.data),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if b"content-type" in headers:
        found["CONTENT_TYPE"] = headers[b"content-type"].decode("latin-1")
    for name, value in headers.items():
        # In WSGI an underscore and a hyphen are the same, so a header with an underscore could pose
        # as a header that a proxy has checked.
        if name not in _OWN and b"_" not in name:
            found[f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"] = value.decode(
                "latin-1"
            )
    return found


def joined(pairs: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers by name, and join repeated headers.

    Raise ValueError with the name of a header that must not be repeated.
    """
    found: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif name in {b"host", b"authorization", b"content-type"}:
            raise ValueError(name.decode("latin-1"))
        else:
            found[name] += (b"; " if name == b"cookie" else b",") + value
    return found
