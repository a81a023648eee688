"""Make sample records for pictures: executions, builds, a promotion and users."""

import base64
import hashlib
import hmac
import json
import re
import struct
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

PASSWORD = "seven green boats"  # noqa: S105 - of users made for pictures
OPERATOR, VIEWER = "grace", "victor"
ENDED = {"ready", "reproduced", "failed", "cancelled", "interrupted"}
NPMRC = """omit-lockfile-registry-resolved=true
audit=false
fund=false
update-notifier=false
progress=false
"""
CENTS = """import { describe, expect, it } from "vitest";
import { total } from "./total.js";

describe("total", () => {
  it("adds prices", () => expect(total([1, 2])).toBe(3));
  it("keeps cents", () => {
    console.log("\\u001b[33mrounding\\u001b[0m is hard:", total([0.1, 0.2]));
    expect(total([0.1, 0.2])).toBe(0.3);
  });
  it("keeps the receipt", () => {
    expect({ paid: total([3, 4]), items: 2 }).toEqual({ paid: 8, items: 2 });
  });
  it.skip("knows currencies", () => {});
});
"""
TOTAL = "export const total = (prices) => prices.reduce((sum, price) => sum + price, 0);\n"
SUBMISSIONS: tuple[dict[str, Any], ...] = (
    {
        "template": "javascript",
        "mode": "test",
        "files": [
            {"path": "total.js", "content": TOTAL},
            {"path": "total.test.js", "content": CENTS},
        ],
        "labels": {"course": "cs110", "exercise": "7"},
    },
    {
        "template": "python",
        "mode": "run",
        "files": [{"path": "main.py", "content": "while True:\n    pass\n"}],
        "limits": {"wall_ms": 1000},
    },
    {
        "template": "python",
        "mode": "run",
        "files": [{"path": "main.py", "content": "import sys\nprint(int(input()) * 7)\n"}],
        "stdin": "6\n",
    },
    {
        "template": "typescript",
        "mode": "run",
        "files": [
            {"path": "main.ts", "content": "const words: string[] = ['fast']\nconsole.log(words)\n"}
        ],
    },
)


@dataclass(frozen=True)
class Api:
    """The HTTP API of a running Stencil."""

    url: str
    token: str

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Return the parsed answer. Raises urllib.error.HTTPError for a refusal."""
        request = urllib.request.Request(  # noqa: S310 - the address that `make up` wrote
            f"{self.url}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310
            return json.load(answer)

    def first(self, path: str) -> Any:
        """Return the newest of a list, or None."""
        return next(iter(self.call("GET", path)["items"]), None)

    def newest(self, template: str) -> dict[str, str]:
        """Return ids for addresses: the newest existing execution and build of each kind."""
        found = {}
        for state in ("failed", "error", "succeeded"):
            execution = self.first(f"/executions?limit=1&state={state}")
            if execution:
                found[state] = execution["id"]
        timed_out = self.first("/executions?limit=1&state=timed_out")
        if timed_out:
            found.setdefault("error", timed_out["id"])
        for name, where in (("ready", template), ("failed", "python")):
            build = self.first(f"/templates/{where}/builds?limit=1&state={name}")
            if build:
                found[f"{name}_build"] = build["id"]
        current = self.call("GET", f"/templates/{template}")["current"]
        versions = self.call("GET", f"/templates/{template}/versions")["items"]
        others = [each["version"] for each in versions if each["version"] != current["version"]]
        if others:
            found |= {"current": str(current["version"]), "candidate": str(others[0])}
        return found

    def build(self, template: str, **asked: Any) -> Any:
        """Request a build and wait for its end."""
        return self.wait(self.call("POST", f"/templates/{template}/builds", asked)["id"])

    def wait(self, build_id: str) -> Any:
        """Wait for the end of a build and return it."""
        while (build := self.call("GET", f"/builds/{build_id}"))["state"] not in ENDED:
            time.sleep(1)
        return build


def fill(api: Api, page: Page) -> None:
    """Make all records; `page` belongs to a signed-in admin."""
    for body in SUBMISSIONS:
        api.call("POST", "/executions", {"wait": True, **body})
    smoke = {"smoke/run/src/main.py": "raise SystemExit('the new parser fails')\n"}
    api.build("python", kind="edit", files=smoke)
    made = api.build("typescript", kind="edit", files={".npmrc": NPMRC})
    if made["state"] == "ready":
        body = {"version": made["version"], "reason": "quieter logs, for exercise 7"}
        api.call("POST", "/templates/typescript/promote", body)
    update(api, page)
    for name, role in ((OPERATOR, "operator"), (VIEWER, "viewer")):
        invite(page, api.url, name, role)
    page.goto(f"{api.url}/tokens")
    page.get_by_label("Name", exact=True).fill("grader")
    page.get_by_role("button", name="Make the token").click()


def update(api: Api, page: Page) -> None:
    """Build a candidate with one package at the newest version of the registry."""
    page.goto(f"{api.url}/templates/typescript/new?kind=update")
    page.get_by_label(re.compile("^@types/node to the newest [0-9]")).check(timeout=60_000)
    page.get_by_role("button", name="Start the update").click()
    page.wait_for_url(re.compile("/builds/"))
    api.wait(page.url.rpartition("/")[2])


def invite(admin: Page, base: str, name: str, role: str) -> None:
    """Make a user with a password; an operator gets an authenticator app, too."""
    admin.goto(f"{base}/users")
    admin.get_by_label("User", exact=True).fill(name)
    admin.get_by_role("radio", name=re.compile(f"^{role}")).check()
    admin.get_by_role("button", name="Invite").click()
    path = admin.locator("#welcome-link").inner_text().partition("/welcome/")[2]
    page = newcomer(admin)
    page.goto(f"{base}/welcome/{path}")
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("Repeat the new password").fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    if name == OPERATOR:
        page.get_by_label("User").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Overview").wait_for()
        page.goto(f"{base}/account/app/add")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
        page.get_by_label("Code").fill(code(page.locator("#totp-secret").inner_text()))
        page.get_by_role("button", name="Turn it on").click()
        page.locator("#recovery-codes").wait_for()
    page.context.close()


def newcomer(admin: Page) -> Page:
    """Open a page of the same browser without a signed-in user."""
    browser = admin.context.browser
    if browser is None:
        message = "Only a launched browser can be opened twice."
        raise RuntimeError(message)
    return browser.new_page()


def code(secret: str) -> str:
    """Return the current code of an authenticator app (RFC 6238)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    start = digest[-1] & 15
    value = int.from_bytes(digest[start : start + 4]) & 0x7FFFFFFF
    return f"{value % 1_000_000:06}"
