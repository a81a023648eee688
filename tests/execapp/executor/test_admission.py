"""Test admission: what may start beside the running executions, by load, memory and processes."""

import threading
from dataclasses import dataclass, replace

import pytest

from execapp.executor.admission import Admission, Entry, Need
from tests.timeouts import HANGS_SECONDS

MIB = 1 << 20
SMALL = Need(memory_bytes=100 * MIB, processes=10)
EXCLUSIVE = Need(memory_bytes=100 * MIB, processes=10, exclusive=True)


@dataclass
class Machine:
    """A clock and readings that a test sets."""

    now: float = 1000.0
    press: float = 0.0
    available: int = 1 << 40

    def __call__(self) -> float:
        return self.now

    def pressure(self) -> float:
        return self.press

    def available_bytes(self) -> int:
        return self.available


@pytest.fixture
def machine() -> Machine:
    return Machine()


def admission(machine: Machine, **changes: int) -> Admission:
    bounds = {"cores": 2, "most": 20, "memory_bytes": 10_000 * MIB, "processes": 1000, **changes}
    return Admission(
        cores=bounds["cores"],
        ahead=bounds.get("ahead", 0),
        most=bounds["most"],
        memory_bytes=bounds["memory_bytes"],
        processes=bounds["processes"],
        readings=machine,
        clock=machine,
    )


def admitted(at: Admission, need: Need = SMALL) -> Entry:
    entry = at.admit(need)
    assert entry is not None
    return entry


def run(machine: Machine, *rates: tuple[Entry, float], seconds: float = 0.1) -> None:
    """Let time pass, in which each entry uses its rate of cores."""
    began = machine.now
    for entry, _ in rates:
        if entry._began is None:
            entry.begun(began)
    used = [entry._samples[-1][1] for entry, _ in rates]
    for step in range(1, round(seconds * 100) + 1):
        machine.now = began + step * 0.01
        for (entry, rate), before in zip(rates, used, strict=True):
            entry.measured(before + rate * step * 10, machine.now)


def test_as_many_as_cores_start_at_once_and_no_more(machine: Machine) -> None:
    at = admission(machine)
    assert at.openings() == 2
    assert [at.admit(SMALL) is not None for _ in range(3)] == [True, True, False]
    assert at.openings() == 0


def test_a_new_one_counts_as_a_core_until_it_was_seen(machine: Machine) -> None:
    at = admission(machine)
    first, second = admitted(at), admitted(at)
    run(machine, (first, 0.0), (second, 0.0), seconds=0.02)
    assert at.openings() == 0
    run(machine, (first, 0.0), (second, 0.0), seconds=0.02)
    assert at.openings() == 2


def test_programs_that_wait_hold_no_core(machine: Machine) -> None:
    at = admission(machine, most=12)
    sleeping: list[Entry] = []
    while (entry := at.admit(SMALL)) is not None:
        sleeping.append(entry)
        run(machine, *((each, 0.0) for each in sleeping))
    assert len(sleeping) == 12, "the ceiling"
    assert at.load() == 0


def test_programs_that_compute_hold_their_cores(machine: Machine) -> None:
    at = admission(machine)
    first, second = admitted(at), admitted(at)
    run(machine, (first, 0.97), (second, 0.95))
    assert at.openings() == 0
    run(machine, (first, 0.97), (second, 0.0))
    assert at.openings() == 1


def test_a_program_that_wakes_up_holds_its_core_again(machine: Machine) -> None:
    at = admission(machine)
    first, second = admitted(at), admitted(at)
    run(machine, (first, 0.0), (second, 0.0))
    assert at.openings() == 2
    run(machine, (first, 1.0), (second, 1.0))
    assert at.openings() == 0


def test_on_a_busy_machine_a_part_of_a_core_is_a_whole_one(machine: Machine) -> None:
    """Programs that get half a core because others take the rest would use a whole one."""
    at = admission(machine)
    first, second = admitted(at), admitted(at)
    run(machine, (first, 0.4), (second, 0.4), seconds=0.3)
    assert at.openings() == 1
    machine.press = 0.3
    assert at.openings() == 0
    run(machine, (first, 0.0), (second, 0.0), seconds=0.3)
    assert at.openings() == 2, "programs that wait hold no core there either"


def test_on_a_busy_machine_a_new_one_is_watched_for_longer(machine: Machine) -> None:
    machine.press = 1.0
    at = admission(machine)
    first, second = admitted(at), admitted(at)
    run(machine, (first, 0.0), (second, 0.0), seconds=0.1)
    assert at.openings() == 0
    run(machine, (first, 0.0), (second, 0.0), seconds=0.1)
    assert at.openings() == 2


def test_as_many_as_slots_always_run_whatever_they_use(machine: Machine) -> None:
    machine.press, machine.available = 1.0, 0
    at = admission(machine, memory_bytes=0, processes=0)
    first = admitted(at)
    run(machine, (first, 2.0))
    assert admitted(at)


def test_an_ended_one_counts_as_a_quarter_of_a_core_until_its_sandbox_is_gone(
    machine: Machine,
) -> None:
    at = admission(machine)
    first, second = admitted(at), admitted(at)
    run(machine, (first, 0.95), (second, 0.95))
    assert at.openings() == 0
    first.ended()
    assert at.load() == pytest.approx(1.2)
    assert at.openings() == 1
    second.ended()
    assert at.load() == pytest.approx(0.5)
    at.leave(first)
    at.leave(second)
    assert at.openings() == 2
    assert at.load() == 0


@pytest.mark.parametrize(
    "bounds", [{"memory_bytes": 250 * MIB}, {"processes": 25}], ids=["memory", "processes"]
)
def test_limits_of_all_must_fit(machine: Machine, bounds: dict[str, int]) -> None:
    at = admission(machine, **bounds)
    first, second = admitted(at), admitted(at)
    run(machine, (first, 0.0), (second, 0.0))
    assert at.openings() == 2
    assert not at.fits(SMALL)
    assert at.fits(Need(memory_bytes=50 * MIB, processes=5))


def test_the_machine_must_have_the_memory(machine: Machine) -> None:
    at = admission(machine)
    first, second = admitted(at), admitted(at)
    run(machine, (first, 0.0), (second, 0.0), seconds=0.2)
    machine.available = 150 * MIB
    third = admitted(at)
    assert not at.fits(SMALL), "the third may still take its 100 MiB"
    run(machine, (first, 0.0), (second, 0.0), (third, 0.0), seconds=0.2)
    assert at.fits(SMALL)


def test_an_exclusive_one_waits_for_a_core_of_its_own(machine: Machine) -> None:
    at = admission(machine)
    first, second = admitted(at), admitted(at)
    run(machine, (first, 0.9), (second, 0.6))
    assert at.fits(SMALL)
    assert not at.fits(EXCLUSIVE)
    run(machine, (first, 0.95), (second, 0.0))
    assert at.fits(EXCLUSIVE)


def test_an_exclusive_one_counts_as_a_core_while_it_waits(machine: Machine) -> None:
    at = admission(machine)
    entry, other = admitted(at, EXCLUSIVE), admitted(at)
    run(machine, (entry, 0.0), (other, 0.95))
    assert at.load() == pytest.approx(1.95)
    assert at.openings() == 0


def test_an_exclusive_one_starts_on_one_core_beside_programs_that_wait(machine: Machine) -> None:
    at = admission(machine, cores=1)
    first = admitted(at)
    assert not at.fits(EXCLUSIVE)
    run(machine, (first, 0.02))
    assert at.fits(EXCLUSIVE)


def test_a_measurement_begins_anew_with_another_sandbox(machine: Machine) -> None:
    """The first sandbox did not take the job; the next one's CPU time begins at zero."""
    entry = Entry(SMALL)
    entry.begun(machine.now)
    entry.measured(500, machine.now + 0.5)
    entry.begun(machine.now + 1)
    assert entry.load(machine.now + 1.01, 0) == 1
    entry.measured(0, machine.now + 1.05)
    assert entry.load(machine.now + 1.05, 0) == 0


def test_a_new_program_whose_threads_sleep_holds_no_core_until_it_computes(
    machine: Machine,
) -> None:
    freed: list[str] = []
    at = Admission(
        cores=1,
        most=9,
        memory_bytes=10_000 * MIB,
        processes=1000,
        readings=machine,
        clock=machine,
        freed=lambda: freed.append("freed"),
    )
    entry = admitted(at)
    entry.begun(machine.now)
    machine.now += 0.005
    entry.measured(4, machine.now)
    assert (at.openings(), freed) == (0, [])
    entry.waits()
    assert (at.openings(), freed) == (0, []), "it computed until now, and may only pause"
    machine.now += 0.005
    entry.measured(4.1, machine.now)
    entry.waits()
    assert (at.openings(), freed) == (1, ["freed"])
    machine.now += 0.005
    entry.measured(9, machine.now)
    assert at.openings() == 0


def test_an_exclusive_program_that_sleeps_keeps_its_core(machine: Machine) -> None:
    at = admission(machine, cores=1)
    entry = admitted(at, replace(SMALL, exclusive=True))
    entry.begun(machine.now)
    machine.now += 0.005
    entry.measured(0, machine.now)
    entry.waits()
    assert at.openings() == 0


# Prepared executions


def never() -> bool:
    return False


class Beginning:
    """A thread in which one prepared execution begins."""

    def __init__(self, at: Admission, entry: Entry, order: list[Entry]) -> None:
        self.gives_up = threading.Event()
        self._at, self._entry, self._order = at, entry, order
        self._thread = threading.Thread(target=self._begin)
        self._thread.start()

    def _begin(self) -> None:
        self._at.begin(self._entry, self.gives_up.is_set)
        self._order.append(self._entry)

    def over(self) -> None:
        self._thread.join(HANGS_SECONDS)
        assert not self._thread.is_alive()


def test_a_few_more_are_prepared_and_hold_no_core(machine: Machine) -> None:
    at = admission(machine, ahead=2)
    assert at.openings() == 4
    entries = [admitted(at) for _ in range(4)]
    assert [entry.prepared for entry in entries] == [False, False, True, True]
    assert (at.openings(), at.fits(SMALL), at.admit(SMALL)) == (0, False, None)
    assert at.load() == 2


def test_a_busy_machine_still_prepares_the_next_ones(machine: Machine) -> None:
    at = admission(machine, ahead=2)
    assert not at.busy()
    admitted(at)
    assert not at.busy()
    admitted(at)
    assert at.busy()
    assert at.openings() == 2


def test_a_prepared_one_begins_when_a_core_is_free(machine: Machine) -> None:
    at = admission(machine, ahead=1)
    first, _second, third = admitted(at), admitted(at), admitted(at)
    order: list[Entry] = []
    beginning = Beginning(at, third, order)
    machine.now += 0.5
    assert order == []
    at.leave(first)
    beginning.over()
    assert (order, third.prepared) == ([third], False)
    assert third.waited_ms == pytest.approx(500, abs=1)
    assert at.load() == 2


def test_prepared_ones_begin_in_the_order_of_their_admission(machine: Machine) -> None:
    at = admission(machine, ahead=2)
    first, second, third, fourth = (admitted(at) for _ in range(4))
    order: list[Entry] = []
    at.leave(first)
    later = Beginning(at, fourth, order)
    later._thread.join(0.1)
    assert order == [], "the core is for the third"
    Beginning(at, third, order).over()
    assert order == [third]
    at.leave(second)
    later.over()
    assert order == [third, fourth]


def test_a_new_one_does_not_overtake_a_prepared_one(machine: Machine) -> None:
    at = admission(machine, ahead=2)
    first, _second, third = admitted(at), admitted(at), admitted(at)
    at.leave(first)
    assert admitted(at).prepared, "the core is for the third"
    at.begin(third, never)
    assert not third.prepared


def test_a_prepared_one_whose_execution_is_cancelled_waits_no_more(machine: Machine) -> None:
    at = admission(machine, ahead=1)
    _first, _second, third = admitted(at), admitted(at), admitted(at)
    beginning = Beginning(at, third, [])
    beginning.gives_up.set()
    beginning.over()
    assert third.prepared, "it holds no core"
    at.leave(third)
    assert at.openings() == 1


def test_one_that_runs_begins_at_once(machine: Machine) -> None:
    entry = admitted(admission(machine))
    admission(machine).begin(entry, never)
    assert entry.waited_ms == 0


def test_an_exclusive_one_is_not_prepared(machine: Machine) -> None:
    at = admission(machine, ahead=2)
    admitted(at), admitted(at)
    assert not at.fits(EXCLUSIVE)
    assert at.admit(EXCLUSIVE) is None
    assert at.fits(SMALL)


@pytest.mark.parametrize(
    "bounds",
    [{"memory_bytes": 250 * MIB}, {"processes": 25}, {"most": 2}],
    ids=["memory", "processes", "ceiling"],
)
def test_what_does_not_fit_beside_the_running_ones_is_not_prepared(
    machine: Machine, bounds: dict[str, int]
) -> None:
    at = admission(machine, ahead=2, **bounds)
    admitted(at), admitted(at)
    assert at.admit(SMALL) is None


def test_limits_of_prepared_ones_count(machine: Machine) -> None:
    at = admission(machine, ahead=2, memory_bytes=350 * MIB)
    admitted(at), admitted(at)
    assert admitted(at).prepared
    assert at.admit(SMALL) is None


def test_a_prepared_one_begins_beside_programs_that_wait_if_the_machine_has_the_memory(
    machine: Machine,
) -> None:
    at = admission(machine, ahead=1)
    first, second, third = admitted(at), admitted(at), admitted(at)
    run(machine, (first, 0.0), (second, 0.0), seconds=0.2)
    machine.available = 50 * MIB
    order: list[Entry] = []
    beginning = Beginning(at, third, order)
    beginning._thread.join(0.1)
    assert order == [], "it may take 100 MiB"
    machine.available = 150 * MIB
    beginning.over()
    assert order == [third]
