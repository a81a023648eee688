"""The meaning of a database error for the caller, the same for each vendor."""

from core.database.vendors import VENDORS, Trouble

# A later attempt can succeed. Damage stays.
PASSING = frozenset({Trouble.LOCKED, Trouble.FULL, Trouble.UNREACHABLE})


def classify(error: BaseException | None) -> Trouble | None:
    """Return the trouble behind an exception of `django.db`.

    None for other errors, such as a missing table or a violated constraint.
    """
    if error is None:
        return None
    found = (vendor.classify(error) for vendor in VENDORS.values())
    return next((trouble for trouble in found if trouble is not None), None)


def passes(error: BaseException | None) -> bool:
    """Return whether the trouble behind an exception may be over when the caller tries again."""
    return classify(error) in PASSING
