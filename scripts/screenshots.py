"""Pictures of every page, light and dark, wide and narrow, of a Stencil that runs already.

Start one with `make up`, then `make screenshots`: they are written to `screenshots/`.
"""

import json
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "screenshots"
WIDTHS = {"wide": 1440, "narrow": 390}
PAGES = {
    "overview": "/",
    "templates": "/templates",
    "template": "/templates/typescript",
    "version": "/templates/typescript/versions/1",
    "executions": "/executions",
    "playground": "/playground?example=failing",
    "audit": "/audit",
    "tokens": "/tokens",
    "users": "/users",
    "user": "/users/1",
    "account": "/account",
    "system": "/system",
}


def linked(page: Page, url: str, prefix: str) -> str | None:
    """The first address below `prefix` that the page at `url` links to."""
    page.goto(url)
    links = page.locator(f'a[href^="{prefix}"]')
    return links.first.get_attribute("href") if links.count() else None


def main() -> int:
    """Take the pictures; 1 when no Stencil answers."""
    made = json.loads(
        Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "var/credentials.json").read_text()
    )
    TARGET.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for theme in ("light", "dark"):
            for width, pixels in WIDTHS.items():
                shoot(browser, made, theme, width, pixels)
        browser.close()
    return 0


def shoot(
    browser: Browser, made: dict[str, dict[str, str]], theme: str, width: str, pixels: int
) -> None:
    """Every page in one theme and one width."""
    base = str(made["url"])
    context = browser.new_context(
        viewport={"width": pixels, "height": 900},
        color_scheme="dark" if theme == "dark" else "light",
    )
    page = context.new_page()
    page.goto(f"{base}/login")
    page.screenshot(path=TARGET / f"login-{theme}-{width}.png")
    page.get_by_label("User").fill(made["admin"]["username"])
    page.get_by_label("Password").fill(made["admin"]["password"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{base}/")
    pages = dict(PAGES)
    found = {
        "execution": linked(page, f"{base}/executions", "/executions/0"),
        "build": linked(page, f"{base}/templates/typescript/versions/1", "/builds/"),
        "compare": linked(page, f"{base}/templates/typescript", "/templates/typescript/compare/"),
    }
    pages |= {name: path for name, path in found.items() if path}
    for name, path in pages.items():
        page.goto(base + path)
        page.wait_for_timeout(400)
        page.screenshot(path=TARGET / f"{name}-{theme}-{width}.png", full_page=True)
    context.close()


if __name__ == "__main__":
    sys.exit(main())
