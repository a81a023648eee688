"""Test that real npm pins a transitive package to an exact version, and the inputs keep it."""

import json
from pathlib import Path
from typing import Any

import pytest

from templatemgr import data_paths
from templatemgr.builders.npm import npm_builder
from templatemgr.models import Build, Version
from templatemgr.promotion import comparison
from tests.templatemgr.conftest import run_build
from tests.tiny_definition import DEFINITION, write_definition


@pytest.fixture
def odd(tiny: Path) -> Version:
    """Build a version with is-odd 3.0.1, which depends on is-number ^6.0.0."""
    wanted = {"name": "tiny", "private": True, "dependencies": {"is-odd": "3.0.1"}}
    definition = DEFINITION.replace("node_modules/is-number/", "node_modules/is-odd/")
    text = json.dumps(wanted)
    write_definition(tiny, **{"template.toml": definition, "package.json": text})
    return made(run_build(kind="refresh"))


def made(build: Build) -> Version:
    assert build.version is not None, build.message
    return build.version


def locked(version: Version) -> dict[str, tuple[str, bool]]:
    return {item["name"]: (item["version"], item["direct"]) for item in version.packages}


def manifest(version: Version) -> dict[str, Any]:
    text = (data_paths.version(version) / "inputs/package.json").read_text()
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_a_transitive_package_moves_to_an_exact_version_and_stays_there(odd: Version) -> None:
    assert locked(odd) == {"is-odd": ("3.0.1", True), "is-number": ("6.0.0", False)}
    moved = made(run_build(kind="update", packages=["is-number@7.0.0"], from_version=1))
    assert locked(moved) == {"is-odd": ("3.0.1", True), "is-number": ("7.0.0", False)}
    assert manifest(moved) == {**manifest(odd), "overrides": {"is-number": "7.0.0"}}
    (change,) = comparison.compare(template="tiny", old=1, new=2).packages
    assert (change.name, change.chain) == ("is-number", ("is-odd", "is-number"))
    for values in ({"kind": "rebuild"}, {"kind": "refresh"}, {"kind": "update"}):
        again = run_build(**values, from_version=2)
        assert (again.state, again.reproduces) == ("reproduced", moved), (values, again.message)
    back = made(run_build(kind="update", packages=["is-number@5.0.0"], from_version=2))
    assert locked(back)["is-number"] == ("5.0.0", False)
    assert manifest(back)["overrides"] == {"is-number": "5.0.0"}


def test_a_nested_override_wins_and_the_message_says_so(odd: Version, tiny: Path) -> None:
    nested = {**manifest(odd), "overrides": {"is-odd": {"is-number": "6.0.0"}}}
    (tiny / "package.json").write_text(json.dumps(nested))
    build = run_build(kind="update", packages=["is-number@7.0.0"])
    assert (build.state, build.step) == ("failed", "fetching")
    assert "npm keeps other versions: is-number is 6.0.0." in build.message
    assert "edit them" in build.message


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"dependencies": {"a": "^1.0.0"}}, {"dependencies": {"a": "2.0.0"}}),
        (
            {"dependencies": {"a": "^1.0.0"}, "overrides": {"a": "1.5.0", "b": "1.0.0"}},
            {"dependencies": {"a": "2.0.0"}, "overrides": {"a": "2.0.0", "b": "1.0.0"}},
        ),
        (
            {"dependencies": {"c": "1"}, "overrides": {"a": {"b": "1.0.0"}}},
            {"dependencies": {"c": "1"}, "overrides": {"a": {"b": "1.0.0", ".": "2.0.0"}}},
        ),
        ({"dependencies": {"c": "1"}}, {"dependencies": {"c": "1"}, "overrides": {"a": "2.0.0"}}),
    ],
)
def test_overrides_are_written_into_package_json(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    file = tmp_path / "package.json"
    file.write_text(json.dumps(before))
    held = npm_builder._pin(file, {"a": "2.0.0"})
    assert json.loads(file.read_text()) == after
    assert held == ({} if "a" in after["dependencies"] else {"a": "2.0.0"})
