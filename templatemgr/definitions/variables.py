"""`[variables]` of a definition: how its runtime handles the variables of a submission."""

from sandbox.session.variables import PATTERN, Variables
from templatemgr.definitions.toml import Table


def read(table: Table) -> Variables:
    """Read `[variables]`; return empty Variables if the table is missing. Raises TomlError."""
    part = table.table("variables")
    if part is None:
        return Variables()
    start, anew = part.texts("start", ()), part.texts("anew", ())
    refused = part.mapping("refused")
    for key, names in (("start", start), ("anew", anew), ("refused", tuple(refused))):
        seen: set[str] = set()
        for name in names:
            if not PATTERN.fullmatch(name):
                part.fail(
                    key, f"{name!r} is neither a variable name nor a prefix of one followed by *"
                )
            if name in seen:
                part.fail(key, f"{name!r} is listed twice")
            seen.add(name)
    for name, why in refused.items():
        if not why:
            part.fail(f"refused.{name}", "say why: a client reads it")
    for key, others in (("anew", {*start}), ("refused", {*start, *anew})):
        for name in sorted(others & set(anew if key == "anew" else refused)):
            part.fail(key, f"{name!r} is in another list, too")
    part.done()
    return Variables(start=start, anew=anew, refused=refused)
