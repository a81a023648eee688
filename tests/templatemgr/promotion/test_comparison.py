import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from templatemgr import difference, lockfile, package_diff
from templatemgr.difference import Side
from templatemgr.lockfile import Locked
from templatemgr.models import Version
from templatemgr.promotion import comparison
from templatemgr.trees.manifests import Entry, Manifest
from tests.templatemgr.conftest import run_build
from tests.tiny_definition import write_definition

LOCK = {
    "packages": {
        "": {"dependencies": {"a": "^1", "b": "^1"}},
        "node_modules/a": {"version": "1.0.0", "dependencies": {"c": "^2"}, "license": "MIT"},
        "node_modules/a/node_modules/c": {"version": "2.0.0", "license": {"type": "ISC"}},
        "node_modules/b": {
            "version": "1.2.0",
            "dependencies": {"a": "1"},
            "devDependencies": {"e": "1"},
            "license": ["MIT", {"type": "BSD"}],
        },
        "node_modules/c": {"version": "1.0.0", "deprecated": "use d", "hasInstallScript": True},
        "node_modules/e": {"version": "1.0.0"},
        "node_modules/far": {"version": "9.0.0"},
    }
}


def locked(name: str, version: str, **values: Any) -> Locked:
    given: dict[str, Any] = {"name": name, "version": version, "direct": False} | values
    return Locked(**given)


def side(*packages: Locked, entries: tuple[Entry, ...] = (), **inputs: bytes) -> Side:
    return Side(
        label="x@1",
        packages=packages,
        programs={},
        manifest=Manifest(entries=entries),
        inputs=inputs,
    )


def entry(path: str, digest: str = "0", **values: Any) -> Entry:
    given: dict[str, Any] = {"path": path, "kind": "file", "mode": 0o444, "digest": digest}
    return Entry(**(given | values))


def test_a_lockfile_gives_the_dependency_chain_of_each_package() -> None:
    read = lockfile.read(json.dumps(LOCK).encode(), lambda path: path != "node_modules/far")
    found = {package.path.replace("node_modules/", ""): package for package in read}
    assert "far" not in found
    assert found["a"].direct
    assert (found["a"].chain, found["a/c"].chain) == (("a",), ("a", "c"))
    assert (found["c"].chain, found["e"].chain) == ((), ())  # no package requires these
    assert [found[name].licence for name in ("a", "a/c", "b")] == ["MIT", "ISC", "MIT OR BSD"]
    assert found["c"].deprecated == "use d"
    assert found["c"].install_script


@pytest.mark.parametrize(
    ("before", "after", "expected", "down"),
    [
        ("1.2.3", "2.0.0", "major", False),
        ("1.2.3", "1.3.0", "minor", False),
        ("1.2.10", "1.2.9", "patch", True),
        ("1.0.0-beta.2", "1.0.0-beta.10", "prerelease", False),
        ("1.0.0-beta.2", "1.0.0", "prerelease", False),
        ("1.0.0", "1.0.0-rc.1", "prerelease", True),
        ("1.0.0+a", "1.0.0+b", "other", False),
        ("latest", "1.0.0", "other", False),
        ("26.3", "26.4", "minor", False),
        ("3.20", "3.20.1", "patch", False),
        ("1.0rc1", "1.0", "prerelease", False),
        ("1.0.post1", "1.0", "other", True),
    ],
)
def test_the_distance_between_versions(before: str, after: str, expected: str, down: bool) -> None:
    (change,) = difference.compare(side(locked("p", before)), side(locked("p", after))).packages
    assert (change.distance, change.down, change.what) == (expected, down, "changed")


def test_pythons_versions_sort_as_pep_440_says() -> None:
    """Check PEP 440's own order: development, pre-release, release, post-release."""
    ordered = "1.0.dev1 1.0a1.dev2 1.0a1 1.0a2 1.0b1 1.0rc1 1.0 1.0.post1 1.0.1 26.3 2026.10.18"
    versions = ordered.split()
    assert sorted(set(versions), key=package_diff.order) == versions


def test_packages_come_direct_first_with_their_chain() -> None:
    old = side(locked("gone", "1.0.0", chain=("up", "gone")), locked("same", "1.0.0"))
    new = side(
        locked("same", "1.0.0"),
        locked("same", "2.0.0", chain=("z", "same")),
        locked("zeta", "1.0.0", direct=True, chain=("zeta",)),
    )
    found = difference.compare(old, new).packages
    assert [(p.name, p.what, p.before, p.after, p.chain) for p in found] == [
        ("zeta", "added", (), ("1.0.0",), ("zeta",)),
        ("gone", "removed", ("1.0.0",), (), ("up", "gone")),
        ("same", "changed", ("1.0.0",), ("1.0.0", "2.0.0"), ("z", "same")),
    ]


def test_new_scripts_licences_and_deprecations_are_listed() -> None:
    old = side(
        locked("a", "1.0.0", install_script=True, licence="MIT", deprecated="old"),
        locked("gone", "1.0.0", licence="MIT"),
    )
    new = side(
        locked("a", "1.0.1", install_script=True, licence="GPL-3.0", deprecated="older"),
        locked("b", "1.0.0", install_script=True, licence="ISC"),
    )
    found = difference.compare(old, new)
    assert [(s.name, s.version, s.known) for s in found.scripts] == [
        ("a", "1.0.1", True),
        ("b", "1.0.0", False),
    ]
    assert [(p.name, p.before, p.after) for p in found.licences] == [
        ("a", "MIT", "GPL-3.0"),
        ("b", "", "ISC"),
    ]
    assert [(d.name, d.message, d.new) for d in found.deprecations] == [("a", "older", True)]


def test_changed_files_have_differences_and_large_ones_are_cut() -> None:
    old = (entry("a", size=1), entry("b"), entry("c"), entry("d", kind="link", target="a"))
    new = (
        entry("a", "1", size=3),
        entry("b", mode=0o555),
        entry("d", kind="link", target="b"),
        *(entry(f"new/{number:04d}") for number in range(600)),
    )
    files = difference.compare(side(entries=old), side(entries=new)).files
    assert (files.added, files.removed, files.changed) == (600, 1, 3)
    assert (files.size_before, files.size_after) == (1, 3)
    assert [(f.path, f.what, f.why) for f in files.shown[:4]] == [
        ("a", "changed", "content"),
        ("b", "changed", "mode"),
        ("c", "removed", ""),
        ("d", "changed", "link"),
    ]
    assert len(files.shown) == difference.MAX_FILES
    assert files.left_out == 604 - difference.MAX_FILES


def test_configuration_is_compared_line_by_line_within_bounds() -> None:
    old = side(a=b"one\ntwo\n", b=b"\xff", c=b"x" * (difference.MAX_TEXT_BYTES + 1), same=b"1")
    new = side(a=b"one\n2\n", b=b"\0", d="\n".join("x" * 3000).encode(), same=b"1")
    texts = {text.path: text for text in difference.compare(old, new).texts}
    assert texts["a"].lines[2:] == ("@@ -1,3 +1,3 @@", " one", "-two", "+2", " ")
    assert (texts["b"].note, texts["c"].note, texts["c"].what) == ("binary", "too large", "removed")
    assert len(texts["d"].lines) == difference.MAX_TEXT_LINES
    assert "more lines" in texts["d"].note
    assert "same" not in texts


def host_of(number: int) -> str:
    """Return the recorded host of the build of a version of `tiny`."""
    build = Version.objects.get(template__name="tiny", number=number).build
    [host] = build.origins["packages"].values()
    assert host in build.origins["configured"]
    return str(host)


def test_two_real_versions_as_data_and_as_text(tiny: Path) -> None:
    run_build()
    write_definition(tiny, pin="6.0.0", **{"said.txt": "hello\n", "notes.md": "pinned\n"})
    assert run_build().state == "ready"
    data = comparison.to_data(comparison.compare(template="tiny", old=1, new=2))
    assert data["packages"] == [
        {
            "name": "is-number",
            "what": "changed",
            "before": ["7.0.0"],
            "after": ["6.0.0"],
            "direct": True,
            "chain": ["is-number"],
            "distance": "major",
            "down": True,
            "origin": host_of(2),
        }
    ]
    assert data["origins"] == []  # both versions came from the configured registry
    assert data["programs"] == [
        {"name": "bin/number.js", "before": "is-number 7.0.0", "after": "is-number 6.0.0"}
    ]
    assert {text["path"] for text in data["texts"]} == {"package.json", "notes.md"}
    out = StringIO()
    call_command("compare_versions", "tiny", "1", "2", stdout=out)
    assert "~ is-number 7.0.0 → 6.0.0 down, major (direct)" in out.getvalue()
    assert '+    "is-number": "6.0.0"' in out.getvalue()
    out = StringIO()
    call_command("compare_versions", "tiny", "1", "2", "--json", stdout=out)
    assert json.loads(out.getvalue()) == data
    with pytest.raises(CommandError, match="has no version 9"):
        call_command("compare_versions", "tiny", "1", "9")


def test_a_package_from_another_host_is_listed() -> None:
    usual = frozenset({"one.example:443"})
    packages = (locked("a", "1.0"), locked("B_b", "1.0"), locked("c", "1.0"))
    old = {"a 1.0": "one.example:443", "b-b 1.0": "one.example:443"}
    before = replace(side(*packages), origins=old, registries=usual)
    new = {"a 1.0": "two.example:443", "b-b 1.0": "one.example:443", "c 1.0": "three.example:80"}
    after = replace(side(*packages), origins=new, registries=usual | {"two.example:443"})
    found = difference.compare(before, after).origins
    assert [(pair.name, pair.before, pair.after) for pair in found] == [
        ("a", "one.example:443", "two.example:443"),  # configured, but another registry
        ("c", "", "three.example:80"),  # not a configured registry
    ]
    assert difference.compare(before, replace(after, origins={})).origins == ()
