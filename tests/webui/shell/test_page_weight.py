"""Test that a first visit to any page loads less than 200 KB, compressed."""

import gzip
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client

from templatemgr.models import Build, Version
from tests import factories

MOST = 200_000  # bytes
REFERENCE = re.compile(r'(?:src|href)="/static/([^"?#]+)"')
IN_STYLE = re.compile(r"""url\(["']?([^"')]+)["']?\)""")
PACKED = {".woff2", ".png", ".jpg", ".webp"}  # compressed in themselves


@pytest.fixture
def version(db: None, data_dir: Path) -> Version:
    made = factories.make_version_row(factories.make_template_row())
    factories.make_promotion_row(made)
    Build.objects.filter(pk=made.build_id).update(version=made)
    return made


def weight(page: str) -> dict[str, int]:
    """Return the bytes of a page and of every file that it loads, by name."""
    found = {"the page": len(gzip.compress(page.encode()))}
    left = list(REFERENCE.findall(page))
    while left:
        name = left.pop().lstrip("/")
        if name in found:
            continue
        path = finders.find(plain(name))
        assert path is not None, name
        data = Path(path).read_bytes()
        suffix = Path(path).suffix
        found[name] = len(data) if suffix in PACKED else len(gzip.compress(data))
        if suffix == ".css":
            folder = Path(name).parent
            urls = IN_STYLE.findall(data.decode())
            left += [str(folder / url) for url in urls if not url.startswith("data:")]
    return found


def plain(name: str) -> str:
    """Return the name without the hash that the manifest adds."""
    return re.sub(r"\.[0-9a-f]{12}(\.[a-z0-9]+)$", r"\1", name)


def test_first_load_of_every_kind_of_page_is_small(admin: Client, version: Version) -> None:
    assert settings.STATIC_URL == "/static/"
    made = factories.make_execution_row(version, tests=factories.FAILING_TESTS)
    for path in (
        "/", "/templates", "/templates/typescript", "/templates/typescript/versions/1",
        "/templates/typescript/compare/0/1", f"/builds/{version.build_id}", "/executions",
        f"/executions/{made.pk}", "/playground", "/audit", "/tokens", "/users", "/account",
        "/system",
    ):  # fmt: skip
        answer = admin.get(path)
        assert answer.status_code == 200, path
        parts = weight(answer.content.decode())
        assert any(name.endswith(".woff2") for name in parts), path
        assert any(name.endswith(".css") for name in parts), path
        assert any("htmx" in name for name in parts), path
        assert sum(parts.values()) < MOST, (path, parts)
