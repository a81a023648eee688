"""Move a dependency forward on a Tuesday afternoon, and back again."""

import re

from playwright.sync_api import Page, expect

from tests.conftest import Stencil

BUILT = 180_000  # milliseconds that a real build may take on a busy machine


def test_update_watch_compare_promote_and_roll_back(admin: Page, stencil: Stencil) -> None:
    """Ask the registry, tick one package, follow its build, read the diff, promote, undo."""
    page = admin
    page.goto(f"{stencil.url}/templates/typescript")
    before = page.locator(".hero-number").inner_text()
    page.get_by_role("link", name="Build a version").click()
    page.get_by_role("link", name=re.compile("^Update")).click()
    # The registry is asked without a click, and the page fills in when it has answered.
    newest = page.get_by_label(re.compile("^@types/node to the newest [0-9]"))
    newest.check(timeout=60_000)
    expect(page.get_by_text("1 package moves")).to_be_visible()
    page.get_by_role("button", name="Start the update").click()

    page.wait_for_url(re.compile("/builds/"))
    expect(page.get_by_text(re.compile("update of @types/node@"))).to_be_visible()
    expect(page.locator(".log-line").first).to_be_visible(timeout=60_000)
    outcome = page.get_by_text(re.compile(r"^Version \d+ is ready$"))
    expect(outcome).to_be_visible(timeout=BUILT)
    expect(page.locator("details[data-step=smoke] .log-line").first).to_be_visible()
    after = re.sub(r"\D", "", outcome.inner_text())

    page.get_by_role("link", name="Compare and promote").click()
    name = page.get_by_text("@types/node", exact=True)
    row = page.get_by_role("row").filter(has=name).first
    expect(row).to_contain_text("direct")
    expect(row).to_contain_text("major")
    expect(page.locator(".config-diff").first).to_contain_text('+    "@types/node"')
    expect(page.get_by_text("4 of 4")).to_be_visible()
    page.get_by_label("Why").fill("types of the newest Node")
    page.get_by_role("button", name=f"Promote {after}").click()

    expect(page.get_by_role("heading", name=f"TypeScript {before} → {after}")).to_be_visible()
    expect(page.get_by_text("“types of the newest Node”")).to_be_visible()
    _, execution = stencil.api(
        "POST",
        "/executions",
        {
            "template": "typescript",
            "mode": "run",
            "files": [{"path": "main.ts", "content": "console.log(process.version)"}],
            "wait": True,
        },
    )
    assert execution["template"]["version"] == int(after)

    # One click: the reason is drafted already.
    page.get_by_role("button", name=f"Roll back to {before}").click()
    expect(page.get_by_role("heading", name=f"TypeScript {after} → {before}")).to_be_visible()
    expect(page.get_by_text(f"Version {before} is current again")).to_be_visible()

    page.goto(f"{stencil.url}/templates/typescript")
    expect(page.locator(".hero-number")).to_have_text(before)
    reigns = page.get_by_role("region", name="What was current when").get_by_role("listitem")
    expect(reigns.nth(0)).to_contain_text("rolled back")
    expect(reigns.nth(1)).to_contain_text("“types of the newest Node”")
    page.goto(f"{stencil.url}/audit")
    expect(page.get_by_text("types of the newest Node").first).to_be_visible()
    expect(page.get_by_text(f"{after} misbehaves").first).to_be_visible()
