"""Run the submission of the playground's form, and wait for the results."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from execapp.api.http import concurrency
from execapp.errors import ExecutionError, InvalidRequestError
from execapp.models import Execution
from execapp.services import submissions
from templatemgr.errors import TemplateError
from webui.playground.forms import PlaygroundForm

WAIT_SECONDS = 20.0
# Forms that wait at a time, in all and of one user: each holds a thread of the web process.
MOST_WAITING, MOST_WAITING_OF_USER = 8, 2


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A mistake in the form: the name of the field on the page, and the message."""

    where: str
    message: str


def run(form: PlaygroundForm, *, client: str) -> tuple[list[Execution], list[Problem]]:
    """Return the executions of the form once they have ended, or the mistakes in the form.

    Of two versions both executions are queued before the first is waited for.
    """
    if not form.is_valid():
        found = form.errors.items()
        return [], [
            Problem(where=str(form[name].label), message=str(message))
            for name, messages in found
            for message in messages
        ]
    made: list[Execution] = []
    try:
        for request in form.requests(client=client):
            execution, _ = submissions.submit(request)
            made.append(execution)
    except InvalidRequestError as error:
        files = form.cleaned_data["code"]
        numbers = [number for number, file in enumerate(files, 1) if not file.blank]
        return [], [_problem(form, each.path, each.message, numbers) for each in error.fields]
    except (ExecutionError, TemplateError) as error:
        return [], [Problem(where="", message=error.message)]
    return _ended(made, client), []


def _ended(made: list[Execution], client: str) -> list[Execution]:
    """Wait for each execution. If too many forms wait already, return them as they are."""
    try:
        place = concurrency.held.acquire(
            client, most=MOST_WAITING, most_of_client=MOST_WAITING_OF_USER
        )
    except concurrency.LimitReached:
        return made
    try:
        return [submissions.wait(execution_id=each.pk, seconds=WAIT_SECONDS) for each in made]
    finally:
        place.release()


def _problem(form: PlaygroundForm, path: str, message: str, numbers: Sequence[int]) -> Problem:
    """Name the field of a refusal as the page does.

    `files.0.path` belongs to the first file that is not blank; `numbers` are those of the editors.
    """
    match = re.fullmatch(r"files\.([0-9]+)\..+", path)
    if match and int(match[1]) < len(numbers):
        return Problem(where=f"File {numbers[int(match[1])]}", message=message)
    match = re.fullmatch(r"args\.([0-9]+)", path)
    if match:
        return Problem(where=f"Argument {int(match[1]) + 1}", message=message)
    where = str(form[path].label) if path in form.fields else path.capitalize()
    return Problem(where=where, message=message)
