"""One attempt of a claimed delivery, from the body to the record of its end."""

import logging
import secrets
import time

from core.database.retry import retry_on_lock
from execapp.counters import families
from execapp.counters.tally import TALLY
from execapp.deliveries import events, outbox, sending, signing, signing_secrets
from execapp.deliveries.rules import Rules
from execapp.deliveries.sending import Answer, Cutter, Message
from execapp.models import Delivery

logger = logging.getLogger(__name__)
USER_AGENT = "Stencil/1 (callbacks)"


def message_of(delivery: Delivery, *, now: int) -> Message:
    """Return the signed request of a delivery; `now` is in seconds since 1970."""
    event = events.find(delivery.event)
    body = event.body(delivery)
    headers = {
        "Content-Type": event.content_type,
        "User-Agent": USER_AGENT,
        "Stencil-Event": delivery.event,
        "Stencil-Delivery": str(delivery.id),
        signing.HEADER: signing.signature(
            secrets=signing_secrets.valid(owner=delivery.signer), time=now, body=body
        ),
    }
    return Message(method=event.method, url=delivery.url, headers=headers, body=body)


def run(*, delivery: Delivery, rules: Rules, cutter: Cutter) -> bool:
    """Send a claimed delivery and record the outcome; False if the lease was lost.

    If the executor's stop has cut the attempt, the delivery returns to the queue.
    """
    answer = _attempt(delivery, rules, cutter)
    if cutter.stopped and not answer.accepted:
        return retry_on_lock(lambda: outbox.give_back(delivery=delivery))
    TALLY.add(families.CALLBACKS, delivery.event, "accepted" if answer.accepted else "failed")
    if not answer.accepted:
        said = answer.error or f"status {answer.status}"
        logger.info("delivery %s, attempt %s: %s", delivery.id, delivery.attempt, said)
    return retry_on_lock(lambda: outbox.finish(delivery=delivery, answer=answer))


def _attempt(delivery: Delivery, rules: Rules, cutter: Cutter) -> Answer:
    try:
        message = retry_on_lock(lambda: message_of(delivery, now=int(time.time())))
    except Exception:
        error_id = secrets.token_hex(6)
        logger.exception("error %s: the message of delivery %s", error_id, delivery.id)
        text = f"Stencil failed to make the message; its log has the cause under {error_id}."
        return Answer(duration_ms=0.0, error=text)
    return sending.send(message, rules=rules, cutter=cutter)
