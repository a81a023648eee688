"""Test the dashboard without JavaScript: every action except streaming, by links and forms."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Stencil


def test_a_submission_is_run_and_read_without_javascript(plain: Page, stencil: Stencil) -> None:
    """Use the playground's form and files, the execution's page and the filters of the list."""
    page = plain
    page.goto(f"{stencil.url}/playground?template=javascript&example=test-fail")
    page.get_by_role("button", name="Add a file").click()
    expect(page.get_by_label("Path of file 3")).to_be_visible()
    page.get_by_role("button", name="Remove file 3").click()
    expect(page.get_by_label("Path of file 3")).to_have_count(0)
    page.get_by_role("button", name=re.compile("^Run")).click()
    result = page.get_by_role("region", name="Result")
    expect(result.get_by_text("1 failed")).to_be_visible()
    page.get_by_role("link", name=re.compile("^Execution ")).click()
    expect(page.locator(".code-line.failing").first).to_be_visible()
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_role("heading", name=re.compile("^Execution "))).to_be_visible()

    page.goto(f"{stencil.url}/executions")
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody .pill").first).to_have_text("failed")


def test_a_build_is_started_and_cancelled_without_javascript(plain: Page, stencil: Stencil) -> None:
    """Reload the page of the build to see its state and the effect of the cancellation."""
    page = plain
    page.goto(f"{stencil.url}/templates/javascript")
    page.get_by_role("link", name="Build a version").click()
    page.get_by_role("button", name="Start the rebuild").click()
    expect(page.get_by_role("heading", name=re.compile("^Build of JavaScript"))).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    state = page.locator("#build-state")
    reload_until(page, lambda: "cancelled" in state.inner_text())
    expect(page.get_by_text("Only this log is kept.")).to_be_visible()


def test_tokens_users_and_the_audit_trail_without_javascript(plain: Page, stencil: Stencil) -> None:
    """Check that each dialog has a page of its own, or is part of its page, without JavaScript."""
    page = plain
    page.goto(f"{stencil.url}/tokens")
    page.get_by_label("Name", exact=True).fill("plain-bot")
    page.get_by_role("button", name="Make the token").click()
    expect(page.locator("#secret")).to_have_text(re.compile("^stn_"))
    page.goto(f"{stencil.url}/tokens?q=plain-bot")
    page.get_by_role("link", name="plain-bot").click()
    page.get_by_role("button", name="Revoke").first.click()
    expect(page.get_by_text("cannot be used again")).to_be_visible()

    page.goto(f"{stencil.url}/users")
    page.get_by_label("User", exact=True).fill("paula")
    page.get_by_role("radio", name=re.compile("^viewer")).check()
    page.get_by_role("button", name="Invite").click()
    expect(page.locator("#welcome-link")).to_be_visible()
    page.goto(f"{stencil.url}/users?q=paula")
    page.get_by_role("link", name="paula").click()
    page.get_by_role("button", name="Deactivate").first.click()
    expect(page.get_by_text("signed out everywhere")).to_be_visible()

    page.goto(f"{stencil.url}/audit")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").last.click()
    assert download.value.suggested_filename.endswith(".jsonl")
    page.get_by_role("button", name="Verify the chain").click()
    reload_until(page, lambda: page.get_by_text("The chain holds").count() > 0, "Continue")


def test_no_page_has_a_button_that_needs_javascript(plain: Page, stencil: Stencil) -> None:
    """Verify a version, then look for buttons that only a script could handle."""
    page = plain
    page.goto(f"{stencil.url}/templates/javascript/versions/1")
    page.get_by_role("button", name="Verify").click()
    reload_until(page, lambda: page.get_by_text("match the manifest").count() > 0)
    dead = {}
    for path in ("/", "/templates/javascript", "/playground", "/executions", "/audit", "/tokens",
                 "/users/1", "/account", "/system", "/builds"):  # fmt: skip
        page.goto(stencil.url + path)
        buttons = page.locator('button[type="button"]:visible:enabled')
        found = [text.strip() for text in buttons.all_inner_texts()]
        if found:
            dead[path] = found
    assert dead == {}


def reload_until(page: Page, done: Callable[[], bool], press: str = "") -> None:
    """Reload the page, or press the button `press`, until `done` returns true."""
    for _ in range(90):
        if done():
            return
        if press and page.get_by_role("button", name=press).count():
            page.get_by_role("button", name=press).click()
        else:
            page.wait_for_timeout(1000)
            page.reload()
    pytest.fail(f"it never came: {page.url}")
