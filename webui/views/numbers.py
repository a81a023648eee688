"""Whole numbers as addresses and forms bring them."""

LONGEST = 9  # digits: what every database's integer holds


def number(text: str) -> int | None:
    """The number that a text is; None when it is none, or one that no row could have."""
    clean = text.strip()
    return int(clean) if clean.isascii() and clean.isdecimal() and len(clean) <= LONGEST else None
