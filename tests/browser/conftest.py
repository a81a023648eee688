"""Fixtures: real Chromium, signed in, against a real web server and a real executor."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.user_actions import Open
from tests.conftest import Stencil
from tests.timeouts import HANGS_SECONDS

FLAGS = [
    "--no-sandbox",  # the tests run as root in CI, and show only our own page on loopback
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=HANGS_SECONDS * 1000)


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Start the system's Chromium; without one (None), Playwright starts its own."""
    return {"executable_path": shutil.which("chromium"), "args": FLAGS}


@pytest.fixture(scope="session")
def base_url() -> None:
    """Set no base URL: the tests use whole addresses. The plugin's fixture warns under pytest 9."""


@pytest.fixture
def admin(page: Page, stencil: Stencil) -> Iterator[Page]:
    """Give a page signed in as admin. A script error or a blocked resource fails the test."""
    troubles: list[str] = []
    watch(page, troubles)
    sign_in(page, stencil)
    yield page
    assert troubles == []


@pytest.fixture
def people(browser: Browser) -> Iterator[Open]:
    """Open browsers of other users. A script error or a blocked resource fails the test."""
    troubles: list[str] = []
    contexts = []

    def open_page(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        watch(page, troubles)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture
def plain(browser: Browser, stencil: Stencil) -> Iterator[Page]:
    """Give a signed-in page of a browser without JavaScript, as wide as a telephone."""
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    sign_in(page, stencil)
    yield page
    context.close()


def watch(page: Page, troubles: list[str]) -> None:
    """Note the script errors of a page, and the resources that its security policy blocked."""
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda message: (
            troubles.append(message.text) if "Content Security" in message.text else None
        ),
    )


def sign_in(page: Page, stencil: Stencil) -> None:
    """Sign in by the form, as a person does."""
    page.goto(f"{stencil.url}/")
    page.get_by_label("User").fill(stencil.username)
    page.get_by_label("Password").fill(stencil.password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()
