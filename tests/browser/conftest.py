"""Real Chromium, signed in, in front of a real gunicorn and a real executor."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Stencil
from tests.patience import HANGS_SECONDS

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",  # tests run as root in CI; what is shown is our own loopback page
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
    """The system's Chromium instead of one that Playwright would download."""
    return {"executable_path": CHROMIUM, "args": FLAGS}


@pytest.fixture(scope="session")
def base_url() -> None:
    """Addresses are whole here. The plugin's own fixture raises a warning under pytest 9."""


@pytest.fixture
def admin(page: Page, stencil: Stencil) -> Iterator[Page]:
    """A page signed in as admin. A script error or a blocked resource fails the test."""
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda message: (
            troubles.append(message.text) if "Content Security" in message.text else None
        ),
    )
    sign_in(page, stencil)
    yield page
    assert troubles == []


def sign_in(page: Page, stencil: Stencil) -> None:
    """Sign in through the form, as a person does."""
    page.goto(f"{stencil.url}/")
    page.get_by_label("User").fill(stencil.username)
    page.get_by_label("Password").fill(stencil.password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()
