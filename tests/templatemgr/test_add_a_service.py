"""Test that the code of docs/how-to/add-a-service.md is a working service."""

import re
from typing import Any

import pytest

from templatemgr.errors import TemplateError, UnknownTemplateError
from templatemgr.models import AuditEvent
from tests.conftest import ROOT
from tests.factories import make_template_row

PAGE = ROOT / "docs/how-to/add-a-service.md"


def run(name: str) -> dict[str, Any]:
    """Run one block of code of the page; return its names."""
    found = re.search(rf"```python {name}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None, name
    names: dict[str, Any] = {"__name__": f"how_to_{name}"}
    exec(compile(found[1], f"{PAGE}:{name}", "exec"), names)  # noqa: S102 - our own page
    return names


@pytest.mark.django_db
def test_the_service_of_the_page_changes_a_row_and_the_trail() -> None:
    template = make_template_row("fake", title="Fake")
    set_title = run("service")["set_title"]
    run("test")["test_a_new_title_is_on_record"](template, set_title)
    event = AuditEvent.objects.get()
    assert (event.actor, event.action, event.object) == ("ann", "template.title", "fake")
    assert event.details == {"from": "Fake", "to": "Shown"}
    with pytest.raises(TemplateError, match="1 to 100"):
        set_title(template="fake", title="", actor="ann")
    with pytest.raises(UnknownTemplateError):
        set_title(template="none", title="x", actor="ann")
