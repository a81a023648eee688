"""Test rules for every address, which come from the URL resolver: a new page is included."""

import re
import uuid
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, reverse

from templatemgr.models import Build, Template
from tests import factories
from webui.urls import pages

NAMES = sorted(str(pattern.name) for pattern in pages if isinstance(pattern, URLPattern))
# Addresses that change something, and so accept only POST.
CHANGES = {
    "promote", "roll_back", "pin", "unpin", "request_build", "verify", "cancel_build",
    "cancel_execution", "rerun_execution", "playground_run", "audit_verify", "revoke_token",
    "token_end_grace", "pin_token", "token_limits", "audit_export", "change_role",
    "deactivate_user", "activate_user", "reset_factor", "set_policy", "edit_inputs",
    "request_lookup", "heal", "remove_version", "check_system", "resend_delivery",
}  # fmt: skip
# No pages: a stream, downloads and a picture.
STREAMS = {"build_events", "build_log", "inputs", "execution_file", "execution_picture"}
REDIRECTS = {
    "user_link",
    "rotate_token",
    "signing_secret",
    "rotate_signing_secret",
}  # an answer that is shown once: opened again it leads on
PAGES = sorted(set(NAMES) - CHANGES - STREAMS - REDIRECTS)
MAX_QUERIES = 19


class Inline(HTMLParser):
    """Collect what the content security policy would block."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        names = {name for name, _ in attrs}
        handlers = [name for name in names if name.startswith("on") or name == "style"]
        data = ("type", "application/json") in attrs
        if handlers or tag == "style" or (tag == "script" and "src" not in names and not data):
            self.found.append(f"<{tag} {' '.join(handlers)}>")


@pytest.fixture
def address(data_dir: object, db: None) -> dict[str, str]:
    """Return an address for every name: a template with two versions, a build, an execution."""
    template = factories.make_template_row()
    first, second = factories.make_version_row(template), factories.make_version_row(template)
    promotion = factories.make_promotion_row(first)
    Build.objects.filter(pk=first.build_id).update(version=first)
    token = factories.make_token_row()
    url = "https://example.org/hook"
    execution = factories.make_execution_row(
        first, token=token, callback={"url": url, "event": "execution.finished"}
    )
    delivery = factories.make_delivery_row(execution, url=url)
    values = {
        "name": template.name,
        "number": first.number,
        "old": first.number,
        "new": second.number,
        "build_id": first.build_id,
        "execution_id": execution.pk,
        "sha256": "0" * 64,
        "delivery_id": delivery.pk,
        "token_id": token.pk,
        "user_id": factories.make_user("someone", "viewer").pk,
        "promotion_id": promotion.pk,
        "action": "pin",
        "form": "zip",
    }
    return {str(pattern.name): _reverse(pattern, values) for pattern in pages}


def _reverse(pattern: URLPattern, values: dict[str, object]) -> str:
    wanted = pattern.pattern.converters
    return reverse(str(pattern.name), kwargs={name: values[name] for name in wanted})


@pytest.mark.parametrize("name", NAMES)
def test_stranger_is_sent_to_sign_in(client: Client, address: dict[str, str], name: str) -> None:
    answer = client.post(address[name]) if name in CHANGES else client.get(address[name])
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login?next=")


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_changes_answer_to_post_alone(admin: Client, address: dict[str, str], name: str) -> None:
    assert admin.get(address[name]).status_code == 405


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_changes_need_the_csrf_token(admin_user: User, address: dict[str, str], name: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    assert strict.post(address[name]).status_code == 403


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_viewer_changes_nothing(viewer: Client, address: dict[str, str], name: str) -> None:
    assert viewer.post(address[name], {"reason": "x", "kind": "rebuild"}).status_code == 403


@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole_and_keeps_the_policy(
    admin: Client, address: dict[str, str], name: str, django_assert_max_num_queries: object
) -> None:
    with django_assert_max_num_queries(MAX_QUERIES):  # type: ignore[operator]
        answer = admin.get(address[name])
    assert answer.status_code == 200
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert "unsafe" not in answer["Content-Security-Policy"]
    inline = Inline()
    inline.feed(answer.content.decode())
    assert inline.found == []


@pytest.mark.parametrize("name", PAGES)
def test_whole_page_has_one_title_and_one_primary_act_at_most(
    admin: Client, address: dict[str, str], name: str
) -> None:
    text = admin.get(address[name]).content.decode()
    if "<html" not in text:
        return  # a fragment or JSON
    assert len(re.findall("<h1", text)) == 1
    outside_dialogs = re.sub("<dialog.*?</dialog>", "", text, flags=re.DOTALL)
    assert len(re.findall('class="[^"]*button[^"]* primary', outside_dialogs)) <= 1


@pytest.mark.parametrize(
    "path",
    [
        "/templates/nothing",
        "/templates/typescript/versions/99",
        "/templates/typescript/compare/1/99",
        f"/builds/{uuid.UUID(int=1)}",
        f"/executions/{uuid.UUID(int=1)}",
        "/nowhere",
    ],
)
def test_a_missing_object_is_a_designed_404(
    admin: Client, address: dict[str, str], path: str
) -> None:
    answer = admin.get(path)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


def test_every_id_of_a_page_is_there_once(admin: Client, address: dict[str, str]) -> None:
    assert Template.objects.count() == 1
    for name in PAGES:
        ids = re.findall(r'\sid="([^"]+)"', admin.get(address[name]).content.decode())
        assert sorted(ids) == sorted(set(ids)), name
