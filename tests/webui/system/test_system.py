"""Test the system page: it shows the notes of doctor to users with the permission."""

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client

from sandbox import probe


def test_findings_and_settings_are_shown_without_secrets(admin: Client) -> None:
    page = admin.get("/system").content.decode()
    assert "bubblewrap" in page
    assert "STENCIL_SLOTS" in page
    assert settings.SECRET_KEY not in page


def test_viewer_is_refused(viewer: Client) -> None:
    assert viewer.get("/system").status_code == 403


def test_isolation_is_checked_once_until_a_new_request(
    admin: Client, viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def findings() -> tuple[probe.Finding, ...]:
        looks.append("look")
        title = f"Look {len(looks)}"
        return (probe.Finding(id="x", ok=True, level="ok", title=title, detail="Fine."),)

    monkeypatch.setattr(probe, "findings", findings)
    cache.clear()
    assert "Look 1" in admin.get("/system").content.decode()
    assert "Look 1" in admin.get("/system").content.decode()
    assert viewer.post("/system/check").status_code == 403
    assert len(looks) == 1
    again = admin.post("/system/check", follow=True).content.decode()
    assert "Look 2" in again
    assert len(looks) == 2
