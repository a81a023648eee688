"""Test WCAG 2.2 AA with axe-core: every page, both themes, a wide and a narrow screen."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.conftest import sign_in
from tests.conftest import Stencil

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
}
SCREENS = {"wide": {"width": 1280, "height": 900}, "narrow": {"width": 390, "height": 844}}
FAILING = {
    "template": "javascript",
    "mode": "test",
    "wait": True,
    "files": [
        {
            "path": "a.test.js",
            "content": "import { expect, it } from 'vitest'\n"
            "it('adds', () => expect(1 + 1).toBe(2))\n"
            "it('fails', () => { console.log('\\u001b[31mred'); expect({ a: 1 }).toEqual({}) })\n",
        }
    ],
}


@pytest.fixture(scope="module")
def addresses(stencil: Stencil) -> dict[str, str]:
    """Return every page by name, with content on it."""
    _, execution = stencil.api("POST", "/executions", FAILING)
    stencil.api("POST", "/templates/javascript/builds", {"kind": "rebuild"})
    _, page = stencil.api("GET", "/templates/typescript/builds")
    return {
        "overview": "/?range=day",
        "templates": "/templates",
        "template": "/templates/typescript",
        "version": "/templates/typescript/versions/1",
        "first compare": "/templates/typescript/compare/0/1",
        "any two": "/templates/typescript/compare?new=1",
        "promotions": "/templates/typescript/promotions",
        "gates": "/templates/typescript/policy",
        "pin": "/templates/typescript/ask/pin",
        "removal": "/templates/typescript/versions/1/removal",
        "update": "/templates/typescript/new?kind=update",
        "edit": "/templates/typescript/new?kind=edit",
        "builds": "/builds",
        "build": f"/builds/{page['items'][0]['id']}",
        "executions": "/executions",
        "executions, filtered": "/executions?state=error&template=python",
        "execution": f"/executions/{execution['id']}",
        "playground": "/playground?template=javascript&example=test-fail",
        "audit": "/audit",
        "tokens": "/tokens",
        "users": "/users",
        "account": "/account",
        "system": "/system",
        "nothing there": "/templates/nothing",
    }


@pytest.fixture(scope="module")
def context(browser: Browser, stencil: Stencil) -> Iterator[BrowserContext]:
    """Give one signed-in browser for all pages."""
    context = browser.new_context()
    sign_in(context.new_page(), stencil)
    yield context
    context.close()


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_violates_wcag(
    context: BrowserContext, stencil: Stencil, addresses: dict[str, str], theme: Any, screen: str
) -> None:
    page = context.new_page()
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.set_viewport_size(SCREENS[screen])  # type: ignore[arg-type]
    found = {}
    for name, address in addresses.items():
        page.goto(f"{stencil.url}{address}")
        if page.locator("[data-ace]").count():  # the editor appears after the page has loaded
            page.locator(".ace_content").first.wait_for()
        found[name] = violations(page)
    page.close()
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_sign_in_page_does_not_violate_wcag(browser: Browser, stencil: Stencil) -> None:
    page = browser.new_page()
    page.goto(f"{stencil.url}/login")
    assert violations(page) == []
    page.close()


def violations(page: Page) -> list[str]:
    """Return the violations that axe finds: the rule, the element and the reason."""
    result = Axe().run(page, options=RULES)
    return [
        f"{violation['id']}: {node['target']}: {node['failureSummary']}"
        for violation in result.response["violations"]
        for node in violation["nodes"][:5]
    ]


def test_axe_finds_violations(page: Page) -> None:
    """Check the check: an image without a text, and grey text on grey."""
    page.set_content(
        '<html lang="en"><title>t</title><main><img src="data:,">'
        '<p style="color:#aaa;background:#fff">grey words</p></main>'
    )
    found = " ".join(violations(page))
    assert "image-alt" in found
    assert "color-contrast" in found
