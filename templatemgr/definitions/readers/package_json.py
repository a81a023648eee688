"""Strict reader of `package.json`: the packages of a definition, by name and range.

Keys that npm acts on are checked or refused; keys of other tools are ignored.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from templatemgr.definitions.readers import npm_specs, strict_json
from templatemgr.definitions.readers.rules import Rules

MAX_BYTES = 512 * 1024
MAX_PACKAGES = 2_000
MAX_OVERRIDES_DEPTH = 8
TABLES = (
    "dependencies", "devDependencies", "optionalDependencies", "peerDependencies",
    "acceptDependencies",
)  # fmt: skip
# npm runs these scripts during an installation. It runs other scripts only on request.
LIFECYCLE = frozenset(
    {
        "preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare",
        "postprepare", "dependencies", "predependencies", "postdependencies", "prepack",
        "postpack", "prepublishOnly", "preshrinkwrap", "shrinkwrap", "postshrinkwrap",
        "preuninstall", "uninstall", "postuninstall", "prerebuild", "rebuild", "postrebuild",
        "preversion", "version", "postversion", "publish", "postpublish",
    }
)  # fmt: skip
_INSTALLS = "Builds run no script of the definition: leave it out."
_NAMED = "Packages whose scripts may run are named by `install_scripts` in template.toml."
REFUSED: Mapping[str, str] = {
    "allowScripts": _NAMED,
    "bundleDependencies": "A template is not published: leave it out.",
    "bundledDependencies": "A template is not published: leave it out.",
    "config": "A build does not read it: leave it out.",
    "gypfile": _INSTALLS,
    "packageExtensions": "Use `overrides`.",
    "patchedDependencies": "Use `overrides` with a version of the registry.",
    "pnpm": "npm reads the template: use `overrides`.",
    "publishConfig": "A template is not published: leave it out.",
    "resolutions": "npm reads the template: use `overrides`.",
    "trustedDependencies": _NAMED,
}


def read(text: str, rules: Rules) -> dict[str, Any]:
    """Return the parsed package.json. Raises FileError."""
    found = strict_json.load(text, MAX_BYTES)
    check(text, (), found, rules)
    return found


def check(text: str, at: tuple[str | int, ...], table: Mapping[str, Any], rules: Rules) -> None:
    """Check a manifest: a whole package.json, or one entry of a lock. Raises FileError.

    `text` is the file that holds `table`, and `at` the path of the table in it; errors name both.
    """
    for key in table:
        if key in REFUSED and table[key] not in (False, None, [], {}):
            strict_json.fail(text, (*at, key), "is not taken from a definition", REFUSED[key])
        if key.startswith("_"):
            remedy = "Leave it out: npm reserves such keys."
            strict_json.fail(text, (*at, key), "is not taken from a definition", remedy)
    for key in TABLES:
        check_table(text, (*at, key), table.get(key), rules)
    _check_overrides(text, (*at, "overrides"), table.get("overrides"), rules)
    _check_scripts(text, (*at, "scripts"), table.get("scripts"))
    _check_workspaces(text, (*at, "workspaces"), table.get("workspaces"), rules)
    _check_manager(text, (*at, "packageManager"), table.get("packageManager"))
    _check_name(text, at, table)


def check_table(text: str, path: tuple[str | int, ...], table: object, rules: Rules) -> None:
    """Check a table of names and ranges; accept None for a missing table. Raises FileError."""
    if table is None:
        return
    if not isinstance(table, dict) or len(table) > MAX_PACKAGES:
        reason = f"must be a table of at most {MAX_PACKAGES} names and ranges"
        strict_json.fail(text, path, reason)
    for name, spec in table.items():
        fault = npm_specs.name_fault(name)
        if fault:
            strict_json.fail(text, (*path, name), fault, "Write the name as in the registry.")
        fault = npm_specs.spec_fault(spec, rules)
        if fault:
            strict_json.fail(text, (*path, name), fault, npm_specs.REMEDY)


def aliases(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (alias, real name) for each alias in the dependency tables."""
    for key in TABLES:
        yield from _aliases_of(table.get(key))


def override_aliases(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (alias, real name) for each alias in the overrides; npm reads those of the root."""
    yield from _aliases_of(table.get("overrides"))


def _aliases_of(table: object, above: str = "") -> Iterator[tuple[str, str]]:
    if not isinstance(table, dict):
        return
    for key, value in table.items():
        name = above if key == "." else _named(key)
        if isinstance(value, dict):
            yield from _aliases_of(value, name)
        elif isinstance(value, str) and npm_specs.target(value):
            yield name, npm_specs.target(value)


def _check_overrides(
    text: str, path: tuple[str | int, ...], table: object, rules: Rules, depth: int = 0
) -> None:
    if table is None:
        return
    if not isinstance(table, dict) or depth > MAX_OVERRIDES_DEPTH or len(table) > MAX_PACKAGES:
        strict_json.fail(text, path, "must be a table of names, not deeper than 8 levels")
    for key, value in table.items():
        place = (*path, key)
        fault = "" if key == "." else npm_specs.name_fault(_named(key))
        asked = key[len(_named(key)) + 1 :]
        if fault or (asked and npm_specs.spec_fault(asked, Rules())):
            strict_json.fail(text, place, fault or "has no range of versions", npm_specs.REMEDY)
        if isinstance(value, dict):
            _check_overrides(text, place, value, rules, depth + 1)
            continue
        if isinstance(value, str) and value.startswith("$"):
            fault = npm_specs.name_fault(value[1:])
        else:
            fault = npm_specs.spec_fault(value, rules)
        if fault:
            strict_json.fail(text, place, fault, npm_specs.REMEDY)


def _named(key: str) -> str:
    """Return the package name of an override's key, which may be "name@range"."""
    at = key.find("@", 1)
    return key if at < 0 else key[:at]


def _check_scripts(text: str, path: tuple[str | int, ...], scripts: object) -> None:
    if scripts is None:
        return
    if not isinstance(scripts, dict):
        strict_json.fail(text, path, "must be a table of texts")
    for name, line in scripts.items():
        if name in LIFECYCLE:
            strict_json.fail(text, (*path, name), "is run by npm when it installs", _INSTALLS)
        if not isinstance(line, str):
            strict_json.fail(text, (*path, name), "must be a text")


def _check_workspaces(
    text: str, path: tuple[str | int, ...], workspaces: object, rules: Rules
) -> None:
    if workspaces and "workspace" not in rules.kinds:
        strict_json.fail(text, path, "a template is one package", npm_specs.REMEDY)


def _check_manager(text: str, path: tuple[str | int, ...], manager: object) -> None:
    """Accept a name and a version like `npm@11.1.0+sha512.…`; refuse addresses."""
    if manager is None:
        return
    plain = isinstance(manager, str) and len(manager) <= 300 and ":" not in manager
    if not plain:
        remedy = "Write a name and a version, or leave it out: builds have their own npm."
        strict_json.fail(text, path, "is not a name with a version", remedy)


def _check_name(text: str, at: tuple[str | int, ...], table: Mapping[str, Any]) -> None:
    name = table.get("name")
    if name is not None and (not isinstance(name, str) or npm_specs.name_fault(name)):
        strict_json.fail(text, (*at, "name"), "is not the name of a package")
