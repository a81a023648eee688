"""Asking for a verification, so that the verification worker hears of it at once."""

from core.engine import WakeKind, wake_on_commit
from templatemgr import catalog
from templatemgr.errors import NotHealedError
from templatemgr.maintenance import verification
from templatemgr.models import HealthState, Verification


def request_verification(
    *, template: str, version: int, actor: str, heal: bool | None = None
) -> Verification:
    """Queue the verification of a version and wake the worker once the row is committed.

    Returns the open one if there is one. Raises UnknownTemplateError, UnknownVersionError.
    """
    found = verification.request(template=template, version=version, actor=actor, heal=heal)
    wake_on_commit(WakeKind.VERIFICATION)
    return found


def request_healing(*, template: str, version: int, actor: str) -> Verification:
    """Queue a verification that makes whole what it finds damaged.

    Raises UnknownTemplateError, UnknownVersionError, NotHealedError for a removed version.
    """
    row = catalog.get_version(template=template, number=version)
    if row.health.state == HealthState.RETIRED:
        message = f"{row} was removed: a rebuild from it brings it back."
        raise NotHealedError(message, template=template, version=version)
    return request_verification(template=template, version=version, actor=actor, heal=True)
