"""Test the whole way of one user in the browser, from the first sign-in to the audit trail."""

import re
from dataclasses import replace

from playwright.sync_api import Page, expect

from tests.browser.user_actions import Open, come_in, invite
from tests.conftest import Stencil

BUILT = 180_000  # milliseconds that a real build may take on a busy machine
WHY = "types of the newest Node"
PROGRAM = {
    "template": "typescript",
    "mode": "run",
    "files": [{"path": "main.ts", "content": "console.log(process.version)"}],
    "wait": True,
}


def test_from_the_first_sign_in_to_the_audit(admin: Page, people: Open, stencil: Stencil) -> None:
    """Try, update, build, compare, promote, run, roll back; find each action and its reason."""
    page = people()
    come_in(page, stencil.url, invite(admin, stencil.url, "wanda", "admin"), "wanda")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    rail = page.get_by_role("navigation", name="Main")

    rail.get_by_role("link", name="Playground").click()
    run_examples(page)

    rail.get_by_role("link", name="Tokens").click()
    secret = make_token(page, "wanda-ci")

    rail.get_by_role("link", name="Templates").click()
    page.get_by_role("link", name="TypeScript").first.click()
    before = page.locator(".hero-number").inner_text()
    update(page)
    after = follow_build(page)
    promote(page, before, after)

    status, execution = replace(stencil, token=secret).api("POST", "/executions", PROGRAM)
    assert (status, execution["template"]["version"]) == (201, int(after))
    rail.get_by_role("link", name="Executions").click()
    row = page.get_by_role("row").filter(has=page.locator(f"#to-{execution['id']}"))
    expect(row).to_contain_text(f"typescript {after}")
    expect(row).to_contain_text("wanda-ci")

    roll_back(page, stencil, before, after)
    _, execution = replace(stencil, token=secret).api("POST", "/executions", PROGRAM)
    assert execution["template"]["version"] == int(before)

    rail.get_by_role("link", name="Tokens").click()
    page.get_by_role("link", name="wanda-ci").click()
    page.get_by_role("button", name="Revoke").click()
    page.locator("dialog[open]").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("cannot be used again")).to_be_visible()
    assert replace(stencil, token=secret).api("GET", "/me")[0] == 401

    rail.get_by_role("link", name="Audit").click()
    find_it_all(page, before, after)


def run_examples(page: Page) -> None:
    """Run the passing example by its button, the failing one by its key."""
    result = page.get_by_role("region", name="Result")
    page.locator('a[href*="typescript"][href*="test-pass"]').first.click()
    page.get_by_role("button", name=re.compile("^Run")).click()
    expect(result.get_by_text("succeeded").first).to_be_visible()
    expect(result.get_by_text("1 failed")).to_have_count(0)

    page.locator('a[href*="typescript"][href*="test-fail"]').first.click()
    expect(result.get_by_text("Nothing has run yet")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(result.get_by_text("sum > keeps cents")).to_be_visible()
    expect(result.get_by_text("1 failed")).to_be_visible()


def make_token(page: Page, name: str) -> str:
    """Make a token for executions; return its secret, which is shown once."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Make the token").click()
    secret = page.locator("#secret").inner_text()
    page.get_by_role("link", name="I have it").click()
    expect(page.get_by_role("link", name=name)).to_be_visible()
    expect(page.locator("#secret")).to_have_count(0)
    return secret


def update(page: Page) -> None:
    """Select one package to update. The lookup at the registry starts without a click."""
    page.get_by_role("link", name="Build a version").click()
    page.get_by_role("link", name=re.compile("^Update")).click()
    newest = page.get_by_label(re.compile("^@types/node to the newest [0-9]"))
    newest.check()
    expect(page.get_by_text("1 package moves")).to_be_visible()
    page.get_by_role("button", name="Start the update").click()


def follow_build(page: Page) -> str:
    """Follow the log without a reload; return the number of the new version."""
    page.wait_for_url(re.compile("/builds/"))
    expect(page.get_by_text(re.compile("update of @types/node@"))).to_be_visible()
    expect(page.locator(".log-line").first).to_be_visible()
    outcome = page.get_by_text(re.compile(r"^Version \d+ is ready$"))
    expect(outcome).to_have_count(0)  # the lines arrived while the build ran
    expect(outcome).to_be_visible(timeout=BUILT)
    expect(page.locator("details[data-step=smoke] .log-line").first).to_be_visible()
    return re.sub(r"\D", "", outcome.inner_text())


def promote(page: Page, before: str, after: str) -> None:
    """Read the changes and the evidence, and give a reason."""
    page.get_by_role("link", name="Compare and promote").click()
    name = page.get_by_text("@types/node", exact=True)
    row = page.get_by_role("row").filter(has=name).first
    expect(row).to_contain_text("direct")
    expect(row).to_contain_text("major")
    expect(page.locator(".config-diff").first).to_contain_text('+    "@types/node"')
    expect(page.get_by_text("5 of 5")).to_be_visible()
    page.get_by_label("Why").fill(WHY)
    page.get_by_role("button", name=f"Promote {after}").click()
    expect(page.get_by_role("heading", name=f"TypeScript {before} → {after}")).to_be_visible()
    expect(page.get_by_text(f"“{WHY}”")).to_be_visible()


def roll_back(page: Page, stencil: Stencil, before: str, after: str) -> None:
    """Roll back from the receipt in one click: the reason is already filled in."""
    page.goto(f"{stencil.url}/templates/typescript/promotions")
    page.get_by_role("link", name=f"Receipt of {after}").first.click()
    page.get_by_role("button", name=f"Roll back to {before}").click()
    expect(page.get_by_role("heading", name=f"TypeScript {after} → {before}")).to_be_visible()
    expect(page.get_by_text(f"Version {before} is current again")).to_be_visible()
    page.goto(f"{stencil.url}/templates/typescript")
    expect(page.locator(".hero-number")).to_have_text(before)
    periods = page.get_by_role("region", name="Current versions over time").get_by_role("listitem")
    expect(periods.nth(0)).to_contain_text("rolled back")
    expect(periods.nth(1)).to_contain_text(f"“{WHY}”")


def find_it_all(page: Page, before: str, after: str) -> None:
    """Find every action of the user in the audit trail, in order, in a valid chain."""
    page.get_by_label("Actor").fill("wanda")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url(re.compile("actor=wanda"))
    events = page.get_by_role("region", name="Events").locator("tbody tr")
    sentences = (
        ("token.revoke", "wanda-ci"),
        ("version.rollback", f"{after} misbehaves"),
        ("version.promote", WHY),
        ("build.request", "typescript"),
        ("token.create", "wanda-ci"),
        ("user.sign_in", "wanda"),
    )
    where = -1
    lines = events.all_inner_texts()
    for act, words in sentences:
        found = [at for at, line in enumerate(lines) if act in line and words in line]
        assert found, f"no {act} with {words!r} in {lines}"
        assert found[0] > where
        where = found[0]
    page.get_by_role("button", name="Verify the chain").click()
    expect(page.get_by_text(re.compile("The chain holds: .* events"))).to_be_visible()
