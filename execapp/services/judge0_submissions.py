"""Submissions through the Judge0 door: the execution, and what only this door reads, together."""

import json
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from django.db import transaction

from core.engine import Hub
from execapp import history
from execapp.models import Execution, Judge0Submission
from execapp.requests import SubmissionRequest
from execapp.services import storage, submissions


def submit(
    request: SubmissionRequest,
    *,
    language_id: int,
    expected_output: str | None,
    options: Mapping[str, Any],
    waiting: bool = False,
    waits: Hub | None = None,
) -> Execution:
    """Submit the request, and keep the door's own fields in the same transaction.

    Raise the errors of `submissions.submit`. The client's quota covers the fields, too.
    """
    size = len((expected_output or "").encode()) + len(json.dumps(dict(options)))
    with transaction.atomic():
        execution, _ = submissions.submit(request, waiting=waiting, waits=waits)
        storage.edit_admission(token=request.token, client=request.client)(size)
        Judge0Submission.objects.create(
            execution=execution,
            language_id=language_id,
            expected_output=expected_output,
            options=dict(options),
        )
    return execution


def find(
    ids: Collection[uuid.UUID], *, viewer: history.Viewer
) -> dict[uuid.UUID, Judge0Submission]:
    """Return the submissions of this door that the viewer may see, by id. One query."""
    visible = history.visible(viewer).filter(id__in=ids)
    rows = Judge0Submission.objects.select_related("execution").filter(execution__in=visible)
    return {row.execution_id: row for row in rows}
