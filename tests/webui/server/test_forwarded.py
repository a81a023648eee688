"""Test forwarded headers: the server alone, behind real nginx, and in the records."""

import http.client
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIRequest
from django.http import JsonResponse
from django.http.response import HttpResponseBase
from django.test import Client
from pytest_django import Settings

from templatemgr.models import AuditEvent
from tests import factories
from tests.conftest import ROOT, free_port
from tests.execapp.conftest import until
from tests.timeouts import HANGS_SECONDS
from tests.webui.server.serving import serve
from webui import environment
from webui.middleware import forwarded
from webui.server.bounds import Bounds

CLIENT = "127.0.0.5"
SPOOFS = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
    "X-Script-Name": "/evil",
    "Script-Name": "/xx",
    "Script_Name": "/xx",
    "X_Forwarded_For": "6.6.6.6",
    "X_Forwarded_Proto": "https",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;proto=https;host=evil.example",
    "CF-Connecting-IP": "6.6.6.6",
    "Remote-User": "admin",
}


@pytest.mark.parametrize(
    ("peer", "hops", "proxies", "client"),
    [
        ("9.9.9.9", "", 0, "9.9.9.9"),
        ("9.9.9.9", "6.6.6.6", 0, "9.9.9.9"),
        ("10.0.0.1", "6.6.6.6, 9.9.9.9", 1, "9.9.9.9"),
        ("10.0.0.2", "6.6.6.6, 9.9.9.9, 10.0.0.1", 2, "9.9.9.9"),
        ("9.9.9.9", "6.6.6.6", 2, "9.9.9.9"),  # past the outer proxy: no header is trusted
        ("9.9.9.9", "", 1, "9.9.9.9"),
        ("10.0.0.1", "rubbish", 1, "10.0.0.1"),
        ("10.0.0.1", "<script>, 9.9.9.9:4711", 1, "9.9.9.9"),
        ("::1", "6.6.6.6, 2001:db8::7", 1, "2001:db8::7"),
        ("::1", "[2001:db8::7]:4711", 1, "2001:db8::7"),
        ("::ffff:10.0.0.1", "::ffff:9.9.9.9", 1, "9.9.9.9"),
        ("fe80::1%eth0", "", 0, "fe80::1"),
        ("9.9.9.9", "6.6.6.6", ("10.0.0.0/8",), "9.9.9.9"),
        ("10.0.0.1", "6.6.6.6, 9.9.9.9", ("10.0.0.0/8",), "9.9.9.9"),
        ("10.0.0.1", "6.6.6.6, 9.9.9.9, 10.3.2.1", ("10.0.0.0/8",), "9.9.9.9"),
        ("10.0.0.1", "10.3.2.1", ("10.0.0.0/8",), "10.3.2.1"),
        ("10.0.0.1", "9.9.9.9, rubbish", ("10.0.0.0/8",), "10.0.0.1"),
        ("::ffff:10.0.0.1", "9.9.9.9", ("10.0.0.1",), "9.9.9.9"),
        ("2001:db8::1", "2001:db8:1::7", ("2001:db8::1", "10.0.0.1"), "2001:db8:1::7"),
    ],
)
def test_who_the_client_is(
    peer: str, hops: str, proxies: int | tuple[str, ...], client: str
) -> None:
    assert seen(peer, hops, proxies).address == client


def seen(peer: str, hops: str, proxies: int | tuple[str, ...], proto: str = "") -> forwarded.Origin:
    named = isinstance(proxies, tuple)
    return forwarded.origin(
        peer,
        forwarded.split(hops),
        forwarded.split(proto),
        count=0 if named else int(str(proxies)),
        networks=forwarded.networks(proxies) if isinstance(proxies, tuple) else (),
    )


@pytest.mark.parametrize(
    ("hops", "proxies", "proto", "https"),
    [
        ("9.9.9.9", 1, "https", True),
        ("9.9.9.9", 1, "https, http", False),
        ("9.9.9.9, 10.0.0.1", 2, "http, https, http", True),
        ("9.9.9.9, 10.0.0.1", 2, "https", True),
        ("9.9.9.9", 0, "https", False),
        ("9.9.9.9", 2, "https", False),
        ("9.9.9.9", ("10.9.9.9",), "https", False),
        ("9.9.9.9", ("10.0.0.2",), "HTTPS", True),
        ("9.9.9.9", 1, "", False),
        ("9.9.9.9", 1, "ftp", False),
    ],
)
def test_whether_it_spoke_https(
    hops: str, proxies: int | tuple[str, ...], proto: str, https: bool
) -> None:
    assert seen("10.0.0.2", hops, proxies, proto).https is https


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("0", 0),
        ("2", 2),
        ("10.0.0.1", ("10.0.0.1",)),
        ("10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
        ("proxy.example.org", None),
        ("-1", None),
        ("1,2.3", None),
    ],
)
def test_the_setting(monkeypatch: pytest.MonkeyPatch, given: str, read: object) -> None:
    monkeypatch.setenv("STENCIL_PROXIES", given)
    if read is None:
        with pytest.raises(ImproperlyConfigured, match="STENCIL_PROXIES"):
            environment.proxies()
    else:
        assert environment.proxies() == read


# --- through real nginx


def echo(request: WSGIRequest) -> HttpResponseBase:
    """Return what a view sees of the client."""
    meta = {key: str(value) for key, value in request.META.items() if key.isupper()}
    shown = {"scheme": request.scheme, "host": request.get_host(), "path": request.path}
    return JsonResponse({**shown, "address": meta["REMOTE_ADDR"], "meta": meta})


def nginx(folder: Path, *servers: tuple[str, int, str]) -> subprocess.Popen[bytes]:
    """Start nginx with the documented configuration, for each (address, port, upstream)."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    blocks = [
        f"""server {{
            listen {address}:{port};
            location / {{
                proxy_pass {behind};
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                proxy_set_header Host $http_host;
                proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                proxy_set_header X-Forwarded-Proto $scheme;
            }}
        }}"""
        for address, port, behind in servers
    ]
    paths = [
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    ]
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/nginx.pid;"
        f"error_log {folder}/error.log; events {{ worker_connections 64; }}"
        f"http {{ access_log off; {' '.join(paths)} {' '.join(blocks)} }}"
    )
    process = subprocess.Popen([program, "-c", str(config), "-p", str(folder), "-e", "stderr"])
    for address, port, _ in servers:
        until(lambda address=address, port=port: listens(address, port))  # type: ignore[misc]
    return process


def listens(address: str, port: int) -> bool:
    link = http.client.HTTPConnection(address, port, timeout=HANGS_SECONDS)
    try:
        link.connect()
    except OSError:
        return False
    link.close()
    return True


def ask(
    port: int,
    path: str = "/",
    *,
    server: str = "127.0.0.1",
    source: str = CLIENT,
    headers: dict[str, str] | None = None,
    method: str = "GET",
    body: str | None = None,
) -> tuple[int, http.client.HTTPMessage, str]:
    link = http.client.HTTPConnection(
        server, port, timeout=HANGS_SECONDS, source_address=(source, 0)
    )
    link.request(method, path, body, headers or {})
    answer = link.getresponse()
    text = answer.read().decode()
    link.close()
    return answer.status, answer.headers, text


Chain = Callable[[int | Sequence[str]], tuple[int, int, int]]


@pytest.fixture
def chain(tmp_path: Path, settings: Settings) -> Iterator[Chain]:
    """Yield a function that starts a server behind two nginx; it returns the three ports."""
    with ExitStack() as stack:

        def begin(proxies: int | Sequence[str]) -> tuple[int, int, int]:
            settings.STENCIL_PROXIES = proxies
            settings.ALLOWED_HOSTS = ["*"]
            view: Any = forwarded.Middleware(echo)  # type: ignore[arg-type]
            web = stack.enter_context(serve(view, Bounds(threads=2)))
            inner, outer, six = free_port(), free_port(), free_port()
            process = nginx(
                tmp_path,
                ("127.0.0.1", inner, f"http://127.0.0.1:{web.port}"),
                ("127.0.0.1", outer, f"http://127.0.0.1:{inner}"),
                ("[::1]", six, f"http://127.0.0.1:{web.port}"),
            )
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            ports["six"] = six
            return web.port, inner, outer

        yield begin


ports: dict[str, int] = {}


def shown(port: int, **more: Any) -> dict[str, Any]:
    status, _, text = ask(port, **more)
    assert status == 200, text
    seen: dict[str, Any] = json.loads(text)
    return seen


def untouched(seen: dict[str, Any], address: str, host: int) -> None:
    """Assert that no claim of the client reaches a view."""
    assert (seen["address"], seen["scheme"], seen["path"]) == (address, "http", "/")
    assert seen["host"].endswith(f":{host}")
    text = json.dumps(seen)
    assert "6.6.6.6" not in text
    assert "evil" not in text
    assert "/xx" not in text


def test_no_header_is_trusted_without_the_setting(chain: Chain) -> None:
    web, inner, _ = chain(0)
    untouched(shown(web, headers=SPOOFS), CLIENT, web)
    untouched(shown(web, source="127.0.0.1", headers=SPOOFS), "127.0.0.1", web)
    untouched(shown(inner, headers=SPOOFS), "127.0.0.1", inner)


def test_one_nginx_is_believed_and_its_client_is_not(chain: Chain) -> None:
    _, inner, _ = chain(1)
    untouched(shown(inner, headers=SPOOFS), CLIENT, inner)
    untouched(shown(inner), CLIENT, inner)
    six = shown(ports["six"], server="::1", source="::1", headers=SPOOFS)
    assert (six["address"], six["scheme"]) == ("::1", "http")


def test_two_in_a_row(chain: Chain) -> None:
    web, inner, outer = chain(2)
    untouched(shown(outer, headers=SPOOFS), CLIENT, outer)
    # Past the outer proxy, or past both: the header is a claim of the peer.
    untouched(shown(web, headers=SPOOFS), CLIENT, web)
    assert shown(inner, source="127.0.0.6")["address"] == "127.0.0.1"


def test_proxies_by_address(chain: Chain) -> None:
    web, inner, outer = chain(("127.0.0.1", "::1"))
    untouched(shown(inner, headers=SPOOFS), CLIENT, inner)
    untouched(shown(outer, headers=SPOOFS), CLIENT, outer)
    untouched(shown(web, headers=SPOOFS), CLIENT, web)


# --- in the records


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """Yield the data of a web process with one user, and the port of nginx before it."""
    port, front = free_port(), free_port()
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "webui.settings",
        "STENCIL_DATA": str(tmp_path / "var"),
        "STENCIL_PROXIES": "127.0.0.1",
        "STENCIL_LOCKOUT_FAILURES": "3",
        "DJANGO_SUPERUSER_PASSWORD": "correct horse battery",
    }
    for arguments in (
        ["migrate", "-v0"],
        ["collectstatic", "--noinput", "-v0"],
        ["createsuperuser", "--noinput", "--username", "grace", "--email", ""],
    ):
        subprocess.run([sys.executable, str(ROOT / "manage.py"), *arguments], env=env, check=True)
    web = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "web", "--port", str(port)],
        env=env,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: listens("127.0.0.1", port))
    proxy = nginx(tmp_path, ("127.0.0.1", front, f"http://127.0.0.1:{port}"))
    yield tmp_path / "var", front
    for process in (proxy, web):
        process.terminate()
        process.wait(HANGS_SECONDS)


def sign_in(port: int, source: str, spoofed: str) -> str:
    _, headers, _ = ask(port, "/login", source=source)
    token = str(headers["Set-Cookie"]).partition("csrftoken=")[2].partition(";")[0]
    status, _, text = ask(
        port,
        "/login",
        source=source,
        method="POST",
        body=f"csrfmiddlewaretoken={token}&login=grace&password=wrong",
        headers={
            "Cookie": f"csrftoken={token}",
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Forwarded-For": spoofed,
        },
    )
    assert status in {200, 429}, text
    return text


def test_lockout_and_trail_know_the_client_behind_nginx(site: tuple[Path, int]) -> None:
    data, port = site
    answers = [sign_in(port, f"127.0.0.{7 + number % 2}", f"6.6.6.{number}") for number in range(5)]
    assert "Too many failed sign-ins" in answers[-1], "another address each time unlocks nothing"
    with closing(sqlite3.connect(data / "db.sqlite3")) as database:
        rows = database.execute(
            "SELECT details FROM templatemgr_auditevent WHERE action LIKE 'user.sign_in_failed' "
            "OR action LIKE 'user.lockout'"
        ).fetchall()
    addresses = {json.loads(details)["ip"] for (details,) in rows}
    assert addresses == {"127.0.0.7", "127.0.0.8"}


def test_a_spoofed_sign_in_is_recorded_with_the_real_address(
    db: None, data_dir: Path, settings: Settings
) -> None:
    factories.make_user("grace", "viewer")
    for proxies in (0, 2, ("10.0.0.1",)):
        settings.STENCIL_PROXIES = proxies
        Client().post("/login", {"login": "grace", "password": "no"}, headers=SPOOFS)
    rows = AuditEvent.objects.filter(action="user.sign_in_failed")
    assert [row.details["ip"] for row in rows] == ["127.0.0.1"] * 3
