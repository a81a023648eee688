"""What a database error means for the caller, whichever vendor raised it."""

from core.database.vendors import VENDORS, Trouble


def classify(error: BaseException | None) -> Trouble | None:
    """Return the trouble behind an exception of `django.db`.

    None if there is none: a missing table and a violated constraint are no trouble that passes.
    """
    if error is None:
        return None
    found = (vendor.classify(error) for vendor in VENDORS.values())
    return next((trouble for trouble in found if trouble is not None), None)
