"""Test helper processes: priority, limits, their sandboxes, and how they end."""

import ctypes
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import helper
from sandbox.cgroup import leases
from sandbox.cgroup.hierarchy import Hierarchy
from sandbox.helper import Helper, HelperExit
from sandbox.isolation import orphans
from tests.timeouts import HANGS_SECONDS

ROOT = Path(__file__).resolve().parents[2]
SLOT = f"helped{os.getpid()}"
SETTLE = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from sandbox import cage, helper
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
helper.settle(parent=int(words["--parent"]), slot=words["--slot"])
build = Path({build!r})
said = lambda _, text: (build.parent / "said").open("a").write(text + "\\n")
"""
Begin = Callable[..., Helper]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Return a function that starts a helper with lines of Python; end all helpers afterwards."""
    started: list[Helper] = []
    build = tmp_path / "build"
    build.mkdir(mode=0o700)

    def go(lines: str) -> Helper:
        code = SETTLE.format(root=str(ROOT), build=str(build)) + lines
        started.append(Helper([sys.executable, "-c", code], os.environ, slot=SLOT))
        return started[-1]

    yield go
    for each in started:
        if Path(f"/proc/{each.pid}").exists():
            each.end()


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANGS_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_helper_has_low_processor_and_disk_priority(begin: Begin, tmp_path: Path) -> None:
    made = begin("(build / 'settled').touch()\ntime.sleep(300)")
    until((tmp_path / "build/settled").exists)
    assert os.getpriority(os.PRIO_PROCESS, made.pid) >= 10
    get = {"x86_64": 252, "aarch64": 31}[platform.machine()]  # ioprio_get(2)
    assert ctypes.CDLL(None).syscall(get, 1, made.pid) == helper._IOPRIO_LOWEST
    assert os.getsid(made.pid) == made.pid
    assert made.end() == HelperExit(status=-signal.SIGKILL, out_of_memory=False)
    assert not Path(f"/proc/{made.pid}").exists()


def test_sandboxes_of_a_helper_have_its_name_and_end_with_it(begin: Begin, tmp_path: Path) -> None:
    made = begin("cage.run(cage.Cage(writable=build), ['/usr/bin/sleep', '300'], said)")
    until(lambda: orphans._marked(f"{SLOT}-"))
    made.end()
    assert orphans._marked(f"{SLOT}-") == []
    prefix = f"{leases.NAME_PREFIX}{SLOT}-"
    left = set(leases._names(leases.current_hierarchy(), prefix))
    assert left <= leases.process_leases().mine()


def test_limits_of_a_helper_do_not_apply_to_its_sandboxes(begin: Begin, tmp_path: Path) -> None:
    """Check the limits because Node alone reserves more addresses than a helper may have."""
    argv = ["/usr/bin/bash", "-c", "ulimit -v; ulimit -t"]
    made = begin(f"cage.run(cage.Cage(writable=build), {argv!r}, said)")
    assert made.wait(HANGS_SECONDS)
    assert made.end().status == 0
    hard = subprocess.run(
        ["/usr/bin/bash", "-c", "ulimit -Hv; ulimit -Ht"], capture_output=True, check=True
    )
    assert (tmp_path / "said").read_bytes() == hard.stdout


@pytest.mark.parametrize("groups", [True, False])
def test_children_of_a_helper_outside_of_sandboxes_end_with_it(
    groups: bool, begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not groups:
        monkeypatch.setattr(leases, "_leases", leases.Leases(Hierarchy(kind="none")))
    lines = "import subprocess\nchild = subprocess.Popen(['/usr/bin/sleep', '300'])\n"
    made = begin(lines + "(build / 'pid').write_text(str(child.pid))\ntime.sleep(300)")
    until(lambda: (tmp_path / "build/pid").exists() and (tmp_path / "build/pid").read_text())
    pid = int((tmp_path / "build/pid").read_text())
    made.end()
    until(lambda: gone(pid))


def test_a_helper_without_its_parent_does_nothing(tmp_path: Path) -> None:
    code = SETTLE.format(root=str(ROOT), build=str(tmp_path)) + "(build / 'settled').touch()"
    argv = [sys.executable, "-c", code, "--parent", "1", "--slot", SLOT]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "process 1, which started this one, is gone" in done.stderr
    assert not (tmp_path / "settled").exists()


def test_a_helper_dies_with_its_parent(tmp_path: Path) -> None:
    inner = SETTLE.format(root=str(ROOT), build=str(tmp_path))
    inner += "import os\n(build / 'pid').write_text(str(os.getpid()))\ntime.sleep(300)"
    outer = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from sandbox.helper import Helper
Helper([sys.executable, "-c", {inner!r}], os.environ, slot="{SLOT}-outer")
time.sleep(300)
"""
    starter = subprocess.Popen([sys.executable, "-c", outer])
    try:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        pid = int((tmp_path / "pid").read_text())
    finally:
        starter.kill()
        starter.wait()
    until(lambda: gone(pid))
    leases.sweep(f"{SLOT}-outer")


def gone(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


@pytest.mark.parametrize(
    ("helper_exit", "cause"),
    [
        (HelperExit(status=0, out_of_memory=False), "ended with status 0"),
        (HelperExit(status=3, out_of_memory=False), "ended with status 3"),
        (HelperExit(status=-9, out_of_memory=False), "was killed by SIGKILL"),
        (HelperExit(status=-11, out_of_memory=False), "was killed by SIGSEGV"),
        (HelperExit(status=-24, out_of_memory=False), "needed more than 900 s of processor time"),
        (HelperExit(status=-9, out_of_memory=True), "needed more than 2048 MiB of memory"),
    ],
)
def test_the_exit_of_a_helper_has_a_cause(helper_exit: HelperExit, cause: str) -> None:
    assert helper_exit.cause == cause
