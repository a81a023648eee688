"""Test a whole session of an admin in the browser."""

import re

from playwright.sync_api import Page, expect

from tests.conftest import Stencil


def test_rebuild_pin_verify_run_and_find_each_in_the_audit_trail(
    admin: Page, stencil: Stencil
) -> None:
    """Rebuild with a live log, pin, verify, run a submission, and read the audit trail."""
    page = admin
    page.get_by_role("link", name="Templates", exact=False).first.click()
    page.get_by_role("link", name="TypeScript").first.click()
    expect(page.get_by_role("heading", name="TypeScript", level=1)).to_be_visible()

    page.get_by_role("link", name="Build a version").click()
    page.get_by_role("button", name="Start the rebuild").click()
    page.wait_for_url(re.compile("/builds/"))
    # The log arrives line by line while the build runs, without a reload.
    expect(page.locator(".log-line").first).to_be_visible(timeout=30_000)
    expect(page.get_by_text("npm ci", exact=False).first).to_be_visible(timeout=30_000)
    expect(page.get_by_text("eproduces version 1", exact=False).first).to_be_visible(
        timeout=120_000
    )

    page.goto(f"{stencil.url}/templates/typescript")
    page.get_by_role("link", name="Pin", exact=True).click()
    dialog = page.locator("dialog[open]")
    dialog.get_by_role("textbox").fill("exam week")
    dialog.get_by_role("button", name=re.compile("^Pin")).click()
    expect(page.get_by_text("exam week").first).to_be_visible()
    page.get_by_role("link", name="Unpin").click()
    dialog = page.locator("dialog[open]")
    dialog.get_by_role("textbox").fill("exams are over")
    dialog.get_by_role("button", name=re.compile("^Unpin")).click()
    expect(page.get_by_role("link", name="Pin", exact=True)).to_be_visible()

    page.get_by_role("button", name="Verify").first.click()
    expect(page.get_by_text(re.compile("verified|match", re.IGNORECASE)).first).to_be_visible(
        timeout=60_000
    )

    page.goto(f"{stencil.url}/audit")
    for words in ("template.pin", "template.unpin", "version.verify", "build.request"):
        expect(page.get_by_text(words, exact=False).first).to_be_visible()
    expect(page.get_by_text("exam week").first).to_be_visible()


def test_execution_page_shows_the_failing_line(admin: Page, stencil: Stencil) -> None:
    _, execution = stencil.api(
        "POST",
        "/executions",
        {
            "template": "typescript",
            "mode": "test",
            "files": [
                {
                    "path": "cents.test.ts",
                    "content": (
                        "import { expect, it } from 'vitest'\n"
                        "it('keeps cents', () => {\n"
                        "  console.log('rounding is hard')\n"
                        "  expect(0.1 + 0.2).toBe(0.3)\n"
                        "})\n"
                    ),
                }
            ],
            "wait": True,
        },
    )
    admin.goto(f"{stencil.url}/executions")
    admin.locator(f'a[href="/executions/{execution["id"]}"]').first.click()
    expect(admin.locator(".code-line.failing")).to_contain_text("toBe(0.3)")
    expect(admin.get_by_text("rounding is hard").first).to_be_visible()
    expect(admin.get_by_text("keeps cents").first).to_be_visible()
    expect(admin.locator("main")).to_contain_text("typescript")


def test_playground_runs_by_key_and_marks_the_failing_line(admin: Page, stencil: Stencil) -> None:
    admin.goto(f"{stencil.url}/playground?template=typescript&example=test-fail")
    admin.get_by_label("Content of file 1").press("Control+Enter")
    result = admin.get_by_role("region", name="Result")
    expect(result.get_by_text("sum > keeps cents")).to_be_visible(timeout=30_000)
    expect(result.get_by_text("1 failed")).to_be_visible()
    admin.get_by_role("button", name="Add a file").click()
    expect(admin.get_by_label("Path of file 3")).to_be_visible()
    expect(admin.get_by_label("Path of file 1")).to_have_value("sum.test.ts")


def test_palette_finds_a_template_by_keyboard(admin: Page, stencil: Stencil) -> None:
    admin.goto(f"{stencil.url}/system")
    admin.keyboard.press("Control+k")
    admin.keyboard.type("template typescript")
    admin.keyboard.press("Enter")
    expect(admin.get_by_role("heading", name="TypeScript", level=1)).to_be_visible()
