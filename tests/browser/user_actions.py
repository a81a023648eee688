"""Actions of users: accept an invitation, set a password, sign in, sign out."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

PASSWORD = "seven green boats"
type Open = Callable[..., Page]


def invite(admin: Page, base: str, name: str, role: str) -> str:
    """Invite a user by the form; return the link that sets the password."""
    admin.goto(f"{base}/users")
    admin.get_by_label("User", exact=True).fill(name)
    admin.get_by_role("radio", name=re.compile(f"^{role}")).check()
    admin.get_by_role("button", name="Invite").click()
    link = admin.locator("#welcome-link").inner_text()
    path = link.partition("/welcome/")[2]
    return f"{base}/welcome/{path}"


def come_in(page: Page, base: str, link: str, name: str) -> None:
    """Set the password by the link, then sign in with it."""
    page.goto(link)
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("Repeat the new password").fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    enter(page, base, name)


def enter(page: Page, base: str, name: str) -> None:
    """Sign in with name and password."""
    page.goto(f"{base}/login")
    page.get_by_label("User").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def leave(page: Page, base: str) -> None:
    """Sign out by the account menu."""
    page.goto(f"{base}/account")
    page.locator("summary.avatar").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
