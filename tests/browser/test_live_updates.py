"""Test live updates in the browser: new executions, and the banner for an unreachable server."""

from playwright.sync_api import Page, expect

from tests.conftest import Stencil

FAST = {
    "template": "javascript",
    "mode": "run",
    "wait": True,
    "files": [{"path": "main.js", "content": "console.log(1)"}],
}


def test_new_executions_come_on_top_and_wait_while_a_row_has_the_focus(
    admin: Page, stencil: Stencil
) -> None:
    _, first = stencil.api("POST", "/executions", FAST)
    admin.mouse.move(5, 5)
    admin.goto(f"{stencil.url}/executions")
    admin.locator(f"#to-{first['id']}").focus()
    _, second = stencil.api("POST", "/executions", FAST)
    button = admin.get_by_role("button", name="Show 1 new execution")
    expect(button).to_be_visible(timeout=60_000)
    expect(admin.locator(f"#to-{second['id']}")).to_have_count(0)
    expect(admin.locator(f"#to-{first['id']}")).to_be_focused()
    button.click()
    expect(admin.locator("tbody tr a.row-link").first).to_have_id(f"to-{second['id']}")
    admin.locator("h1").click()
    _, third = stencil.api("POST", "/executions", FAST)
    row = admin.locator("tbody tr a.row-link").first
    expect(row).to_have_id(f"to-{third['id']}", timeout=60_000)
    expect(button).to_be_hidden()


def test_the_banner_shows_while_the_server_does_not_answer(admin: Page, stencil: Stencil) -> None:
    admin.goto(f"{stencil.url}/executions")
    banner = admin.locator("#offline .notice")
    expect(banner).to_be_hidden()
    admin.context.set_offline(True)
    expect(banner).to_contain_text("does not answer", timeout=60_000)
    admin.context.set_offline(False)
    expect(banner).to_be_hidden(timeout=60_000)
