"""Test the processes of builds and lookups: limits, and the record of every kind of end."""

import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from execapp.executor import build_worker, helpers
from execapp.executor.daemon import Daemon
from sandbox import helper
from sandbox.cgroup import leases
from sandbox.cgroup.process_tree import tree_of
from sandbox.isolation import orphans
from templatemgr import data_paths, store
from templatemgr.build import builds, lookups
from templatemgr.maintenance import startup_check, verification
from templatemgr.models import Build, BuildState, Lookup, Version
from templatemgr.queues import LOOKUPS
from tests.execapp.conftest import Api, until
from tests.minimal_template import HELLO
from tests.tiny_definition import write_definition

STARTS_SECONDS = 240  # a process that yields to all others takes its time on a busy machine
Start = Callable[..., Daemon]


@pytest.fixture
def definition(
    current: Version, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return the definition of the tiny template, to be built.

    The current version has no manifest; no test here reads it.
    """
    monkeypatch.setattr(verification, "schedule", lambda **_: [])
    monkeypatch.setattr(startup_check, "read_current", list)
    settings.STENCIL_DEFINITIONS, settings.STENCIL_BUILDS = tmp_path / "definitions", 1
    write_definition(tmp_path / "definitions/tiny")
    return tmp_path / "definitions/tiny"


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Hold the lock of the downloads: no build passes its first step before it is closed."""
    downloads = data_paths.downloads("npm")
    downloads.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(store.locked(downloads.with_suffix(".lock")))
        yield stack


def asked() -> Build:
    return builds.request(template="tiny", kind="rebuild", actor="ann")


def children(command: str, parent: int | None = None) -> list[int]:
    """Return the processes that an executor (by default in this process) started for a command."""
    parent = parent or os.getpid()
    ours = (member.pid for member in tree_of(parent) if member.parent == parent)
    return [pid for pid in ours if command in words_of(pid)]


def words_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def building_process(build: Build, executor: int | None = None) -> int:
    """Return the process of a build that waits in its first step."""
    [pid] = until(lambda: children("run_build", executor), STARTS_SECONDS)
    assert str(build.pk) in words_of(pid)
    until(lambda: build.lines.exists(), STARTS_SECONDS)
    return pid


def ended(build: Build, *states: BuildState) -> Build:
    until(lambda: Build.objects.filter(pk=build.pk, state__in=states).exists(), STARTS_SECONDS)
    build.refresh_from_db()
    return build


def nothing_is_left(daemon: Daemon) -> None:
    """Assert that a killed build left no process, control group or folder."""
    slot = f"{daemon.context.worker}-build0-"
    mine = leases.process_leases().mine()

    def left() -> list[object]:
        groups = set(leases._names(leases.current_hierarchy(), leases.NAME_PREFIX + slot))
        folders = data_paths.data().glob("templates/*/staging/*")
        return [*children("run_build"), *orphans._marked(slot), *(groups - mine), *folders]

    until(lambda: not left(), STARTS_SECONDS)


def test_a_build_runs_in_its_own_process_and_makes_a_version(
    definition: Path, start_executor: Start
) -> None:
    daemon = start_executor()
    build = ended(asked(), BuildState.READY, BuildState.FAILED)
    assert (build.state, build.worker) == ("ready", daemon.context.worker), build.message
    assert build.version is not None
    nothing_is_left(daemon)


def test_the_process_of_a_build_has_low_priority_and_limits(
    definition: Path, held: ExitStack, start_executor: Start
) -> None:
    daemon = start_executor()
    pid = building_process(asked())
    assert os.getsid(pid) == pid
    assert os.getpriority(os.PRIO_PROCESS, pid) >= 10
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path(os.devnull)
    status = Path(f"/proc/{pid}/status").read_text()
    assert "\nUmask:\t0077\n" in status
    assert resource.prlimit(pid, resource.RLIMIT_CPU)[0] == helper.CPU_SECONDS
    assert resource.prlimit(pid, resource.RLIMIT_AS)[0] == helper.ADDRESS_BYTES
    assert resource.prlimit(pid, resource.RLIMIT_CORE)[0] == 0
    if leases.current_hierarchy().kind != "none":
        groups = Path(f"/proc/{pid}/cgroup").read_text()
        assert f"stencil-{daemon.context.worker}-build0-helper-" in groups


def test_the_end_of_a_killed_build_is_recorded_and_nothing_is_left(
    api: Api, definition: Path, held: ExitStack, start_executor: Start
) -> None:
    daemon = start_executor()
    build = asked()
    os.kill(building_process(build), signal.SIGKILL)
    ended(build, BuildState.INTERRUPTED)
    assert build.message.startswith("The process of the build was killed by SIGKILL.")
    assert [step["state"] for step in build.steps] == ["interrupted"]
    last = builds.log_lines(build=build)[-1]
    assert (last.stream, last.text) == ("build", build.message)
    nothing_is_left(daemon)
    assert api.submit(HELLO, wait=True)["state"] == "succeeded"
    held.close()
    assert ended(asked(), BuildState.READY, BuildState.FAILED).state == "ready"


def test_the_sandbox_of_a_killed_build_is_killed_too(
    definition: Path, start_executor: Start
) -> None:
    daemon = start_executor()
    build = asked()
    slot = f"{daemon.context.worker}-build0-"
    until(lambda: orphans._marked(slot), STARTS_SECONDS)
    [pid] = children("run_build")
    os.kill(pid, signal.SIGKILL)
    ended(build, BuildState.INTERRUPTED)
    until(lambda: not orphans._marked(slot))
    nothing_is_left(daemon)


def test_a_build_over_its_memory_limit_has_the_reason(
    definition: Path, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    if leases.current_hierarchy().kind == "none":
        return  # there it has a limit of addresses instead, which is seen above
    monkeypatch.setattr(helper, "MEMORY_BYTES", 24 * 1024 * 1024)  # less than Django takes
    daemon = start_executor()
    build = ended(asked(), BuildState.INTERRUPTED)
    assert "needed more than 24 MiB of memory" in build.message
    nothing_is_left(daemon)


def test_an_unresponsive_build_is_killed_when_it_is_cancelled(
    definition: Path, held: ExitStack, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build waits for a lock and checks nothing else, like one in a backtracking regex."""
    monkeypatch.setattr(build_worker, "STOP_SECONDS", 0.5)
    daemon = start_executor()
    build = asked()
    os.kill(building_process(build), signal.SIGSTOP)
    builds.cancel(build_id=build.pk, actor="ann")
    assert ended(build, BuildState.CANCELLED).message == "Cancelled."
    nothing_is_left(daemon)


def test_a_slow_definition_does_not_slow_executions(
    api: Api, definition: Path, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backtracking regex holds its interpreter's lock, so that its process reads no request."""
    monkeypatch.setattr(build_worker, "STOP_SECONDS", 0.5)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.execapp.executor.stuck_regex_settings")
    daemon = start_executor()
    build = asked()
    [pid] = until(lambda: children("run_build"), STARTS_SECONDS)
    until(lambda: processor_seconds(pid) > 3, STARTS_SECONDS)  # Django starts in less
    assert api.submit(HELLO, wait=True)["state"] == "succeeded"
    builds.cancel(build_id=build.pk, actor="ann")
    assert ended(build, BuildState.CANCELLED).message == "Cancelled."
    nothing_is_left(daemon)


def processor_seconds(pid: int) -> float:
    return sum(member.cpu_ms for member in tree_of(pid) if member.pid == pid) / 1000


def test_the_process_of_a_lost_build_is_killed(
    definition: Path, held: ExitStack, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_worker, "STOP_SECONDS", 0.5)
    daemon = start_executor()
    build = asked()
    os.kill(building_process(build), signal.SIGSTOP)
    Build.objects.filter(pk=build.pk).update(lease_until="2020-01-01T00:00:00Z")
    assert builds.reap() == 1
    until(lambda: children("run_build") == [])
    nothing_is_left(daemon)
    assert ended(build, BuildState.INTERRUPTED).message == builds.INTERRUPTED


def test_a_build_that_outlasts_the_executors_grace_is_interrupted(
    definition: Path, held: ExitStack, start_executor: Start
) -> None:
    daemon = start_executor(grace=0.2)
    build = asked()
    pid = building_process(build)
    daemon.stop()
    assert not Path(f"/proc/{pid}").exists()
    build.refresh_from_db()
    assert build.state == BuildState.INTERRUPTED
    assert build.message.startswith("The executor stopped during the build.")


def test_a_build_dies_with_a_killed_executor(
    definition: Path,
    held: ExitStack,
    executor_process: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STENCIL_DEFINITIONS", str(definition.parent))
    executor = executor_process("--slots", "1", "--warm", "0")
    build = asked()
    pid = building_process(build, executor.pid)
    executor.kill()
    until(lambda: not Path(f"/proc/{pid}").exists() or zombie(pid))
    executor_process("--slots", "1", "--warm", "0")
    assert ended(build, BuildState.INTERRUPTED).version is None
    assert list(data_paths.data().glob("templates/*/staging/*")) == []


def zombie(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_a_build_that_cannot_be_started_has_the_reason(
    definition: Path, start_executor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    start_executor()
    build = ended(asked(), BuildState.INTERRUPTED)
    assert build.message.startswith("Its process could not be started: ")


def test_a_helper_does_not_run_the_claim_of_another(
    definition: Path, start_executor: Start
) -> None:
    """A late helper does not touch the build of another attempt."""
    daemon = start_executor()
    daemon.stop()
    build = asked()
    claimed = builds.claim(worker="somebody")
    assert claimed is not None
    helper_exit, _ = helpers.follow(
        helpers.start(
            "run_build", str(build.pk), "--worker", "another", "--attempt", "1", slot="late"
        ),
        lambda _: None,
    )
    assert helper_exit.status == 0
    build.refresh_from_db()
    assert (build.state, build.steps) == ("fetching", [])


def test_a_lookup_runs_in_its_own_process(definition: Path, start_executor: Start) -> None:
    daemon = start_executor()
    lookup = lookups.request(template="tiny", actor="ann")
    seen: set[int] = set()

    def over() -> bool:
        seen.update(children("run_lookup"))
        return Lookup.objects.filter(pk=lookup.pk, state__in=("done", "failed")).exists()

    until(over, STARTS_SECONDS)
    lookup.refresh_from_db()
    assert (lookup.state, lookup.message) == ("done", "")
    assert len(seen) == 1
    assert lookup.worker == daemon.context.worker


def test_a_helper_of_an_earlier_attempt_runs_no_lookup(definition: Path) -> None:
    """The worker of both attempts has the same name."""
    lookup = lookups.request(template="tiny", actor="ann")
    first = lookups.claim(worker="one")
    assert first is not None
    assert LOOKUPS.give_back(first)
    assert lookups.claim(worker="one") is not None
    words = (str(lookup.pk), "--worker", "one", "--attempt", "1")
    helper_exit, _ = helpers.follow(
        helpers.start("run_lookup", *words, slot="late"), lambda _: None
    )
    assert helper_exit.status == 0
    lookup.refresh_from_db()
    assert (lookup.state, lookup.attempt) == ("running", 2)


def test_a_killed_lookup_names_the_signal(definition: Path, start_executor: Start) -> None:
    start_executor()
    lookup = lookups.request(template="tiny", actor="ann")
    [pid] = until(lambda: children("run_lookup"), STARTS_SECONDS)
    os.kill(pid, signal.SIGKILL)
    until(lambda: Lookup.objects.filter(pk=lookup.pk, state="failed").exists(), STARTS_SECONDS)
    lookup.refresh_from_db()
    message = "The process of the lookup was killed by SIGKILL. Start the lookup again."
    assert lookup.message == message
