"""Test that tables on one page sort by their headers, by click and by keyboard."""

import re

from playwright.sync_api import Page, expect

from tests.conftest import Stencil


def names(page: Page, table: str) -> list[str]:
    """Return the first words of the first cell of each row, from the top."""
    cells = page.locator(f'table[data-sortable="{table}"] tbody td:first-child')
    return [text.split("\n")[0] for text in cells.all_inner_texts()]


def test_a_table_sorts_by_click_and_by_keyboard(admin: Page, stencil: Stencil) -> None:
    page = admin
    page.goto(f"{stencil.url}/templates/typescript/versions/1")
    table = page.locator('table[data-sortable="packages"]')
    given = names(page, "packages")
    assert given != sorted(given)  # direct ones first
    head = table.get_by_role("columnheader", name="Package", exact=True)
    expect(head).not_to_have_attribute("aria-sort", re.compile("."))
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    ordered = sorted(given, key=str.lower)
    assert [name.lower() for name in names(page, "packages")] == [n.lower() for n in ordered]

    head.get_by_role("button").press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    assert names(page, "packages")[0] == ordered[-1]
    expect(head.get_by_role("button")).to_be_focused()

    other = table.get_by_role("columnheader", name="Version")
    other.get_by_role("button").press("Space")
    expect(other).to_have_attribute("aria-sort", "ascending")
    expect(head).not_to_have_attribute("aria-sort", re.compile("."))


def test_numbers_times_and_empty_cells_are_sorted(admin: Page, stencil: Stencil) -> None:
    page = admin
    page.goto(f"{stencil.url}/templates")
    page.evaluate(
        """() => {
          const row = (...cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
          document.querySelector("table[data-sortable] tbody").innerHTML =
            row("b", "1,000", '<time datetime="2026-02-01">x</time>', "1.10.0") +
            row("c", "20", "never", "1.9.0") +
            row("a", "–", '<time datetime="2026-01-01">y</time>', "2.0.0");
        }"""
    )
    heads = page.locator("table[data-sortable] .sort")
    for column, up, down in (
        (0, "abc", "cba"),
        (1, "cba", "bca"),
        (2, "abc", "bac"),
        (3, "cba", "abc"),
    ):
        for order in (up, down):
            heads.nth(column).click()
            assert "".join(names(page, "templates")) == order, (column, order)


def test_lists_with_several_pages_cannot_be_sorted(admin: Page, stencil: Stencil) -> None:
    for address in ("/executions", "/audit", "/builds", "/templates/typescript/promotions"):
        admin.goto(f"{stencil.url}{address}")
        expect(admin.locator("main h1")).to_be_visible()
        expect(admin.locator("th .sort")).to_have_count(0)
