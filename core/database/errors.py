"""The meaning of a database error for the caller, the same for each vendor."""

from core.database.vendors import VENDORS, Trouble


def classify(error: BaseException | None) -> Trouble | None:
    """Return the trouble behind an exception of `django.db`.

    None for other errors, such as a missing table or a violated constraint.
    """
    if error is None:
        return None
    found = (vendor.classify(error) for vendor in VENDORS.values())
    return next((trouble for trouble in found if trouble is not None), None)
