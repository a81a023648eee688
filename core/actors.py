"""Names of actors, and the reserved names that stand for Stencil itself.

The audit trail, executions and messages record a name as text. A user with a reserved name could
pass for the system, so every entrance checks new names here. Existing users keep their names.
"""

import re
import unicodedata
from functools import lru_cache

# The actors that Stencil itself records, and names that people could mistake for it.
SYSTEM = (
    "anonymous",
    "cli",
    "command line",
    "create_token",
    "doctor",
    "executor",
    "make up",
    "limit_token",
    "pin_token",
    "stencil",
    "supervisor",
    "system",
    "the piston door",
    "unknown user",
    "webui",
)
# The first admin, who is created on the machine itself, may have one of these names.
ADMINS = ("admin", "administrator", "root", "superuser")
SAYS = "This name stands for Stencil itself: choose another."

# Look-alikes that Unicode's tables do not list; "rn" looks like "m".
_PAIRS = (("rn", "m"), ("vv", "w"))
_DIGITS = {"0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "|": "il"}
# Combining marks, invisible characters, spaces, punctuation: a name looks the same without them.
_UNSEEN = re.compile(r"[\W_]")


def stands_for_system(name: str, *, local: bool = False) -> bool:
    """Return whether a name is, or looks like, one of Stencil's own.

    Case, spaces, punctuation, accents, look-alike letters of other scripts and digits for letters
    make no difference. `local`: on the machine itself or by an admin, where "admin" is allowed.
    """
    taken = SYSTEM if local and name.casefold() in ADMINS else (*SYSTEM, *ADMINS)
    shapes = {name, *(name.casefold().replace(pair, one) for pair, one in _PAIRS)}
    return any(_looks_like(shape, _UNSEEN.sub("", own)) for shape in shapes for own in taken)


def _looks_like(name: str, own: str) -> bool:
    letters = [shapes for character in name if (shapes := _shapes(character))]
    return len(letters) == len(own) and all(
        letter in shapes for letter, shapes in zip(own, letters, strict=True)
    )


@lru_cache(4096)
def _shapes(character: str) -> frozenset[str]:
    """Return the plain letters that a character looks like; none for an invisible one."""
    # Import it here: its tables take 20 ms to load, and most processes never need them.
    from confusable_homoglyphs import confusables

    found: set[str] = set()
    for form in {character, character.lower(), character.upper()}:
        for plain in {form, *unicodedata.normalize("NFKD", form)[:1]}:
            alike = [entry["c"] for entry in confusables.confusables_data.get(plain, ())]
            found |= {one.casefold() for one in (plain, *alike) if len(one) == 1 and one.isascii()}
    found |= {letter for one in found for letter in _DIGITS.get(one, "")}
    letters = frozenset(one for one in found if one.isalnum())
    if letters:
        return letters
    return frozenset() if _UNSEEN.fullmatch(character) else frozenset(character)
