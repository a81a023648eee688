"""Checks of npm package specs: a name with a range, a tag, or an alias of another name.

npm guesses from the form of a spec whether it means the registry, a folder, an archive or a Git
repository (npm-package-arg, hosted-git-info). A spec that consists only of the characters of ranges
and tags means the registry, unless it looks like a file name.
"""

import re

from templatemgr.definitions.readers.rules import Rules

MAX_SPEC = 256  # characters; npm has the same limit for versions
MAX_NAME = 214
NAME = re.compile(r"(?:@[a-z0-9~_][a-z0-9._~-]*/)?[A-Za-z0-9~_][A-Za-z0-9._~-]*", re.ASCII)
# Semantic Versioning 2.0.0. npm refuses numbers beyond 2**53 - 1, which has 16 digits.
_NUMBER = r"(?:0|[1-9][0-9]{0,14})"
_BEFORE = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_BEFORE}(?:\.{_BEFORE})*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
_PLAIN = frozenset(
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.*^~<>=|+- _"
)  # fmt: skip
_ARCHIVES = (".tgz", ".tar.gz", ".tar")
# npm treats a URL of these hosts as a Git repository, with any scheme.
_HOSTED = ("github.com", "gitlab.com", "bitbucket.org", "git.sr.ht")
_RESERVED = ("node_modules", "favicon.ico")


def name_fault(name: str) -> str:
    """Return why a text is not a valid package name; empty if it is valid."""
    if len(name) > MAX_NAME or NAME.fullmatch(name) is None:
        return "is not the name of a package"
    if name.lower() in _RESERVED or name.lower().endswith(_ARCHIVES):
        return "is not a valid name of a package"
    return ""


def spec_fault(spec: object, rules: Rules) -> str:
    """Return why the rules refuse a package spec; empty if they allow it."""
    if not isinstance(spec, str):
        return "must be a text: a range such as ^1.2.0"
    if len(spec) > MAX_SPEC:
        return f"is longer than {MAX_SPEC} characters"
    if _of_registry(spec):
        return ""
    if spec.startswith("npm:"):
        return _alias_fault(spec.removeprefix("npm:"))
    kind = kind_of(spec)
    if kind in rules.kinds and spec.isascii() and spec.isprintable():
        return ""
    return f"requires {_WORDS[kind]}: {spec[:80]!r}"


def target(spec: str) -> str:
    """Return the real name in an alias such as "npm:other@1", or "" if `spec` is no alias."""
    if not spec.startswith("npm:"):
        return ""
    rest = spec.removeprefix("npm:")
    at = rest.find("@", 1)
    return rest if at < 0 else rest[:at]


def kind_of(spec: str) -> str:
    """Return the kind of source (one of `rules.KINDS`) of a spec that is not of the registry."""
    lower = spec.lower().strip()
    if lower.startswith(("workspace:", "link:")):
        return lower.partition(":")[0]
    if lower.startswith((".", "/", "~/", "file:")) or lower[1:2] == ":":
        return "file"
    if lower.startswith(("http://", "https://")):
        host = lower.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")[0]
        hosted = any(host == name or host.endswith(f".{name}") for name in _HOSTED)
        return "git" if hosted or not lower.endswith(_ARCHIVES) else "http"
    if ":" not in lower and lower.endswith(_ARCHIVES):
        return "file"
    return "git"


REMEDY = (
    "Require it from the registry by name and range; the operator can allow other sources "
    "(STENCIL_PACKAGE_SOURCES)."
)
_WORDS = {
    "file": "a file or a folder",
    "git": "a repository",
    "http": "an archive at an address",
    "link": "a link to a folder",
    "workspace": "a workspace",
}


def _of_registry(spec: str) -> bool:
    bare = spec.strip(" ")
    return (
        _PLAIN.issuperset(bare) and not bare.startswith((".", "~ ", "-"))
        and not bare.lower().endswith(_ARCHIVES)
    )  # fmt: skip


def _alias_fault(rest: str) -> str:
    at = rest.find("@", 1)
    name, spec = (rest, "") if at < 0 else (rest[:at], rest[at + 1 :])
    if name_fault(name) or not _of_registry(spec):
        return f"is an alias, but not of a name and a range of the registry: {rest[:80]!r}"
    return ""
