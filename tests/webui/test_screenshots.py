"""Test that the list of screenshots names every page."""

import sys
from pathlib import Path

from django.urls import URLPattern

from tests.webui.test_every_page import CHANGES, REDIRECTS, STREAMS
from webui.signin import urls
from webui.urls import pages

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))
import screenshots

# Parts of pages for htmx, and addresses without a page.
PARTS = {
    "overview_state", "overview_activity", "template_activity", "rail_health", "packages",
    "verification", "build_steps", "execution_json", "execution_callback",
}  # fmt: skip
# Other names of the same pages, and forms like those that have a picture.
LIKE_OTHERS = {
    "account_reset_password_from_key_done", "mfa_index", "mfa_list_webauthn", "mfa_login_webauthn",
    "account_logout", "end_sessions", "account_set_password", "mfa_reauthenticate",
    "mfa_reauthenticate_webauthn", "mfa_deactivate_totp", "mfa_edit_webauthn",
    "mfa_remove_webauthn", "mfa_view_recovery_codes", "mfa_generate_recovery_codes",
    "mfa_download_recovery_codes",
}  # fmt: skip
SHOTS = (
    *screenshots.SHOTS.values(), *screenshots.STRANGER.values(), *screenshots.ASIDE.values(),
    screenshots.CONFIRM,
)  # fmt: skip


def test_every_page_has_a_picture() -> None:
    sign_in = {str(each.name) for each in urls.urlpatterns if isinstance(each, URLPattern)}
    shown = {str(each.name) for each in pages} - CHANGES - STREAMS - REDIRECTS - PARTS
    assert (shown | sign_in) - LIKE_OTHERS - {shot.view for shot in SHOTS} == set()
