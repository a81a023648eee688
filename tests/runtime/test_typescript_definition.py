"""The files of the TypeScript template agree with each other."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sandbox.limits import Limits, Outcome, State
from sandbox.runner import Submission, execute
from tests.runtime.conftest import DEFINITION, source_files
from tests.runtime.tool import Tool

SMOKE = sorted(path.name for path in (DEFINITION / "smoke").iterdir())


@pytest.fixture
def package() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DEFINITION / "package.json").read_text())
    return loaded


@pytest.fixture
def lock() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DEFINITION / "package-lock.json").read_text())
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


def test_every_file_is_listed(definition: dict[str, Any]) -> None:
    runner = {str(path.relative_to(DEFINITION)) for path in DEFINITION.glob("runner/**/*.*js")}
    listed = set(definition["files"])
    assert runner <= listed
    assert all((DEFINITION / name).is_file() for name in listed)


@pytest.mark.parametrize("case", SMOKE)
def test_the_smoke_cases_end_as_they_expect(typescript: Tool, case: str) -> None:
    folder = DEFINITION / "smoke" / case
    said = tomllib.loads((folder / "case.toml").read_text())
    check(perform(typescript, folder, said), said["expect"])


def perform(typescript: Tool, folder: Path, said: dict[str, Any]) -> Outcome:
    submission = Submission(
        mode=said["mode"],
        files=tuple(source_files(folder / "src")),
        entry=said.get("entry"),
        args=tuple(said.get("args", ())),
        stdin=said.get("stdin", "").encode(),
        pattern=typescript.definition["test"]["pattern"],
    )
    return execute(typescript.tree(said["mode"]), submission, Limits())


def check(outcome: Outcome, expected: dict[str, Any]) -> None:
    found = {
        "state": outcome.state.value,
        "exit_code": outcome.exit_code,
        "stdout": outcome.stdout.data.decode(),
    }
    if outcome.report is not None:
        found |= {name: getattr(outcome.report, name) for name in ("passed", "failed", "skipped")}
    assert {name: found[name] for name in expected} == expected


def test_the_states_of_an_outcome_are_those_of_the_cases() -> None:
    for case in SMOKE:
        said = tomllib.loads((DEFINITION / "smoke" / case / "case.toml").read_text())
        State(said["expect"]["state"])
