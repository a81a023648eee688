"""Test the readers of package.json and package-lock.json: names, ranges, hashes, sources."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templatemgr.builders.npm import npm_config
from templatemgr.definitions import readers
from templatemgr.definitions.readers import (
    Rules,
    npm_specs,
    package_json,
    package_lock,
    strict_json,
)
from templatemgr.definitions.readers.faults import FileError
from tests.tiny_definition import INTEGRITY, package_files

RULES = Rules()
RANGES = [
    "1.2.3", "^1.2.0", "~1", ">=1 <2", "1.x", "*", "", "1 - 2", "^1 || ^2", "latest", "next",
    "v1.2.3", "=1.0.0-rc.1", "npm:other@^1.0.0", "npm:@scope/other@2", "npm:other",
]  # fmt: skip
SOURCES = [
    ("git+https://github.com/u/r.git", "git"),
    ("git+ssh://git@example.org/u/r.git#v1", "git"),
    ("git://example.org/r.git", "git"),
    ("git@github.com:u/r.git", "git"),
    ("ssh://git@example.org/r", "git"),
    ("https://github.com/u/r", "git"),
    ("https://user:pass@github.com/u/r.tgz", "git"),
    ("https://example.org/r", "git"),
    ("u/r", "git"),
    ("u/r#semver:^1", "git"),
    ("github:u/r", "git"),
    ("gitlab:u/r", "git"),
    ("bitbucket:u/r", "git"),
    ("gist:11081aaa281", "git"),
    ("GITHUB:u/r", "git"),
    ("http://127.0.0.1/x.tgz", "http"),
    ("https://example.org/x.tgz", "http"),
    ("HTTPS://example.org/x.tar.gz", "http"),
    ("file:../x", "file"),
    ("FILE:x", "file"),
    ("./x", "file"),
    ("../x", "file"),
    ("/etc/passwd", "file"),
    ("~/x", "file"),
    ("C:x", "file"),
    ("x.tgz", "file"),
    ("x.tar.gz", "file"),
    (".x", "file"),
    ("link:../x", "link"),
    ("workspace:*", "workspace"),
    ("workspace:^", "workspace"),
]
ODD = [
    "npm:npm:x@1", "npm:../x@1", "npm:x@git+https://h/r.git", "npm:x@u/r", "npm:@1", "npm:",
    "NPM:x@file:y", "^1.0.0\n", "^1.0.0\t", "1\u20280", "\N{NO-BREAK SPACE}1", "${X}", "$x", "1#x",
    "-1", "a@b", "%2e", "1" * 257, "patch:x@1", "catalog:", "portal:x", "jsr:@a/b", "1;2", "1,2",
    "\\\\host\\x", "data:x", "javascript:x",
]  # fmt: skip


def manifest(**values: Any) -> str:
    return json.dumps({"name": "tiny", "private": True, **values}, indent=1)


@pytest.mark.parametrize("spec", RANGES)
@pytest.mark.parametrize("table", package_json.TABLES)
def test_names_and_ranges_are_taken(table: str, spec: str) -> None:
    package_json.read(manifest(**{table: {"a": spec, "@s/b.c": spec}}), RULES)


@pytest.mark.parametrize("table", package_json.TABLES)
@pytest.mark.parametrize("spec", [*(spec for spec, _ in SOURCES), *ODD])
def test_other_sources_are_refused_in_every_table(table: str, spec: str) -> None:
    with pytest.raises(FileError) as caught:
        package_json.read(manifest(**{table: {"a": spec}}), RULES)
    assert caught.value.key == f"{table}.a"
    assert caught.value.line == 5


@pytest.mark.parametrize(("spec", "kind"), SOURCES)
def test_the_operator_can_allow_a_kind_and_no_more(spec: str, kind: str) -> None:
    text = manifest(dependencies={"a": spec})
    package_json.read(text, Rules(kinds=frozenset({kind})))
    others = frozenset({"file", "git", "http", "link", "workspace", "shrinkwrap"} - {kind})
    with pytest.raises(FileError):
        package_json.read(text, Rules(kinds=others))


@pytest.mark.parametrize("spec", [*RANGES, *(spec for spec, _ in SOURCES), *ODD])
def test_npm_reads_each_accepted_text_as_a_registry_source(spec: str) -> None:
    """Check with the real npm-package-arg that each accepted text means a registry."""
    if npm_specs.spec_fault(spec, RULES):
        return
    assert kinds_of_npm([spec]) <= {"version", "range", "tag", "alias"}


@given(st.text("abxX019.^~<>=|*+- _:/@#%$\\\n", max_size=12))
def test_accepted_texts_hold_no_characters_of_addresses(spec: str) -> None:
    if not npm_specs.spec_fault(spec, RULES) and not spec.startswith("npm:"):
        assert not set("/:@#%$\\\n") & set(spec)


def test_npm_agrees_about_texts_of_all_kinds() -> None:
    pieces = ["1", ".", "x", "^", " ", "-", "tgz", "tar", "~", "*", "npm:", "a@", "||", "_", "+"]
    texts = [a + b + c for a in pieces for b in pieces for c in pieces]
    taken = [text for text in texts if not npm_specs.spec_fault(text, RULES)]
    assert len(taken) > 500
    assert kinds_of_npm(taken) <= {"version", "range", "tag", "alias", "refused"}


def kinds_of_npm(specs: list[str]) -> set[str]:
    place = str(npm_config.wheel() / "lib/node_modules/npm/node_modules/npm-package-arg")
    script = (
        (
            f"const npa = require({json.dumps(place)}); const kind = (s) => {{ try {{ return"
            ' npa.resolve("a", s, "/x").type }} catch {{ return "refused" }} };'
            ' console.log(JSON.stringify(JSON.parse(fs.readFileSync(0, "utf8")).map(kind)))'
        )
        .replace("}}", "}")
        .replace("{{", "{")
    )
    done = subprocess.run(
        [str(npm_config.wheel() / "bin/node"), "-e", script],
        input=json.dumps(specs).encode(), capture_output=True, check=True,
    )  # fmt: skip
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", ["../x", ".x", "a/b", "node_modules", "-x", "a b", "@a/../b",
                                  "x.tgz", "", "a" * 215, "@/a", "a\n", "a@1", "$a"])  # fmt: skip
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(FileError):
        package_json.read(manifest(dependencies={name: "1"}), RULES)


@pytest.mark.parametrize(
    "values",
    [
        {"scripts": {name: "x"}}
        for name in (
            "preinstall",
            "install",
            "postinstall",
            "prepare",
            "prepublish",
            "dependencies",
        )
    ]
    + [
        {"workspaces": ["a"]},
        {"workspaces": {"packages": ["a"]}},
        {"bundleDependencies": True},
        {"bundledDependencies": ["a"]},
        {"publishConfig": {"registry": "x"}},
        {"config": {"registry": "x"}},
        {"resolutions": {"a": "1"}},
        {"pnpm": {"overrides": {}}, "private": True},
        {"gypfile": True},
        {"allowScripts": {"a": True}},
        {"trustedDependencies": ["a"]},
        {"patchedDependencies": {"a@1": "x.patch"}},
        {"_resolved": "https://example.org/x.tgz"},
        {"packageManager": "npm@https://example.org/npm.tgz"},
        {"dependencies": ["a"]},
        {"dependencies": "a"},
        {"dependencies": {"a": {"version": "1"}}},
        {"dependencies": {"a": 1}},
        {"overrides": {"a": "git+https://h/r.git"}},
        {"overrides": {"a": {"b": {"c": "file:x"}}}},
        {"overrides": {"a@file:x": "1"}},
        {"overrides": {"a": {".": "u/r"}}},
        {"overrides": {"a": "$../x"}},
        {"overrides": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"j": "1"}}}}}}}}}}},
        {"name": "../x"},
    ],
)
def test_keys_on_which_npm_acts_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(FileError):
        package_json.read(manifest(**values), RULES)


def test_keys_of_other_tools_are_left_alone() -> None:
    values = {
        "type": "module", "imports": {"#x": "./src/x.js"}, "browserslist": ["defaults"],
        "scripts": {"test": "vitest"}, "overrides": {"a": "$b", "b@^1": {".": "2", "c": "3"}},
        "packageManager": "npm@11.17.0", "engines": {"node": ">=24"}, "repository": "u/r",
    }  # fmt: skip
    package_json.read(manifest(**values), RULES)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a": 1,\n"a": 2}', 2),
        ('{"dependencies": {\n"a": "1",\n"\\u0061": "u/r"}}', 3),
        ('{"x": [{"y": 1,\n"y": 2}]}', 2),
        ('{\n"__proto__": {}}', 2),
        ('{"a": NaN}', None),
        ('{"a": 1\n"b": 2}', 2),
        ("[]", 1),
        ("", 1),
        ('{"a": ' + "9" * 5000 + "}", None),
        ('{"a": ' + "[" * 40 + "]" * 40 + "}", None),
        ('{"a": ' + "[" * 100_000, None),
        ('{"a": "' + "x" * package_json.MAX_BYTES + '"}', None),
        ('{\n"a": "\\ud800"}', 2),
        ('{"a": [1,\n"\\udc00x"]}', 1),
        ('{"\\ud800": 1}', 1),
        ('{"a": 1e999}', None),
        ('{"a": -1e999}', None),
        ('{"a": [' + ",".join(["{}"] * (strict_json.MAX_CONTAINERS + 1)) + "]}", None),
    ],
)
def test_ambiguous_json_is_refused(text: str, line: int | None) -> None:
    with pytest.raises(FileError) as caught:
        strict_json.load(text, package_json.MAX_BYTES)
    assert caught.value.line == line


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=4), JSON, min_size=1, max_size=4), st.data())
def test_a_key_is_found_on_its_line(table: dict[str, Any], data: st.DataObject) -> None:
    path: list[str | int] = []
    value: Any = table
    while isinstance(value, dict | list) and value:
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = data.draw(st.sampled_from(keys))
        path.append(key)
        value = value[key]
    text = json.dumps(table, indent=1)
    marked = json.dumps(_with_mark(table, path), indent=1)
    expected = next(i for i, line in enumerate(marked.split("\n"), 1) if "MARKED" in line)
    found = strict_json.line_of(text, path)
    # An item of a list has no line of its own; it gets the position of the item before it.
    assert found in ((expected,) if isinstance(path[-1], str) else (expected - 1, expected))


def _with_mark(value: Any, path: list[str | int]) -> Any:
    if not path:
        return "MARKED"
    if isinstance(value, dict):
        return {k: _with_mark(v, path[1:]) if k == path[0] else v for k, v in value.items()}
    return [_with_mark(v, path[1:]) if i == path[0] else v for i, v in enumerate(value)]


def lock(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(package_files("7.0.0")["package-lock.json"])
    found["packages"]["node_modules/is-number"].update(changes)
    return found


def read_lock(table: dict[str, Any], rules: Rules = RULES, wanted: str | None = None) -> None:
    package_lock.read(json.dumps(table, indent=1), rules, wanted)


def test_the_locks_of_the_shipped_templates_are_accepted() -> None:
    for name in ("javascript", "typescript"):
        root = Path(__file__).parents[3] / "templates_runtime" / name
        files = {file: (root / file).read_bytes() for file in readers.names("npm")}
        for file in files:
            readers.check("npm", file, files, RULES)
    read_lock(lock())


SHA1 = "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk="


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("resolved", {"resolved": "https://registry.example/is-number/-/is-number-7.0.0.tgz"}),
        ("resolved", {"resolved": "git+ssh://git@github.com/u/r.git#abc"}),
        ("resolved", {"resolved": "file:../x.tgz"}),
        ("resolved", {"resolved": "http://127.0.0.1:9/x.tgz"}),
        ("resolved", {"resolved": 7}),
        ("integrity", {"integrity": None}),
        ("integrity", {"integrity": ""}),
        ("integrity", {"integrity": SHA1}),
        ("integrity", {"integrity": "sha512-AAAA"}),
        ("integrity", {"integrity": INTEGRITY["7.0.0"] + "?x"}),
        ("integrity", {"integrity": "md5-1B2M2Y8AsgTpgAmY7PhCfg=="}),
        ("integrity", {"integrity": "sha3-512-" + INTEGRITY["7.0.0"].partition("-")[2]}),
        ("integrity", {"integrity": [INTEGRITY["7.0.0"]]}),
        ("link", {"link": True, "resolved": "../x"}),
        ("hasShrinkwrap", {"hasShrinkwrap": True}),
        ("inBundle", {"inBundle": True}),
        ("version", {"version": "git+https://h/r.git"}),
        ("version", {"version": None}),
        ("version", {"version": "1.0.0+.."}),
        ("version", {"version": "1.0.0-"}),
        ("version", {"version": "01.0.0"}),
        ("version", {"version": f"{'9' * 23}.0.0"}),
        ("hasShrinkwrap", {"hasShrinkwrap": []}),
        ("hasShrinkwrap", {"hasShrinkwrap": {}}),
        ("link", {"link": []}),
        ("link", {"link": 0}),
        ("inBundle", {"inBundle": []}),
        ("inBundle", {"inBundle": ""}),
        ("optional", {"optional": "yes"}),
        ("ideallyInert", {"ideallyInert": []}),
        ("extraneous", {"extraneous": {}}),
        ("os", {"os": 5}),
        ("cpu", {"cpu": {"x64": 1}}),
        ("libc", {"libc": [1]}),
        ("bundleDependencies", {"bundleDependencies": 1}),
        ("bundleDependencies", {"bundleDependencies": "evil"}),
        ("bundleDependencies", {"bundleDependencies": {"a": 1}}),
        ("bundleDependencies", {"bundleDependencies": [[]]}),
        ("scripts.install", {"scripts": {"install": "x"}}),
        ("name", {"name": "evil"}),
        ("name", {"name": "../evil"}),
        ("dependencies.x", {"dependencies": {"x": "git+https://h/r.git"}}),
        ("optionalDependencies.x", {"optionalDependencies": {"x": "u/r"}}),
        ("peerDependencies.x", {"peerDependencies": {"x": "file:x"}}),
        ("acceptDependencies.x", {"acceptDependencies": {"x": "./x"}}),
        ("gypfile", {"gypfile": True}),
        ("_hasShrinkwrap", {"_hasShrinkwrap": True}),
        ("unheardOf", {"unheardOf": 1}),
    ],
)
def test_an_entry_from_outside_the_registry_is_refused(key: str, values: dict[str, Any]) -> None:
    table = lock(**values)
    entry = table["packages"]["node_modules/is-number"]
    table["packages"]["node_modules/is-number"] = {k: v for k, v in entry.items() if v is not None}
    with pytest.raises(FileError) as caught:
        read_lock(table)
    assert caught.value.key == f"packages.node_modules/is-number.{key}"
    assert caught.value.line is not None


@pytest.mark.parametrize(
    "path",
    ["../x", "x", "/x", "node_modules/../x", "node_modules/a/../b", "node_modules/a//b",
     "node_modules/.bin/x", "packages/a", "node_modules/a/node_modules", "node_modules/",
     "node_modules/a" + "/node_modules/a" * 200],
)  # fmt: skip
def test_an_entry_at_an_unusual_path_is_refused(path: str) -> None:
    table = lock()
    table["packages"][path] = dict(table["packages"]["node_modules/is-number"])
    with pytest.raises(FileError):
        read_lock(table)


def test_a_lock_of_another_shape_is_refused() -> None:
    shapes: tuple[dict[str, Any], ...] = (
        {"lockfileVersion": 1},
        {"lockfileVersion": True},
        {"lockfileVersion": 3.0},
        {"packages": []},
        {"packages": {"": []}},
        {"packages": None},
        {"dependencies": {"is-number": {"version": "git+https://h/r.git"}}},
        {"preserveSymlinks": True},
    )
    for changed in shapes:
        with pytest.raises(FileError):
            read_lock({**lock(), **changed})


def test_the_root_of_a_lock_follows_the_rules_of_package_json() -> None:
    for values in (
        {"dependencies": {"a": "u/r"}},
        {"scripts": {"install": "x"}},
        {"workspaces": ["x"]},
        {"bundleDependencies": ["is-number"]},
        {"overrides": {"a": "file:x"}},
    ):
        table = lock()
        table["packages"][""].update(values)
        with pytest.raises(FileError) as caught:
            read_lock(table)
        assert caught.value.key.startswith('packages."".')


def test_an_alias_is_accepted_if_a_package_requires_it() -> None:
    table = lock(name="is-odd")
    with pytest.raises(FileError, match="no manifest has this alias"):
        read_lock(table)
    read_lock(table, Rules(stale_lock=True))
    table["packages"][""]["dependencies"] = {"is-number": "npm:is-odd@7.0.0"}
    read_lock(table)
    overrides = manifest(overrides={"x": {"is-number": "npm:is-odd@7.0.0"}})
    read_lock(lock(name="is-odd"), RULES, overrides)
    with pytest.raises(FileError, match="no manifest has this alias"):
        read_lock(lock(name="is-odd"), RULES, manifest(overrides={"other": "npm:is-odd@7.0.0"}))


def test_fields_that_npm_copies_from_a_package_are_accepted() -> None:
    values = {"workspaces": ["packages/*"], "license": {"type": "MIT"}, "funding": ["https://x"],
              "engines": ["node"], "bin": {"x": "x.js"}, "hasInstallScript": True}  # fmt: skip
    read_lock(lock(**values))


def test_a_bundled_package_has_neither_address_nor_hash() -> None:
    table = lock(bundleDependencies=["b"])
    inner = {"version": "1.0.0", "inBundle": True}
    table["packages"]["node_modules/is-number/node_modules/b"] = inner
    table["packages"]["node_modules/is-number/node_modules/b/node_modules/c"] = inner
    read_lock(table)
    for extra in ({"resolved": "https://h/x.tgz"}, {"integrity": INTEGRITY["7.0.0"]}):
        table["packages"]["node_modules/is-number/node_modules/b"] = {**inner, **extra}
        with pytest.raises(FileError):
            read_lock(table)


INNER = "node_modules/is-number/node_modules/"


@pytest.mark.parametrize("bundles", [["other"], [], True, None])
def test_a_package_that_no_list_names_is_not_bundled(bundles: object) -> None:
    table = lock(bundleDependencies=bundles, dependencies={"b": "1"})
    if bundles is None:
        del table["packages"]["node_modules/is-number"]["bundleDependencies"]
    table["packages"][f"{INNER}b"] = {"version": "1.0.0", "inBundle": True}
    with pytest.raises(FileError, match="no package around it bundles it"):
        read_lock(table)


@pytest.mark.parametrize("version", ["file:/etc", "git+ssh://h/x", None, 1])
def test_a_bundled_package_has_a_version(version: object) -> None:
    table = lock(bundleDependencies=["b"])
    table["packages"][f"{INNER}b"] = {"version": version, "inBundle": True}
    with pytest.raises(FileError, match="is not a version"):
        read_lock(table)


def test_what_a_bundled_package_needs_beside_it_is_bundled() -> None:
    table = lock(bundleDependencies=["b"])
    inner = {"version": "1.0.0", "inBundle": True}
    table["packages"][f"{INNER}b"] = {**inner, "dependencies": {"c": "1"}}
    table["packages"][f"{INNER}c"] = inner
    read_lock(table)
    # The dependency of b is inside b, so nothing in the bundle needs the one beside it.
    table["packages"][f"{INNER}b/node_modules/c"] = inner
    with pytest.raises(FileError, match="no package around it bundles it"):
        read_lock(table)


def test_a_package_does_not_ask_for_its_own_alias() -> None:
    claim = {"optionalDependencies": {"is-number": "npm:is-odd@7.0.0"}}
    with pytest.raises(FileError, match="no manifest has this alias"):
        read_lock(lock(name="is-odd", **claim))
    table = lock(name="is-odd")
    entry = table["packages"]["node_modules/is-number"]
    table["packages"]["node_modules/orphan"] = {**entry, "name": "orphan", **claim}
    with pytest.raises(FileError, match="no manifest has this alias"):
        read_lock(table)
    table["packages"][""]["dependencies"]["orphan"] = "7.0.0"
    read_lock(table)


def test_an_address_of_an_allowed_registry_must_match_exactly() -> None:
    rules = Rules(registries=("https://registry.example/npm/",))
    good = "https://registry.example/npm/is-number/-/is-number-7.0.0.tgz"
    read_lock(lock(resolved=good), rules)
    for address in (
        good.replace("7.0.0", "6.0.0"),
        good.replace("is-number", "is-odd"),
        good.replace("https", "http"),
        good.replace("registry.example", "registry.example.evil"),
        good.replace("/npm/", "/npm/../x/"),
        f"{good}?x",
        f"{good}#x",
    ):
        with pytest.raises(FileError):
            read_lock(lock(resolved=address), rules)


def test_sha1_beside_sha512_is_taken() -> None:
    read_lock(lock(integrity=f"{SHA1} {INTEGRITY['7.0.0']}"))


def test_kinds_of_sources_in_a_lock() -> None:
    for kind, values in (
        ("git", {"resolved": "git+ssh://git@example.org/r.git#abc", "integrity": ""}),
        ("http", {"resolved": "https://example.org/x.tgz"}),
        ("file", {"resolved": "file:x.tgz"}),
        ("link", {"link": True, "resolved": "vendored/x"}),
        ("shrinkwrap", {"hasShrinkwrap": True}),
    ):
        table = lock(**values)
        read_lock(table, Rules(kinds=frozenset({kind})))
        with pytest.raises(FileError):
            read_lock(table)
    with pytest.raises(FileError, match="leaves the tree"):
        read_lock(lock(link=True, resolved="../x"), Rules(kinds=frozenset({"link"})))
