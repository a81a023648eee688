"""Test sign-in: invitation, password, authenticator app, passkey; roles, tokens, audit trail."""

import base64
import hashlib
import hmac
import re
import struct
import subprocess
import sys
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import sign_in
from tests.browser.user_actions import PASSWORD, Open, come_in, enter, invite, leave
from tests.conftest import ROOT, Stencil


@pytest.fixture
def named(stencil: Stencil) -> str:
    """Return the address with a host name: browsers bind passkeys to a name, not to an IP."""
    return stencil.url.replace("127.0.0.1", "localhost")


def code(secret: str, offset: int = 0) -> str:
    """Return the code that an authenticator app shows (RFC 6238), `offset` steps from now."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    counter = struct.pack(">Q", int(time.time()) // 30 + offset)
    digest = hmac.new(key, counter, hashlib.sha1).digest()
    start = digest[-1] & 15
    value = int.from_bytes(digest[start : start + 4]) & 0x7FFFFFFF
    return f"{value % 1_000_000:06}"


def test_invited_user_sets_up_an_app_and_a_passkey(
    admin: Page, people: Open, stencil: Stencil, named: str
) -> None:
    link = invite(admin, stencil.url, "grace", "operator")
    page = people()
    come_in(page, named, link.replace(stencil.url, named), "grace")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    page.locator("summary.avatar").click()
    page.get_by_role("link", name="Account").click()
    page.get_by_role("link", name=re.compile("^Set up")).click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    secret = page.locator("#totp-secret").inner_text()
    page.get_by_label("Code").fill(code(secret))
    page.get_by_role("button", name="Turn it on").click()
    codes = page.locator("#recovery-codes").inner_text().split()
    assert len(set(codes)) == 10

    leave(page, named)
    enter(page, named, "grace")
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Incorrect code")).to_be_visible()
    page.get_by_label("Code").fill(code(secret, 1))  # the code of this step was used above
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    page.goto(f"{named}/account/passkeys/add")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_text("laptop").first).to_be_visible()

    leave(page, named)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    page.goto(f"{named}/audit?actor=grace")
    expect(page.get_by_text("grace by passkey")).to_be_visible()
    expect(page.get_by_text("grace by authenticator app")).to_be_visible()
    expect(page.get_by_text("grace by password and authenticator app")).to_be_visible()


def test_a_missing_passkey_is_reported(people: Open, named: str) -> None:
    page = people()
    page.goto(f"{named}/login")
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": False,
            }
        },
    )
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("was not used", timeout=60_000)


def test_a_role_sees_only_the_controls_of_its_permissions(
    admin: Page, people: Open, stencil: Stencil
) -> None:
    base = stencil.url
    page = people()
    come_in(page, base, invite(admin, base, "victor", "viewer"), "victor")
    rail = page.get_by_role("navigation", name="Main")
    expect(rail.get_by_role("link", name="Executions")).to_be_visible()
    for name in ("Playground", "Tokens", "Users", "System"):
        expect(rail.get_by_role("link", name=name)).to_have_count(0)
    page.goto(f"{base}/templates/typescript")
    for name in ("Pin", "Verify", "Build a version"):
        for role in ("button", "link"):
            expect(page.get_by_role(role, name=name, exact=True)).to_have_count(0)
    page.goto(f"{base}/users")
    expect(page.get_by_text("needs the role admin")).to_be_visible()

    admin.goto(f"{base}/users?q=victor")
    admin.get_by_role("link", name="victor").click()
    admin.get_by_role("radio", name=re.compile("^releaser")).check()
    admin.get_by_role("button", name="Change the role").click()
    expect(admin.get_by_text("victor is releaser from now on")).to_be_visible()
    page.goto(f"{base}/templates/typescript")
    expect(page.get_by_role("link", name="Pin", exact=True)).to_be_visible()

    admin.get_by_role("button", name="Deactivate").click()
    admin.locator("dialog[open]").get_by_role("button", name="Deactivate").click()
    expect(admin.get_by_text("signed out everywhere")).to_be_visible()
    page.goto(f"{base}/templates/typescript")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    enter(page, base, "victor")
    expect(page.get_by_text("This account is deactivated")).to_be_visible()


def test_token_is_made_rotated_and_revoked(admin: Page, stencil: Stencil) -> None:
    admin.goto(f"{stencil.url}/tokens")
    admin.get_by_label("Name", exact=True).fill("browser-bot")
    admin.get_by_role("button", name="Make the token").click()
    old = admin.locator("#secret").inner_text()
    admin.goto(f"{stencil.url}/tokens?q=browser-bot")
    admin.get_by_role("link", name="browser-bot").click()
    admin.get_by_role("button", name="Rotate", exact=True).click()
    dialog = admin.locator("dialog[open]")
    dialog.get_by_label("The old secret ends").select_option("in an hour")
    dialog.get_by_role("button", name="Rotate").click()
    new = admin.locator("#secret").inner_text()
    calls = (
        Stencil(**{**stencil.__dict__, "token": old}),
        Stencil(**{**stencil.__dict__, "token": new}),
    )
    assert [each.api("GET", "/me")[0] for each in calls] == [200, 200]
    admin.get_by_role("link", name="I have it").click()
    admin.get_by_role("button", name="End it now").click()
    assert [each.api("GET", "/me")[0] for each in calls] == [401, 200]
    admin.get_by_role("button", name="Revoke").click()
    admin.locator("dialog[open]").get_by_role("button", name="Revoke").click()
    expect(admin.get_by_text("cannot be used again")).to_be_visible()
    assert [each.api("GET", "/me")[0] for each in calls] == [401, 401]


def test_the_chain_is_verified_and_the_export_can_be_verified(
    admin: Page, stencil: Stencil, tmp_path_factory: pytest.TempPathFactory
) -> None:
    admin.goto(f"{stencil.url}/audit")
    admin.get_by_role("button", name="Verify the chain").click()
    expect(admin.get_by_text(re.compile("The chain holds: .* events"))).to_be_visible()
    script = str(ROOT / "scripts" / "check_audit_export.py")
    for words, suffix in (("JSON Lines", "jsonl"), ("CSV", "csv")):
        admin.goto(f"{stencil.url}/audit")
        admin.get_by_role("button", name="Export").click()
        dialog = admin.locator("dialog[open]")
        dialog.get_by_role("radio", name=re.compile(words)).check()
        with admin.expect_download() as download:
            dialog.get_by_role("button", name="Export").click()
        path = tmp_path_factory.mktemp("export") / f"audit.{suffix}"
        download.value.save_as(path)
        done = subprocess.run(
            [sys.executable, script, str(path)], capture_output=True, text=True, check=False
        )
        assert "each follows the one before it" in done.stdout, done.stderr


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_of_sign_in_and_people_are_accessible(
    people: Open, stencil: Stencil, named: str, theme: str
) -> None:
    page = people(color_scheme=theme)
    page.goto(f"{named}/login")
    found = {"/login": Axe().run(page)}
    sign_in(page, Stencil(**{**stencil.__dict__, "url": named}))
    page.goto(f"{named}/account/confirm?next=/account")
    found["/account/confirm"] = Axe().run(page)
    page.get_by_label("Password").fill(stencil.password)
    page.get_by_role("button", name="Confirm").click()
    for path in (
        "/account", "/account/password", "/account/app/add", "/account/passkeys/add", "/users",
        "/users/1", "/tokens", "/audit",
    ):  # fmt: skip
        page.goto(named + path)
        found[path] = Axe().run(page)
    page.goto(f"{named}/tokens")
    page.locator(".table .row-link").first.click()
    found["/tokens/…"] = Axe().run(page)
    troubles = {
        path: each.generate_report() for path, each in found.items() if each.violations_count
    }
    assert troubles == {}
