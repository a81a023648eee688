"""Test the headers for caches of browsers and proxies, and for https."""

import json
from pathlib import Path

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import Settings

from execapp.models import ExecutorHeartbeat
from execapp.services import tokens
from tests import factories


def addresses(resolver: URLResolver, before: str = "/") -> list[str]:
    """Return every address without a parameter in its path."""
    found = []
    for each in resolver.url_patterns:
        path = before + str(each.pattern)
        if isinstance(each, URLResolver):
            found += addresses(each, path)
        elif isinstance(each, URLPattern) and not set("<(^$") & set(path):
            found.append(path)
    return found


def test_nothing_is_kept_that_may_carry_code_logs_or_names(admin: Client) -> None:
    template = factories.make_template_row()
    factories.make_promotion_row(factories.make_version_row(template))
    build = factories.make_build_row(template, "failed")
    factories.make_build_log_rows(build, "a line")
    paths = [path for path in addresses(get_resolver()) if "logout" not in path]
    assert len(paths) > 30
    paths += [
        f"/templates/{template.name}",
        f"/templates/{template.name}/versions/1",
        f"/builds/{build.pk}",
        f"/builds/{build.pk}/log",
        f"/builds/{build.pk}/events",
        "/nothing/here",
        "/api/nothing/here",
    ]
    for client in (admin, Client()):
        for path in paths:
            answer = client.get(path)
            assert "no-store" in answer.get("Cache-Control", ""), (path, answer.status_code)


def test_replies_of_the_api_are_not_cached(data_dir: Path, alive_token: str) -> None:
    client = Client(headers={"Authorization": f"Bearer {alive_token}"})
    for path in ("me", "templates", "executions", "executions/x", "openapi.json"):
        answer = client.get(f"/api/v1/{path}")
        assert "no-store" in answer["Cache-Control"], path
    posted = client.post("/api/v1/executions", json.dumps({}), content_type="application/json")
    assert "no-store" in posted["Cache-Control"]


@pytest.fixture
def alive_token(db: None) -> str:
    ExecutorHeartbeat.objects.all().delete()
    _, secret = tokens.create(name="ci", scopes=["execute", "read"], actor="ada")
    return secret


def test_static_files_are_kept(db: None, settings: Settings) -> None:
    (Path(settings.STATIC_ROOT) / "kept.0123456789ab.css").write_text("a {}")
    answer = Client().get("/static/kept.0123456789ab.css")
    assert answer.status_code == 200
    assert "max-age" in answer["Cache-Control"]
    assert "no-store" not in answer["Cache-Control"]
    answer.close()


def test_browsers_get_the_header_to_stay_with_https(db: None, settings: Settings) -> None:
    settings.SECURE_HSTS_SECONDS = 1000
    assert Client().get("/login", secure=True)["Strict-Transport-Security"] == "max-age=1000"
    assert "Strict-Transport-Security" not in Client().get("/login")
    settings.STENCIL_PROXIES = 1
    headers = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https"}
    assert "Strict-Transport-Security" in Client().get("/login", headers=headers)
    settings.SECURE_HSTS_SECONDS = 0
    assert "Strict-Transport-Security" not in Client().get("/login", secure=True)
