"""Test the playground in the browser: tabs, the editor, the key to run, keyboard, no JavaScript."""

import re
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import sign_in
from tests.conftest import Stencil

RUN = 30_000  # milliseconds that a run may take on a busy machine
PLACE = "/playground?template=typescript&example=test-fail"


@pytest.fixture
def place(admin: Page, stencil: Stencil) -> Page:
    """Open the playground with a failing example, and wait for its editor."""
    admin.goto(f"{stencil.url}{PLACE}")
    expect(admin.locator(".ace_keyword").first).to_be_visible()
    return admin


def test_code_is_typed_into_the_editor_and_run_by_one_key(place: Page) -> None:
    page = place
    expect(page.locator("textarea.editor").first).not_to_be_visible()
    page.locator(".ace_content").first.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(
        "import { expect, it } from 'vitest'\nit('typed here', () => expect(1).toBe(1))\n"
    )
    page.keyboard.press("Control+Enter")
    result = page.get_by_role("region", name="Result")
    expect(result.get_by_text("typed here", exact=True)).to_be_visible(timeout=RUN)
    expect(result.get_by_text("succeeded").first).to_be_visible()


def test_each_file_has_a_tab_and_is_coloured_by_its_name(place: Page) -> None:
    page = place
    tabs = page.get_by_role("tab")
    expect(tabs).to_have_count(2)
    expect(tabs.nth(0)).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tabpanel")).to_have_count(1)
    tabs.nth(0).press("ArrowRight")
    expect(tabs.nth(1)).to_be_focused()
    expect(tabs.nth(1)).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tabpanel", name=tabs.nth(1).inner_text())).to_be_visible()

    page.get_by_role("button", name="Add a file").click()
    expect(tabs).to_have_count(3)
    path = page.get_by_label("Path of file 3")
    expect(path).to_be_focused()
    page.keyboard.type("extra.py")
    expect(tabs.nth(2)).to_have_text("extra.py")
    page.locator(".ace_content:visible").click()
    page.keyboard.insert_text("def one(): return 1")
    expect(page.locator(".ace_keyword:visible").first).to_have_text("def")

    page.get_by_role("button", name="Remove file 3").click()
    expect(tabs).to_have_count(2)
    expect(page.get_by_role("tabpanel")).to_have_count(1)


def test_the_keyboard_can_enter_and_leave_the_editor(place: Page) -> None:
    page = place
    expect(page.get_by_text("Escape ends it; then Tab moves on.")).to_be_visible()
    page.get_by_label("Path of file 1").focus()
    for _ in range(5):  # past the controls between the path and the text
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.ace_scroller')"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_label("Content of file 1")).to_be_focused()
    page.keyboard.press("Tab")  # the key indents
    expect(page.get_by_label("Content of file 1")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.ace-box') === null")


def test_without_javascript_the_playground_is_a_form(browser: Browser, stencil: Stencil) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, stencil)
    page.goto(f"{stencil.url}{PLACE}")
    expect(page.locator("textarea.editor")).to_have_count(2)
    page.get_by_label("Content of file 1").fill(
        "import { expect, it } from 'vitest'\nit('plainly', () => expect(1).toBe(1))\n"
    )
    page.get_by_role("button", name=re.compile("^Run")).click()
    expect(page.get_by_text("plainly").first).to_be_visible(timeout=RUN)
    context.close()


# The lowest contrast (WCAG 2.2, 1.4.3) of a word in the editor against its background: axe does
# not check these words.
LOWEST_CONTRAST = """
() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = light(getComputedStyle(document.querySelector(".ace_editor")).backgroundColor);
  const words = [...document.querySelectorAll(".ace_line span")];
  return Math.min(...words.map((word) => {
    const ink = light(getComputedStyle(word).color);
    return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
  }));
}
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_word_in_the_editor_has_enough_contrast(
    place: Page, theme: Literal["light", "dark"]
) -> None:
    place.emulate_media(color_scheme=theme)
    expect(place.locator(".ace_line", has_text="console.log")).to_be_visible()
    assert place.evaluate(LOWEST_CONTRAST) >= 4.5
