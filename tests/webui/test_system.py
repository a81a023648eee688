"""The system page says what doctor says, to those who may know."""

from django.conf import settings
from django.test import Client


def test_findings_and_settings_are_shown_without_secrets(admin: Client) -> None:
    page = admin.get("/system").content.decode()
    assert "bubblewrap" in page
    assert "STENCIL_SLOTS" in page
    assert settings.SECRET_KEY not in page


def test_viewer_is_refused(viewer: Client) -> None:
    assert viewer.get("/system").status_code == 403
