"""Test that the page of an execution shows any output of a program, as text without markup."""

import re

import pytest
from django.test import Client
from hypothesis import example, given
from hypothesis import strategies as st

from tests.factories import make_execution_row, make_template_row, make_version_row
from webui.templatetags.stencil import ansi

TAG = re.compile(r'<span class="ansi-[a-z]+(?: ansi-[a-z]+)*">|</span>')
PIECES = st.lists(
    st.one_of(
        st.text(),
        st.sampled_from(
            ["\x1b[", "\x1b]", "m", ";", "\x07", "1", "31", "91", "9", "39", "\0", "<"]
        ),
        st.integers(min_value=0).map(lambda code: f"\x1b[{code}m"),
    )
).map("".join)


@given(text=PIECES)
@example(text="\x1b[" + "9" * 5000 + "m")
@example(text="\x1b[" + ";".join(["9" * 5000] * 20) + "m")
@example(text="\x1b[9m\x1b[99m\x1b[90;97;98mx")
@example(text="\x1b[٣m\x1b[9٣m\x1b[²m")
@example(text="\x1b[" * 2000)
@example(text="\x1b]" + "x" * 5000)
@example(text="\ud800\udfff\x1b[\ud800m")
def test_any_output_is_shown_without_tags_of_the_program(text: str) -> None:
    shown = str(ansi(text))
    assert "<" not in TAG.sub("", shown)
    assert shown.count("<span") == shown.count("</span>")


def test_bright_colours_are_colours() -> None:
    assert str(ansi("\x1b[91mred\x1b[39mplain")) == '<span class="ansi-red">red</span>plain'
    assert str(ansi("\x1b[98mplain")) == "plain"


@pytest.mark.parametrize("code", ["9" * 5000, "9" * 4299, "0" * 4000 + "91", "9", "9;9;9"])
def test_the_page_of_an_execution_comes(code: str, admin: Client) -> None:
    version = make_version_row(make_template_row())
    made = make_execution_row(version, stdout=f"\x1b[{code}mshown".encode())
    page = admin.get(f"/executions/{made.pk}")
    assert page.status_code == 200
    assert b"shown" in page.content
