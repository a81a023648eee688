"""Send odd values in every path, query parameter, form field and header of every address.

Addresses come from the URL resolver, fields from a record of what a view reads, parameters of the
API from OpenAPI: a new address needs no line here. No reply may be a 5xx.
"""

import base64
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import hypothesis
import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern
from django.utils.regex_helper import normalize
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from pytest_django import Settings

from execapp.services import tokens
from tests.factories import (
    make_build_row,
    make_execution_row,
    make_promotion_row,
    make_template_row,
    make_version_row,
)

ID = "00000000-0000-0000-0000-000000000000"


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


# As bytes, so that no client corrects them on the way: percent-encoded in addresses and forms.
ODD: dict[str, bytes] = {
    "nothing": b"",
    "a blank": b" ",
    "nought": b"0",
    "below nought": b"-1",
    "noughts before": b"0" * 300 + b"1",
    "beyond 32 bits": b"4294967296",
    "beyond 64 bits": b"9" * 20,
    "5,000 digits": b"9" * 5000,
    "minus 5,000 digits": b"-" + b"9" * 5000,
    "an exponent": b"1e400",
    "no number": b"nan",
    "endless": b"-inf",
    "an underscore": b"1_0",
    "another script": "٣".encode(),
    "wide digits": "\uff11\uff12".encode(),
    "a superscript": "²".encode(),
    "NUL": b"\0",
    "NUL inside": b"a\0b",
    "a lone surrogate": b"\xed\xa0\x80",
    "no UTF-8": b"\xff\xfe",
    "an emoji": "💥".encode(),
    "line ends": b"a\r\nX: y",
    "long": b"x" * 3000,
    "the end of time": b"9999-12-31T23:59:59.999999-23:59",
    "the beginning of time": b"0001-01-01T00:00:00+23:59",
    "the last day": b"9999-12-31",
    "the first day": b"0001-01-01",
    "no day": b"2026-02-30",
    "the year nought": b"0000-00-00T00:00:00Z",
    "a leap second": b"2026-06-30T23:59:60Z",
    "a cursor of the end": cursor(f"9999-12-31T23:59:59.999999-23:59|{ID}").encode(),
    "a cursor of the beginning": cursor(f"0001-01-01T00:00:00+23:59|{ID}").encode(),
    "a cursor of nothing": cursor("|").encode(),
    "an id of noughts": ID.encode(),
    "an id of ones": b"ffffffff-ffff-ffff-ffff-ffffffffffff",
    "an id in braces": f"{{{ID}}}".encode(),
    "deep lists": b"[" * 3000,
    "deep objects": b'{"a":' * 500,
    "climbing": b"../../etc/passwd",
    "a format": b"%s%n{0}{{x}}",
    "a wildcard": b"%_*'\"--",
}
MOST_ODD = ("5,000 digits", "NUL", "a lone surrogate", "the end of time", "deep lists")
IN_HEADERS = (
    *MOST_ODD, "nothing", "noughts before", "no UTF-8", "the beginning of time",
    "a cursor of the end", "a cursor of nothing", "an id in braces",
)  # fmt: skip
HEADERS = (
    "Accept", "Accept-Encoding", "Accept-Language", "Content-Type", "Expect", "Forwarded",
    "HX-Current-URL", "HX-Request", "HX-Target", "HX-Trigger", "Idempotency-Key",
    "If-Match", "If-Modified-Since", "If-None-Match", "Last-Event-ID", "Origin", "Range",
    "Referer", "Transfer-Encoding", "User-Agent", "X-CSRFToken", "X-Forwarded-For",
    "X-Forwarded-Host", "X-Forwarded-Proto", "X-HTTP-Method-Override", "X-Requested-With",
)  # fmt: skip
MASKING = ("Authorization", "Cookie", "Content-Encoding", "Content-Length", "Host")
SLOW = {"/system/check"}  # looks at the machine, and reads nothing


@dataclass(frozen=True, kw_only=True)
class Route:
    """An address with blanks: "/templates/%(name)s"."""

    path: str

    @property
    def blanks(self) -> list[str]:
        return re.findall(r"%\((\w+)\)s", self.path)

    @property
    def api(self) -> bool:
        return self.path.startswith("/api/")


def routes() -> list[Route]:
    """Return every address of the service."""
    return sorted(set(_routes(get_resolver("webui.urls").url_patterns, "/")), key=str)


def _routes(patterns: list[Any], before: str) -> Iterator[Route]:
    for pattern in patterns:
        text = str(pattern.pattern)
        if isinstance(pattern.pattern, RoutePattern):
            part = re.sub(r"<(?:\w+:)?(\w+)>", r"%(\1)s", text)
        else:
            part = normalize(text)[0][0]
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, before + part)
        elif isinstance(pattern, URLPattern):
            yield Route(path=before + part)


ROUTES = routes()


class Visitor:
    """An admin with a browser and a token, among rows of every kind."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.client = Client(raise_request_exception=False)
        _, self.secret = tokens.create(
            name="boss", scopes=["execute", "read", "templates", "admin"], actor="ada"
        )
        self.known = self.rows()
        self.read: set[str] = set()

    def rows(self) -> dict[str, str]:
        template = make_template_row()
        first, second = make_version_row(template), make_version_row(template)
        make_promotion_row(first)
        promotion = make_promotion_row(second)
        build = make_build_row(template, "failed", lines=2)
        execution = make_execution_row(first)
        token, _ = tokens.create(name="other", scopes=["read"], actor="ada")
        return {
            "name": "typescript", "number": "1", "old": "1", "new": "2", "action": "pin",
            "form": "zip", "path": "package.json", "build_id": str(build.pk),
            "execution_id": str(execution.pk), "sha256": "0" * 64, "token_id": str(token.pk),
            "promotion_id": str(promotion.pk), "user_id": str(self.user.pk),
        }  # fmt: skip

    def address(self, route: Route, **odd: bytes) -> str:
        """Fill the blanks of the route with known values or with the odd ones."""
        given = {name: self.known.get(name, "1") for name in route.blanks}
        return route.path % (given | {name: quote(raw, safe="") for name, raw in odd.items()})

    def call(
        self, method: str, address: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send one signed-in request; assert that the reply is no 5xx."""
        api = address.startswith("/api/")
        if not api and "sessionid" not in self.client.cookies:
            self.client.force_login(self.user)
        kind = "application/json" if api else "application/x-www-form-urlencoded"
        headers = dict(headers or {})
        given = {"Authorization": f"Bearer {self.secret}"} if api else {}
        extra: dict[str, Any] = {}
        if "Content-Length" in headers:
            extra["CONTENT_LENGTH"] = headers.pop("Content-Length")
            extra["wsgi.input"] = io.BytesIO(
                body
            )  # the client's own refuses to be read past its end
        kind = headers.pop("Content-Type", kind)
        response = self.client.generic(
            method, address, body, content_type=kind, headers=given | headers, **extra
        )
        said = (method, address[:300], body[:200], str(headers)[:300])
        assert response.status_code < 500 or _unready(response, address), (said, response.content)
        assert response.status_code != 200 or b"Traceback" not in _content(response), said
        if api and response.status_code >= 400:
            assert response["Content-Type"] == "application/json", said
            answer = response.json()
            if address.startswith("/api/v2"):  # Piston's clients read this shape
                assert set(answer) == {"message"}, said
            else:
                assert set(answer["error"]) == {"code", "message", "details"}, said
            assert len(response.content) < 64 * 1024, said
        return response


def _unready(response: Any, address: str) -> bool:
    """Return whether a 503 is right: without an executor and without files, two replies are."""
    return response.status_code == 503 and address.startswith(("/readyz", "/api/v1/executions"))


def _content(response: Any) -> bytes:
    return b"" if response.streaming else bytes(response.content)


@pytest.fixture
def visitor(admin_user: User, data_dir: object, settings: Settings) -> Visitor:
    settings.STENCIL_RATE_PER_MINUTE = 0
    settings.STENCIL_LOCKOUT_FAILURES = 10**6
    return Visitor(admin_user)


@pytest.fixture
def fields(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the names that views read from forms and query strings, added as they read."""
    for method in ("get", "getlist", "__getitem__", "__contains__"):
        original = getattr(QueryDict, method)

        def spy(self: QueryDict, name: str, *rest: Any, _call: Any = original) -> Any:
            visitor.read.add(name)
            return _call(self, name, *rest)

        monkeypatch.setattr(QueryDict, method, spy)
    return visitor.read


def query(names: set[str], raw: bytes) -> str:
    return urlencode(dict.fromkeys(sorted(names), raw))


def of_openapi(visitor: Visitor) -> dict[tuple[str, str], dict[str, set[str]]]:
    """Return, by (method, path), the parameters of each kind and the fields of the body."""
    schema = visitor.client.get("/api/v1/openapi.json").json()
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for path, calls in schema["paths"].items():
        for method, call in calls.items():
            names: dict[str, set[str]] = {"query": set(), "header": set(), "path": set()}
            for parameter in call.get("parameters", ()):
                names[parameter["in"]].add(parameter["name"])
            reference = json.dumps(call.get("requestBody", {}))
            body = re.search(r"#/components/schemas/(\w+)", reference)
            fields = schema["components"]["schemas"][body[1]]["properties"] if body else {}
            found[method.upper(), re.sub(r"\{(\w+)\}", r"%(\1)s", path)] = names | {
                "body": set(fields)
            }
    return found


def test_there_are_addresses(visitor: Visitor) -> None:
    paths = {route.path for route in ROUTES}
    assert {"/", "/audit", "/playground/run", "/healthz", "/api/v1/me"} <= paths
    assert {path for _, path in of_openapi(visitor)} <= paths
    assert len(paths) > 120


def test_fields_are_found_by_watching(visitor: Visitor, fields: set[str]) -> None:
    visitor.call("GET", "/executions")
    assert {"cursor", "newer", "since", "until", "version", "label"} <= fields
    fields.clear()
    visitor.call("POST", "/playground/run", b"action=run")
    assert {"template", "path", "content", "limits", "env"} <= fields


PAGES = [route for route in ROUTES if not route.api and route.path not in SLOW]


@pytest.mark.parametrize("route", PAGES, ids=lambda route: route.path)
def test_pages_and_forms(route: Route, visitor: Visitor, fields: set[str]) -> None:
    address = visitor.address(route)
    for method in ("GET", "POST"):
        fields.clear()
        visitor.call(method, address)
        names = set(fields)
        for raw in ODD.values() if names else ():
            text = query(names, raw)
            if method == "GET":
                visitor.call("GET", f"{address}?{text[:8000]}")
            else:
                visitor.call("POST", address, text.encode())
            names |= fields - {"csrfmiddlewaretoken"}
        for name in names:
            for odd in MOST_ODD:
                text = query({name}, ODD[odd])
                if method == "GET":
                    visitor.call("GET", f"{address}?{text}")
                else:
                    visitor.call("POST", address, text.encode())


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_paths(method: str, visitor: Visitor) -> None:
    for route in ROUTES:
        for name in route.blanks:
            for raw in ODD.values():
                visitor.call(method, visitor.address(route, **{name: raw}))


def test_parameters_of_the_api(visitor: Visitor) -> None:
    for (method, path), names in of_openapi(visitor).items():
        address = visitor.address(Route(path=path))
        for name in names["query"]:
            for raw in ODD.values():
                visitor.call(method, f"{address}?{query({name}, raw)}")
        for name in names["header"]:
            for raw in ODD.values():
                visitor.call(method, address, headers={name: raw.decode("latin-1")})


def test_fields_of_the_api(visitor: Visitor) -> None:
    plausible = {"kind": "rebuild", "reason": "x", "version": 1, "mode": "run", "files": []}
    for (method, path), names in of_openapi(visitor).items():
        address = visitor.address(Route(path=path))
        whole = {name: plausible[name] for name in names["body"] if name in plausible}
        for name in names["body"]:
            for raw in ODD.values():
                text = raw.decode("utf-8", "surrogatepass" if raw[:1] == b"\xed" else "replace")
                for value in (text, [text], {text: text}, [{"path": text, "content": text}]):
                    visitor.call(method, address, json.dumps({**whole, name: value}).encode())
            for number in (b"9" * 4000, b"-1", b"1e308", b"1.5", b"18446744073709551616"):
                others = json.dumps(whole).encode()[:-1]
                comma = b"," if whole else b""
                field = json.dumps(name).encode()
                visitor.call(method, address, others + comma + field + b":" + number + b"}")


@pytest.mark.parametrize("odd", IN_HEADERS)
def test_headers(odd: str, visitor: Visitor) -> None:
    text = ODD[odd].decode("latin-1")
    for route in ROUTES:
        if route.path not in SLOW:
            visitor.call("GET", visitor.address(route), headers=dict.fromkeys(HEADERS[:13], text))
            visitor.call("GET", visitor.address(route), headers=dict.fromkeys(HEADERS[13:], text))


@pytest.mark.parametrize("header", [*MASKING, *HEADERS])
def test_a_header_alone(header: str, visitor: Visitor) -> None:
    for odd in IN_HEADERS:
        text = ODD[odd].decode("latin-1")
        for address in ("/healthz", "/executions", "/accounts/login/", "/api/v1/executions"):
            for method in ("GET", "POST"):
                visitor.client.cookies.clear()
                visitor.call(method, address, b"{}", {header: text})


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


NUMBERS = st.integers().map(lambda number: str(number).encode())
TIMES = st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat().encode())


@hypothesis.settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    route=st.sampled_from(PAGES),
    method=st.sampled_from(["GET", "POST"]),
    raw=st.one_of(st.binary(max_size=200), st.text(max_size=50).map(_bytes), NUMBERS, TIMES),
)
def test_anything_into_every_field(
    route: Route, method: str, raw: bytes, visitor: Visitor, fields: set[str]
) -> None:
    address = visitor.address(route)
    fields.clear()
    visitor.call(method, address)
    text = query(set(fields), raw)
    if method == "GET":
        visitor.call("GET", f"{address}?{text[:8000]}")
    else:
        visitor.call("POST", address, text.encode())
