"""Test the readings of the machine, from files as the kernel writes them."""

from pathlib import Path

import pytest

from execapp.executor.readings import MachineReadings
from sandbox.cgroup import leases
from sandbox.cgroup.hierarchy import Hierarchy

NONE = Hierarchy(kind="none")


class Clock:
    """A clock that a test sets."""

    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc/pressure").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 1000 kB\n")
    (tmp_path / "proc/stat").write_text("cpu  1 2 3\nprocs_running 900\n")
    pressed(tmp_path / "proc", 0)
    return tmp_path / "proc"


def pressed(proc: Path, microseconds: int) -> None:
    (proc / "pressure/cpu").write_text(
        f"some avg10=1.00 avg60=0.00 avg300=0.00 total={microseconds}\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    )


def test_pressure_is_that_of_the_last_moments(proc: Path) -> None:
    clock = Clock()
    readings = MachineReadings(NONE, proc=proc, clock=clock)
    assert readings.pressure() == 1, "nothing is known yet"
    clock.now += 0.1
    pressed(proc, 25_000)
    assert readings.pressure() == pytest.approx(0.25)
    pressed(proc, 90_000)
    clock.now += 0.01
    assert readings.pressure() == pytest.approx(0.25), "it is not read at every look"
    clock.now += 0.09
    assert readings.pressure() == pytest.approx(0.65)
    clock.now += 60
    assert readings.pressure() == 1, "the last reading is old"


def test_without_pressure_the_run_queue_is_read(proc: Path) -> None:
    (proc / "pressure/cpu").unlink()
    readings = MachineReadings(NONE, proc=proc)
    assert readings.pressure() == 1
    (proc / "stat").write_text("procs_running 1\n")
    assert readings.pressure() == 0
    (proc / "stat").unlink()
    assert readings.pressure() == 1


def test_available_memory_is_that_of_the_machine_or_of_a_group_above(
    proc: Path, tmp_path: Path
) -> None:
    place = tmp_path / "unit/sandboxes"
    place.mkdir(parents=True)
    (place / "memory.max").write_text("max\n")
    (place / "memory.current").write_text("5\n")
    readings = MachineReadings(NONE, proc=proc)
    assert readings.available_bytes() == 1000 * 1024
    limit = tmp_path / "unit/memory.max"
    limit.write_text("5000\n")
    (tmp_path / "unit/memory.current").write_text("3000\n")
    grouped = Hierarchy(kind="v2", places=(("unified", place),))
    assert MachineReadings(grouped, proc=proc).available_bytes() == 2000


def test_this_machine_is_read() -> None:
    readings = MachineReadings(leases.current_hierarchy())
    assert 0 <= readings.pressure() <= 1
    assert readings.available_bytes() > 1 << 20
