"""Send malformed request heads, byte by byte, to the real web server with the whole service."""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import connections
from django.http.response import HttpResponseBase
from pytest_django.fixtures import Settings

from tests.execapp.conftest import Api
from tests.webui.server.serving import Web
from tests.webui.server.serving import serve_application as serve
from webui.server.bounds import Bounds
from webui.server.wsgi_handler import Handler

QUICK = replace(Bounds(), header_seconds=1, body_seconds=1, linger_seconds=0.5, grace_seconds=0)
HEADS: dict[str, bytes] = {
    "digits without end in a path": b"GET /api/v1/templates/a/versions/%b HTTP/1.1" % (b"9" * 3000),
    "a lone surrogate in a path": b"GET /executions/%ED%A0%80 HTTP/1.1",
    "bytes in a path": b"GET /executions/\xff\xfe HTTP/1.1",
    "NUL in a query": b"GET /api/v1/executions?q=%00 HTTP/1.1",
    "bytes in a query": b"GET /api/v1/executions?cursor=\xff HTTP/1.1",
    "the end of time": b"GET /api/v1/executions?until=9999-12-31T23:59:59-23:59 HTTP/1.1",
    "a line end in a path": b"GET /api/v1/x%0D%0Ay HTTP/1.1",
    "a long query": b"GET /api/v1/executions?q=%b HTTP/1.1" % (b"a" * 20_000),
    "many parameters": b"GET /executions?%b HTTP/1.1" % (b"a&" * 500),
    "an id without end": b"GET /api/v1/me HTTP/1.1\r\nLast-Event-ID: %b" % (b"9" * 5000),
    "a key of bytes": b"POST /api/v1/executions HTTP/1.1\r\nIdempotency-Key: \xff\xfe",
    "bytes in a type": b"POST /api/v1/executions HTTP/1.1\r\nContent-Type: \xff/\xfe",
    "a charset of its own": b"POST / HTTP/1.1\r\nContent-Type: text/plain; charset=%b"
    % (b"x" * 999),
    "no length": b"POST /api/v1/executions HTTP/1.1\r\nContent-Length: x",
    "a length below nought": b"POST /api/v1/executions HTTP/1.1\r\nContent-Length: -1",
    "a length without end": b"POST /executions HTTP/1.1\r\nContent-Length: %b" % (b"9" * 500),
    "another script": "POST /executions HTTP/1.1\r\nContent-Length: ٣".encode(),
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2",
    "an odd host": b"GET /api/v1/me HTTP/1.1\r\nHost: \xff\xfe",
    "an empty host": b"GET /api/v1/me HTTP/1.1\r\nHost:",
    "a date that is none": b"GET / HTTP/1.1\r\nIf-Modified-Since: Xxx, 99 Xxx 99999 99:99:99 GMT",
    "a range without end": b"GET / HTTP/1.1\r\nRange: bytes=%b-" % (b"9" * 500),
    "cookies": b"GET / HTTP/1.1\r\nCookie: sessionid=\xff; csrftoken=%b" % (b"9" * 4000),
    "many headers": b"GET / HTTP/1.1\r\n" + b"\r\n".join(b"X-%d: a" % n for n in range(500)),
    "a scheme of its own": b"GET / HTTP/1.1\r\nX-Forwarded-Proto: \xff, https\r\nSCRIPT_NAME: /x",
}


@pytest.fixture
def web(api: Api, settings: Settings) -> Iterator[Web]:
    """Yield a web server that serves all of Django."""
    settings.ROOT_URLCONF = "webui.urls"
    handler = Handler()

    def application(
        environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> HttpResponseBase:
        try:
            return handler(environ, start_response)
        finally:
            connections.close_all()

    with serve(application, QUICK) as running:
        yield running


def test_no_head_is_a_fault_of_the_server(web: Web, api: Api) -> None:
    for name, head in HEADS.items():
        for auth in (b"", b"\r\nAuthorization: Bearer " + api.secret.encode()):
            host = b"" if b"Host:" in head else b"\r\nHost: localhost"
            status, _headers, body = web.ask(head + host + auth + b"\r\n\r\n")
            assert status == 0 or 200 <= status < 500, (name, status, body[:300])
    usual = b"GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n"
    assert web.ask(usual % api.secret.encode())[0] == 200


UNREADABLE = [
    b"Content-Type: " + b"x" * 10_001,
    b"Content-Type: text/plain; charset*=utf-8''%00",
    b'Content-Type: text/plain; charset="\0"',
    b"Content-Type: text/plain; a*0*=x''b; a*1=c",
    b"Content-Type: text/plain; charset*=idna''%80",
    b"Content-Type: application/json; x*=undefined''a",
]


@pytest.mark.parametrize("header", UNREADABLE, ids=lambda header: ascii(header)[-30:])
@pytest.mark.parametrize("path", [b"/healthz", b"/static/x.css", b"/login", b"/api/v1/me", b"/x"])
def test_a_header_that_django_cannot_parse_is_refused(
    header: bytes, path: bytes, web: Web, api: Api
) -> None:
    head = b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n" % (path, header)
    status, headers, body = web.ask(head)
    assert status == 400
    if headers["content-type"] == "application/json":
        assert json.loads(body)["error"]["code"] == "malformed"
    else:  # the parser of HTTP refuses a NUL
        assert b"\0" in header


NO_TEXT = ["undefined", "rot13", "hex", "zlib", "base64", "quopri", "uu", "bz2", "idna"]


@pytest.mark.parametrize("charset", NO_TEXT)
def test_a_charset_that_decodes_no_text_is_refused(charset: str, web: Web, api: Api) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="login"\r\n\r\n\xff%\r\n--x--\r\n'
    for kind in ("multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
        for path in ("/login", "/playground/run", "/api/v1/me"):
            for method in ("POST", "GET"):
                head = (
                    f"{method} {path}?q=%ff HTTP/1.1\r\nHost: localhost\r\n"
                    f"Content-Type: {kind}; charset={charset}\r\nContent-Length: {len(part)}\r\n"
                )
                status, _headers, body = web.ask(head.encode() + b"\r\n" + part)
                assert status in (400, 415), (path, kind, method)
                assert b'"error"' in body or b"<h1" in body


def test_an_accept_header_that_django_cannot_parse_is_refused(web: Web, api: Api) -> None:
    auth = b"Host: localhost\r\nAuthorization: Bearer %b\r\n" % api.secret.encode()
    template = b"/api/v1/templates/tiny/versions/1/diff?against=1"
    for header in (b"Accept: " + b"x" * 10_001, b"Accept: text/plain; x*=undefined''a"):
        head = b"GET %b HTTP/1.1\r\n%b%b\r\n\r\n" % (template, auth, header)
        status, _headers, body = web.ask(head)
        assert status == 400, body
        assert json.loads(body)["error"]["code"] == "malformed"


def test_a_path_has_a_size(web: Web, api: Api) -> None:
    started = time.process_time()
    for _ in range(5):
        status, _, body = web.ask(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"\xff" * 60_000))
        assert status in (400, 413), body
    for _ in range(5):
        status, _, body = web.ask(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"%ff" * 20_000))
        assert status == 413
        assert json.loads(body)["error"]["code"] == "too_large"
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("path", [b"/api/v1/executions", b"/playground/run", b"/accounts/login/"])
def test_a_packed_body_is_refused_before_it_is_unpacked(path: bytes, web: Web, api: Api) -> None:
    body = gzip.compress(b" " * 5_000_000)
    status, _headers, said = web.ask(
        b"POST %b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n"
        b"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
        % (path, api.secret.encode(), len(body), body)
    )
    assert status == 415
    assert b"Content-Encoding" in said
