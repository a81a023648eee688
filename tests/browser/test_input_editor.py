"""Test editing inputs, with and without JavaScript; the log of a failed build; cancellation."""

import re

from playwright.sync_api import Page, expect

from tests.conftest import Stencil

BUILT = 180_000  # milliseconds that a real build may take on a busy machine


def type_into(page: Page, path: str, text: str) -> None:
    """Type text at the beginning of a file in Ace."""
    editor = page.locator(".editor-card", has=page.get_by_role("heading", name=path))
    editor.locator(".ace_content").click()
    page.keyboard.press("Control+Home")
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_edit_a_file_see_the_difference_and_build(admin: Page, stencil: Stencil) -> None:
    page = admin
    page.goto(f"{stencil.url}/templates/typescript/new?kind=edit&from=1&file=vitest.config.ts")
    expect(page.locator(".ace_keyword").first).to_be_visible()  # coloured as TypeScript
    type_into(page, "vitest.config.ts", "// tried in the browser")
    page.keyboard.press("Control+Enter")
    difference = page.get_by_role("region", name="What you changed")
    expect(difference.locator(".diff-add")).to_have_text("+// tried in the browser")
    page.get_by_role("button", name="Build it").click()
    page.wait_for_url(re.compile("/builds/"))
    expect(page.get_by_text("edit of vitest.config.ts")).to_be_visible()
    outcome = page.get_by_text(re.compile(r"^Version \d+ is ready$"))
    expect(outcome).to_be_visible(timeout=BUILT)

    page.get_by_role("link", name="Compare and promote").click()
    expect(page.get_by_text("No package changed")).to_be_visible()
    expect(page.locator(".config-diff .diff-add")).to_have_text("+// tried in the browser")
    page.get_by_role("link", name=re.compile("^Details of")).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as tar.gz").click()
    assert re.fullmatch(r"typescript-\d+-inputs\.tar\.gz", download.value.suggested_filename)

    # No template uses the version: it can be removed, and the page says how much space that frees.
    page.get_by_role("link", name="Remove…").click()
    expect(page.get_by_text("This frees about")).to_be_visible()
    page.get_by_label("Why").fill("only tried")
    page.get_by_role("button", name=re.compile("^Remove")).click()
    expect(page.get_by_text("was removed from the disk: “only tried”")).to_be_visible()


def test_the_log_of_a_failed_build(admin: Page, stencil: Stencil) -> None:
    """Check that the failing step is open, lines have links, steps fold, and search works."""
    page = admin
    page.goto(f"{stencil.url}/templates/python/new?kind=edit&file=smoke/run/src/main.py")
    type_into(page, "smoke/run/src/main.py", "raise SystemExit('on purpose')")
    page.get_by_role("button", name="See the difference").click()
    page.get_by_role("button", name="Build it").click()
    page.wait_for_url(re.compile("/builds/"))
    expect(page.get_by_text("Failed at smoke", exact=True)).to_be_visible(timeout=BUILT)
    page.reload()
    smoke = page.locator("details[data-step=smoke]")
    expect(smoke).to_have_attribute("open", "")
    expect(page.locator("details[data-step=fetching]")).not_to_have_attribute("open", "")
    wrong = smoke.locator('[data-level="error"]').first
    expect(wrong).to_be_in_viewport()

    line = wrong.locator(".at").inner_text()
    wrong.locator(".at").click()
    assert page.url.endswith(f"#L{line}")
    page.goto("about:blank")
    page.go_back()
    expect(page.locator(f"#L{line}")).to_have_class(re.compile("chosen"))

    page.keyboard.press("/")
    page.keyboard.type("pip")
    expect(page.locator("mark.at")).to_be_visible()  # the step of the line unfolds
    expect(page.locator("#log-found")).to_have_text(re.compile(r"^1 of \d+$"))
    page.get_by_role("button", name="Unfold all").or_(
        page.get_by_role("button", name="Fold all")
    ).click()
    expect(page.locator("details.log-step[open]")).to_have_count(0)

    page.get_by_role("link", name="Try again").click()
    editor = page.locator("textarea.source")
    expect(editor).to_have_value(re.compile("on purpose"))


def test_cancel_a_build(admin: Page, stencil: Stencil) -> None:
    page = admin
    page.goto(f"{stencil.url}/templates/typescript/new?kind=refresh&from=1")
    page.get_by_role("button", name="Start the refresh").click()
    page.wait_for_url(re.compile("/builds/"))
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#build-state")).to_contain_text("cancelled", timeout=60_000)
    expect(page.get_by_text("Only this log is kept.")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    page.goto(f"{stencil.url}/builds?state=stopped")
    expect(page.get_by_role("row", name=re.compile("cancelled refresh")).first).to_be_visible()


def test_everything_but_the_stream_works_without_javascript(plain: Page, stencil: Stencil) -> None:
    page = plain
    page.goto(f"{stencil.url}/templates/typescript")
    page.get_by_role("link", name="Pin", exact=True).click()
    expect(page.get_by_role("heading", name=re.compile("^Pin TypeScript"))).to_be_visible()
    page.get_by_label("Why").fill("no script here")
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.get_by_text("“no script here”. Unpin to promote.")).to_be_visible()
    page.get_by_role("link", name="Unpin").click()
    page.get_by_label("Why").fill("done")
    page.get_by_role("button", name="Unpin").click()

    page.goto(f"{stencil.url}/templates/typescript/new?kind=edit&from=1&file=.npmrc")
    field = page.locator('textarea[name="file:.npmrc"]')
    field.fill(field.input_value() + "fund=false\n")
    page.get_by_role("button", name="See the difference").click()
    expect(page.locator(".diff-add")).to_have_text("+fund=false")
    page.get_by_label("Another file").select_option("tsconfig.json")
    page.get_by_role("button", name="Open it").click()
    expect(page.locator('textarea[name="file:tsconfig.json"]')).to_be_visible()
    expect(page.locator('textarea[name="file:.npmrc"]')).to_have_value(re.compile("fund=false"))

    page.goto(f"{stencil.url}/templates/typescript/versions/1")
    page.get_by_role("link", name="rebuild, with its log").click()
    expect(page.locator(".log-line").first).to_be_visible()
    page.locator("summary", has_text="Fetch").click()
    expect(page.locator(".log-line").first).not_to_be_visible()


def test_a_dialog_is_sent_by_enter_and_closed_by_escape(admin: Page, stencil: Stencil) -> None:
    page = admin
    page.goto(f"{stencil.url}/templates/typescript")
    page.get_by_role("link", name="Pin", exact=True).press("Enter")
    dialog = page.get_by_role("dialog", name=re.compile("^Pin TypeScript"))
    expect(dialog.get_by_label("Why")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    assert page.url.endswith("/templates/typescript")
    page.get_by_role("link", name="Pin", exact=True).click()
    dialog.get_by_role("link", name="Not now").click()
    expect(dialog).not_to_be_visible()
    page.get_by_role("link", name="Pin", exact=True).click()
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    expect(page.get_by_text("“by keyboard”. Unpin to promote.")).to_be_visible()
    page.get_by_role("link", name="Unpin").click()
    page.keyboard.type("done")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Pin", exact=True)).to_be_visible()
