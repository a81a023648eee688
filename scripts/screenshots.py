"""Take pictures of every page of a running Stencil: light and dark, wide and narrow.

Run `make up`, then `make screenshots`. The pictures are written to `screenshots/`, and
`screenshots/index.html` shows all of them. The script changes nothing, except with `--fill`, which
first makes sample records: executions, builds, a promotion, users, a token.
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Page, sync_playwright
from screenshots_fill import OPERATOR, PASSWORD, VIEWER, Api, fill

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "screenshots"
WIDTHS = {"wide": 1440, "narrow": 390}
THEMES = ("light", "dark")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
EDIT = "/templates/{template}/new?kind=edit&from={version}&file=package.json"


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One picture: an address with names of `Found`, and the actions on the page before it."""

    view: str  # the address's name in urls.py
    path: str
    act: Callable[[Page], object] | None = None


def run_it(page: Page) -> None:
    """Run the submission of the playground, and wait for its result."""
    page.get_by_role("button", name=re.compile("^Run")).first.click()
    page.locator("#result .pill").first.wait_for()


def run_twice(page: Page) -> None:
    """Run the same files on two versions, side by side."""
    page.get_by_label("Compare with").select_option("typescript@1")
    run_it(page)


def open_share(page: Page) -> None:
    """Unfold the link and the curl of a result."""
    run_it(page)
    for words in ("Share as a link", "The same with curl"):
        page.locator("summary", has_text=words).first.click()


def see_difference(page: Page) -> None:
    """Change a file, then show the difference."""
    page.locator(".ace_content").first.click()
    page.keyboard.press("Control+Home")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="See the difference").click()
    page.locator(".diff-add, .diff-del").first.wait_for()


def tick(page: Page) -> None:
    """Choose the first package with a newer version, once the registry has answered."""
    page.get_by_role("checkbox").first.or_(page.get_by_label(re.compile("newest"))).first.check()


def press(name: str, seen: str = "dialog[open]") -> Callable[[Page], None]:
    """Press a button or link, and wait until `seen` appears on the page."""

    def act(page: Page) -> None:
        pattern = re.compile(f"^{name}")
        button = page.get_by_role("button", name=pattern)
        button.or_(page.get_by_role("link", name=pattern)).first.click()
        page.locator(seen).first.wait_for()

    return act


def open_palette(page: Page) -> None:
    """Open the command palette."""
    page.keyboard.press("Control+k")
    page.locator("#palette[open]").wait_for()


SHOTS = {
    "overview": Shot(view="overview", path="/"),
    "overview-day": Shot(view="overview", path="/?range=day"),
    "palette": Shot(view="overview", path="/", act=open_palette),
    "templates": Shot(view="templates", path="/templates"),
    "template": Shot(view="template", path="/templates/{template}"),
    "template-python": Shot(view="template", path="/templates/python"),
    "pin-dialog": Shot(view="template", path="/templates/{template}", act=press("Pin$")),
    "confirmation": Shot(view="confirm", path="/templates/{template}/ask/pin"),
    "promotions": Shot(view="promotions", path="/templates/{template}/promotions"),
    "receipt": Shot(view="receipt", path="{receipt}"),
    "policy": Shot(view="policy", path="/templates/{template}/policy"),
    "new-build": Shot(view="new_build", path="/templates/{template}/new"),
    "update": Shot(view="new_build", path="/templates/{template}/new?kind=update", act=tick),
    "edit": Shot(view="new_build", path=EDIT),
    "difference": Shot(view="new_build", path=EDIT, act=see_difference),
    "version": Shot(view="version", path="/templates/{template}/versions/{version}"),
    "removal": Shot(
        view="confirm_removal", path="/templates/{template}/versions/{version}/removal"
    ),
    "choose": Shot(view="choose", path="/templates/{template}/compare?new={version}"),
    "compare": Shot(view="compare", path="/templates/{template}/compare/{current}/{candidate}"),
    "compare-first": Shot(view="compare", path="/templates/{template}/compare/0/{version}"),
    "builds": Shot(view="builds", path="/builds"),
    "build": Shot(view="build", path="/builds/{ready_build}"),
    "build-failed": Shot(view="build", path="/builds/{failed_build}"),
    "executions": Shot(view="executions", path="/executions"),
    "executions-none": Shot(view="executions", path="/executions?client=nobody-at-all"),
    "execution": Shot(view="execution", path="/executions/{failed}"),
    "execution-error": Shot(view="execution", path="/executions/{error}"),
    "execution-run": Shot(view="execution", path="/executions/{succeeded}"),
    "playground": Shot(view="playground", path="/playground?template={template}"),
    "playground-failed": Shot(
        view="playground", path="/playground?template={template}&example=test-fail", act=run_it
    ),
    "playground-twice": Shot(
        view="playground", path="/playground?template={template}&example=test-fail", act=run_twice
    ),
    "playground-share": Shot(
        view="playground", path="/playground?template={template}&example=run", act=open_share
    ),
    "audit": Shot(view="audit", path="/audit"),
    "audit-verified": Shot(
        view="audit", path="/audit", act=press("Verify", "#chain-check:not(:empty)")
    ),
    "audit-export": Shot(view="audit", path="/audit", act=press("Export")),
    "audit-none": Shot(view="audit", path="/audit?actor=nobody-at-all"),
    "tokens": Shot(view="tokens", path="/tokens"),
    "token": Shot(view="token", path="{token}"),
    "token-revoke": Shot(view="token", path="{token}", act=press("Revoke")),
    "users": Shot(view="users", path="/users"),
    "user": Shot(view="user", path="{user}"),
    "account": Shot(view="account", path="/account"),
    "app-add": Shot(view="mfa_activate_totp", path="/account/app/add"),
    "passkey-add": Shot(view="mfa_add_webauthn", path="/account/passkeys/add"),
    "password": Shot(view="account_change_password", path="/account/password"),
    "system": Shot(view="system", path="/system"),
    "missing": Shot(view="template", path="/templates/nothing"),
    "not-a-page": Shot(view="pin", path="/templates/{template}/pin"),
}
CONFIRM = Shot(view="account_reauthenticate", path="/account/confirm?next=/account")
STRANGER = {
    "login": Shot(view="account_login", path="/login"),
    "welcome-used": Shot(view="account_reset_password_from_key", path="/welcome/1-used-before"),
    "inactive": Shot(view="account_inactive", path="/login/inactive"),
    "signup-closed": Shot(view="account_signup", path="/signup"),
}
ASIDE = {
    "second-factor": Shot(view="mfa_authenticate", path="/login/code"),
    "forbidden": Shot(view="users", path="/users"),
    "overview-viewer": Shot(view="overview", path="/"),
}


def find(api: Api, page: Page, base: str) -> dict[str, str]:
    """Return the values for addresses: the newest of each existing kind."""
    found = {"template": "typescript", "version": "1"}
    found |= api.newest(found["template"])
    for name, url, prefix in (
        ("receipt", "/templates/typescript/promotions", "/templates/typescript/promotions/"),
        ("token", "/tokens", "/tokens/"),
        ("user", "/users", "/users/"),
    ):
        page.goto(base + url)
        links = page.locator(f'main a[href^="{prefix}"]')
        if links.count():
            found[name] = str(links.first.get_attribute("href"))
    return found


def main() -> int:
    """Take the pictures; return 1 if one could not be taken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("credentials", nargs="?", default=ROOT / "var/credentials.json")
    parser.add_argument("--fill", action="store_true", help="first make sample records")
    parser.add_argument("--only", default="", help="names of pictures, by commas")
    options = parser.parse_args()
    made = json.loads(Path(options.credentials).read_text())
    TARGET.mkdir(exist_ok=True)
    api = Api(url=made["url"], token=made["token"])
    wanted = set(filter(None, options.only.split(",")))
    missing: set[str] = set()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        if options.fill:
            page = browser.new_page()
            sign_in(page, made["url"], **made["admin"])
            fill(api, page)
            page.close()
        for theme in THEMES:
            for width in WIDTHS:
                missing |= shoot(browser, made, api, Frame(theme, width, wanted))
        browser.close()
    write_index()
    for name in sorted(missing):
        print(f"no picture of {name}: there are no records to show, see --fill")
    return 1 if missing else 0


@dataclass(frozen=True)
class Frame:
    """The options for pictures, and the names of those to take; no name: all."""

    theme: str
    width: str
    wanted: set[str]

    def wants(self, name: str) -> bool:
        """Return whether this picture is to be taken."""
        return not self.wanted or name in self.wanted

    def take(self, page: Page, name: str) -> None:
        """Take a picture of the whole page."""
        page.wait_for_function("document.fonts.status === 'loaded'")
        page.screenshot(path=TARGET / f"{name}-{self.theme}-{self.width}.png", full_page=True)

    def open(self, browser: Browser) -> Page:
        """Open a new browser of this theme and width, without motion."""
        context = browser.new_context(
            viewport={"width": WIDTHS[self.width], "height": 900},
            color_scheme="dark" if self.theme == "dark" else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(30_000)
        return context.new_page()


def shoot(browser: Browser, made: dict[str, Any], api: Api, frame: Frame) -> set[str]:
    """Take every page in one theme and width; return the names of the missing pictures."""
    base, missing = str(made["url"]), set()
    page = frame.open(browser)
    for name, shot in STRANGER.items():
        if frame.wants(name):
            page.goto(base + shot.path)
            frame.take(page, name)
    sign_in(page, base, **made["admin"])
    page.goto(base + CONFIRM.path)
    if frame.wants("confirm"):
        frame.take(page, "confirm")
    page.get_by_label("Password").fill(made["admin"]["password"])
    page.get_by_role("button", name="Confirm").click()
    page.get_by_role("heading", name="Account").wait_for()
    found = find(api, page, base)
    for name, shot in SHOTS.items():
        if not frame.wants(name):
            continue
        try:
            page.goto(base + shot.path.format(**found))
            if shot.act:
                shot.act(page)
            frame.take(page, name)
        except (KeyError, Error):
            missing.add(name)
    page.context.close()
    return missing | as_others(browser, base, frame)


def as_others(browser: Browser, base: str, frame: Frame) -> set[str]:
    """Take the pages of other roles, whose users `fill` has made; return the missing names."""
    missing = set()
    for name, shot in ASIDE.items():
        if not frame.wants(name):
            continue
        page = frame.open(browser)
        who = OPERATOR if name == "second-factor" else VIEWER
        sign_in(page, base, username=who, password=PASSWORD)
        if page.url == f"{base}/login":
            missing.add(name)
        elif name == "second-factor":
            frame.take(page, name)
        else:
            page.goto(base + shot.path)
            frame.take(page, name)
        page.context.close()
    return missing


def sign_in(page: Page, base: str, *, username: str, password: str) -> None:
    """Sign in by the form, with user and password."""
    page.goto(f"{base}/login")
    page.get_by_label("User").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state()


def taken() -> Iterator[str]:
    """Return the names of all pictures."""
    yield from sorted(path.name for path in TARGET.glob("*.png"))


def write_index() -> None:
    """Write one page with every picture."""
    rows = "".join(f'<h2>{name}</h2><img src="{name}" loading="lazy">' for name in taken())
    (TARGET / "index.html").write_text(f"<!doctype html><title>Pictures</title>{rows}\n")


if __name__ == "__main__":
    sys.exit(main())
