"""Test the measurements of a benchmark: turns, files left, set-up, hostile requests."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import bare, hostile_bodies, measures, phases, requests
from benchmarks.installation import Installation, InstallationError
from execapp.models import Execution
from tests.execapp.conftest import Api
from tests.sandbox.node_tree import build_tree


def test_samples_alternate_and_the_first_pair_is_not_counted() -> None:
    order: list[str] = []

    def sample(name: str) -> float:
        order.append(name)
        return float(len(order))

    ours, other = measures.pairs(2, lambda: sample("ours"), lambda: sample("other"))
    assert order == ["ours", "other"] * 3
    assert (ours, other) == ([3.0, 5.0], [4.0, 6.0])


def test_the_database_does_not_count_as_a_leftover_file(tmp_path: Path) -> None:
    for name in ("db.sqlite3", "db.sqlite3-wal", "kept"):
        (tmp_path / name).touch()
    assert measures.left(tmp_path) == 1


def test_the_parts_of_a_submission_add_up_to_the_time_of_the_client() -> None:
    timings = {"queued_ms": 2.0, "setup_ms": 1.0, "run_ms": 20.0, "collect_ms": 1.5}
    timings["total_ms"] = 26.5
    assert phases.parts(31.0, timings) == (4.5, 2.0, 1.0, 20.0, 1.5, 2.0, 26.5)
    *columns, _total = phases.parts(31.0, timings)
    assert sum(columns) == 31.0


def test_set_up_is_measured_in_a_real_sandbox_cold_and_warm(tmp_path: Path) -> None:
    root = build_tree(tmp_path / "version/tree")
    for name in bare.LINKS:
        (root / name).touch()
    (tmp_path / "version/cache").mkdir()
    cold = measures.set_up(tmp_path / "version")
    warm = measures.delivery(tmp_path / "version", root)
    assert warm > 0
    assert cold > 0
    with measures.parked() as parked_pool:
        assert measures.set_up(tmp_path / "version", parked_pool=parked_pool) > 0
        assert parked_pool.count() == 1  # parked for the next measurement


def test_hostile_requests_are_measured_against_a_valid_one(
    api: Api, alive: object, live_server: Any, tmp_path: Path
) -> None:
    port = int(live_server.url.rpartition(":")[2])
    installation = Installation(data=tmp_path, port=port, token=api.secret, pid=0)
    good = hostile_bodies.good(requests.BODY_BYTES)
    time, memory = requests.beside(installation, good, turns=1)
    assert time.measure.endswith("hostile bodies of 200 KB, beside a good one")
    assert time.must == "≤ 2×"
    assert memory.measure.startswith("memory of ")
    assert memory.must == "≤ 4×"
    assert Execution.objects.count() >= 2  # the valid bodies, and hostile ones that are valid
    with pytest.raises(InstallationError, match="201"):
        list(requests.beside(installation, hostile_bodies.good(200_000, template="none"), turns=1))
