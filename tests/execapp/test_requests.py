"""Test a submission request: it is frozen, and an execution can be repeated from its row."""

from dataclasses import FrozenInstanceError, asdict

import pytest

from execapp import requests
from execapp.models import Execution
from execapp.requests import Idempotency, SubmissionRequest
from execapp.services import submissions
from templatemgr.models import Version

REQUEST = SubmissionRequest(
    client="ci-bot",
    template="tiny",
    mode="run",
    files=[{"path": "main.mjs", "content": "", "encoding": "utf8"}],
    entry="main.mjs",
    args=["a"],
    stdin="in",
    env={"A": "1"},
    limits={"wall_ms": 500},
    labels={"course": "cs101"},
)


def test_a_request_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        REQUEST.client = "other"  # type: ignore[misc]


def test_every_part_reaches_the_execution_and_is_repeated(current: Version, alive: object) -> None:
    made, new = submissions.submit(REQUEST)
    assert new
    stored = Execution.objects.select_related("version").get(pk=made.pk)
    again = requests.repeat(stored, client="ann", token=None)
    assert dict(again.limits) | {"wall_ms": 500} == dict(again.limits)
    changed = {"client": "ann", "template": "tiny@1", "limits": again.limits}
    assert asdict(again) == asdict(REQUEST) | changed
    other = requests.repeat(stored, client="ann", token=None, template="tiny")
    assert other.template == "tiny"


def test_without_a_token_a_key_stands_for_nothing(current: Version, alive: object) -> None:
    keyed = SubmissionRequest(
        client="ann",
        template="tiny",
        mode="run",
        files=REQUEST.files,
        idempotency=Idempotency(key="k", body_hash="h"),
    )
    assert submissions.submit(keyed)[0].pk != submissions.submit(keyed)[0].pk
