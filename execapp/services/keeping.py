"""Asking for a verification, so that the executor's keeper hears of it at once."""

from django.db import transaction

from execapp.engine import local
from templatemgr.models import Verification
from templatemgr.services import verification


def request_verification(
    *, template: str, version: int, actor: str, heal: bool | None = None
) -> Verification:
    """Queue the verification of a version and wake the keeper once the row is committed.

    Returns the open one if there is one. Raises UnknownTemplateError, UnknownVersionError.
    """
    found = verification.request(template=template, version=version, actor=actor, heal=heal)
    transaction.on_commit(lambda: local.wake("build"))
    return found
