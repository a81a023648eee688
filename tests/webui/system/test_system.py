"""Test the system page: it shows the notes of doctor to users with the permission."""

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client

from sandbox import probe
from tests import factories


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


def test_fork_servers_are_shown_with_the_reason_of_a_missing_one(admin: Client) -> None:
    group = {
        "template": "python", "version": 3, "mode": "run", "spare": False, "warm": 1, "desired": 2,
        "memory_bytes": 9 << 20, "per_minute": 1.5,
    }  # fmt: skip
    serving = {**group, "tier": "bare", "serving": True, "forks": 12, "reason": ""}
    failed = {**group, "tier": "preloaded", "serving": False, "forks": 0, "reason": "it is <dead>"}
    idle = {**group, "template": "unused", "tier": None, "desired": 0}
    factories.make_heartbeat_row(
        pool={"budget_bytes": 1 << 30, "groups": [group, serving, failed, idle]}
    )
    page = admin.get("/system").content.decode()
    assert "a fork server, bare" in page
    assert "12 forks" in page
    assert "it is &lt;dead&gt;" in page
    assert page.count("loading each") == 1
    assert "unused@3" not in page
