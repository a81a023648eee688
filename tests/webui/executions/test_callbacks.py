"""Test the card of a callback on the page of its execution, and the button that sends it again."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from execapp.models import ApiToken, Delivery, DeliveryAttempt, Execution
from templatemgr.models import Version
from tests import factories

URL = "https://example.org/<hook>"
HIDDEN = "<img src=x onerror=alert(1)>"


@pytest.fixture
def execution(db: None, data_dir: object) -> Execution:
    """Return a finished execution of a token with a callback."""
    version = factories.make_version_row(factories.make_template_row())
    return made(version, factories.make_token_row())


def made(version: Version, token: ApiToken, state: str = "succeeded") -> Execution:
    callback = {"url": URL, "event": "execution.finished"}
    return factories.make_execution_row(
        version, state, client=token.name, token=token, callback=callback
    )


def page(client: Client, execution: Execution) -> str:
    return client.get(f"/executions/{execution.pk}").content.decode()


def test_the_card_shows_every_attempt_escaped(admin: Client, execution: Execution) -> None:
    made = factories.make_delivery_row(execution, "given_up", statuses=(500, 503), url=URL)
    DeliveryAttempt.objects.create(delivery=made, number=3, error=HIDDEN, answer=HIDDEN)
    text = page(admin, execution)
    assert "given up" in text
    assert "https://example.org/&lt;hook&gt;" in text
    assert HIDDEN not in text
    for words in (">500<", ">503<", "answer 1", "answer 2", "31.0 ms"):
        assert words in text
    assert "Send again" in text
    assert "every 2s" not in text


def test_the_card_follows_a_delivery_that_moves(admin: Client, execution: Execution) -> None:
    waiting = factories.make_delivery_row(execution, "queued", statuses=(500,))
    assert "every 2s" not in page(admin, execution)  # due in five minutes
    Delivery.objects.update(next_at=timezone.now() + timedelta(seconds=30))
    assert "every 2s" in page(admin, execution)
    Delivery.objects.update(state="sending", next_at=None)
    card = admin.get(f"/executions/{execution.pk}/callback").content.decode()
    assert "every 2s" in card
    assert "resend" not in card
    assert "<html" not in card
    waiting.delete()
    assert "not on record any more" in page(admin, execution)


def test_a_running_execution_names_its_callback(admin: Client, execution: Execution) -> None:
    running = made(execution.version, factories.make_token_row("other"), "running")
    assert "sent at the end" in page(admin, running)


def test_an_execution_without_a_callback_has_no_card(admin: Client, execution: Execution) -> None:
    plain = factories.make_execution_row(execution.version)
    assert 'id="callback"' not in page(admin, plain)
    assert admin.get(f"/executions/{plain.pk}/callback").content.strip() == b""


def test_the_button_makes_the_delivery_due(admin: Client, execution: Execution) -> None:
    lost = factories.make_delivery_row(execution, "given_up", statuses=(500,))
    answer = admin.post(f"/deliveries/{lost.pk}/resend", follow=True)
    assert answer.redirect_chain[0][0] == f"/executions/{execution.pk}"
    assert "sent again" in answer.content.decode()
    lost.refresh_from_db()
    assert lost.state == "queued"
    assert lost.next_at is not None
    assert lost.next_at <= timezone.now()


def test_a_delivery_of_another_client_does_not_exist(student: Client, execution: Execution) -> None:
    lost = factories.make_delivery_row(execution, "given_up")
    assert student.post(f"/deliveries/{lost.pk}/resend").status_code == 404
    assert student.get(f"/executions/{execution.pk}/callback").status_code == 404
    lost.refresh_from_db()
    assert lost.state == "given_up"


def test_a_viewer_sees_no_button(viewer: Client, execution: Execution) -> None:
    factories.make_delivery_row(execution)
    text = page(viewer, execution)
    assert "delivered" in text
    assert "resend" not in text
