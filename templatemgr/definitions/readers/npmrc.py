"""Strict reader of `.npmrc`: an allow-list of keys, each with its allowed values.

npm parses the `.npmrc` of its working directory with the package `ini`, which supports sections,
`key[]`, quotes, escapes, comments after values, `${VARIABLES}` in keys and values, and keys without
a value. This reader supports none of them: a line is empty, a comment, or `key=value` with a key
and a value from the allow-list. A definition may not set a program, an address, a proxy, a
certificate, a secret, a shell or a folder, nor decide which code may run: those settings belong to
the machine that builds.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date

from templatemgr.definitions.readers.faults import lines, refuse

MAX_BYTES = 16 * 1024
REMEDY = "Leave it out. What a definition may set is in docs/reference/definitions.md."


def _one_of(*values: str) -> Callable[[str], bool]:
    return lambda value: value in values


def _day(value: str) -> bool:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value, re.ASCII):
        return False
    try:
        return bool(date.fromisoformat(value))
    except ValueError:
        return False


_SWITCH = _one_of("true", "false")
ALLOWED: Mapping[str, Callable[[str], bool]] = {
    # The format of the lock, and the choice of versions.
    "before": _day,
    "engine-strict": _SWITCH,
    "lockfile-version": _one_of("3"),
    "min-release-age": lambda value: value.isascii() and value.isdecimal() and len(value) <= 4,
    "omit-lockfile-registry-resolved": _SWITCH,
    "package-lock": _one_of("true"),
    "prefer-dedupe": _SWITCH,
    "save-exact": _SWITCH,
    "save-prefix": _one_of("^", "~"),
    "strict-peer-deps": _SWITCH,
    # The output of npm. Builds set these keys as well.
    "audit": _SWITCH,
    "color": _SWITCH,
    "fund": _SWITCH,
    "loglevel": _one_of("silent", "error", "warn", "notice", "http", "info", "verbose"),
    "progress": _SWITCH,
    "update-notifier": _SWITCH,
    # Builds enforce these settings: only the safe value is allowed.
    "allow-directory": _one_of("none"),
    "allow-file": _one_of("none"),
    "allow-git": _one_of("none"),
    "allow-remote": _one_of("none"),
    "ignore-scripts": _one_of("true"),
    "legacy-peer-deps": _one_of("false"),
}


def read(text: str) -> dict[str, str]:
    """Return the settings of an `.npmrc` by key. Raises FileError."""
    if len(text.encode()) > MAX_BYTES:
        refuse(f"is larger than {MAX_BYTES} bytes", None)
    found: dict[str, str] = {}
    for number, line in enumerate(lines(text), start=1):
        bare = line.strip(" \t")
        if not bare or bare[0] in ";#":
            continue
        key, value = _setting(bare, number)
        if key in found:
            refuse("is set twice", number, "Keep one of them.", key)
        found[key] = value
    return found


def _setting(line: str, number: int) -> tuple[str, str]:
    if line.startswith("["):
        refuse("has a section", number, "Write settings as `key=value`, without sections.")
    name, equals, value = line.partition("=")
    key, value = name.rstrip(" \t"), value.strip(" \t")
    shown = key[:60]
    if "$" in line:
        refuse("uses a variable of the machine", number, "Write the value itself.", shown)
    allowed = ALLOWED.get(key)
    if allowed is None:
        refuse("is not a setting that a definition may have", number, REMEDY, shown)
    if not equals or not allowed(value):
        refuse(f"may not be {value[:60]!r} here", number, REMEDY, shown)
    return key, value
