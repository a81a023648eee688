"""Test that sandboxes left by a killed process are found by the mark in their environment."""

import os
import signal
import subprocess
import time
from pathlib import Path

from sandbox.isolation import orphans
from sandbox.isolation.launch import bubblewrap_path
from sandbox.session.outcome import State
from sandbox.session.sessions import start
from tests.sandbox.node_tree import program, tree_for, with_limits
from tests.timeouts import HANGS_SECONDS


def test_only_processes_with_the_prefix_are_killed() -> None:
    children = [
        subprocess.Popen(["/bin/sleep", "60"], env=orphans.environment(slot))
        for slot in ("gone-slot0", "gone-warm-1", "here-slot0")
    ]
    try:
        for child in children:
            wait_for_mark(child.pid)
        swept = orphans.sweep("gone-")
        assert sorted(swept) == sorted(child.pid for child in children[:2])
        assert [child.wait(HANGS_SECONDS) for child in children[:2]] == [-signal.SIGKILL] * 2
        assert children[2].poll() is None
        assert orphans.sweep("gone-") == []
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_the_inner_process_of_a_killed_bubblewrap_is_found() -> None:
    """Block the start: the inner process then outlives the outer one."""
    read, write = os.pipe()
    outer = subprocess.Popen(
        [str(bubblewrap_path()), "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/",
         "--block-fd", str(read), "/bin/sleep", "60"],
        env=orphans.environment("gone-slot1"), pass_fds=(read,),
    )  # fmt: skip
    os.close(read)
    try:
        deadline = time.monotonic() + HANGS_SECONDS
        while not inner_of(outer.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        [inner] = inner_of(outer.pid)
        outer.kill()
        outer.wait()
        orphans.sweep("gone-")
        while Path(f"/proc/{inner}/stat").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not alive(inner)
    finally:
        os.close(write)
        outer.kill()
        outer.wait()


def wait_for_mark(pid: int) -> None:
    """Wait until the kernel shows the new program's environment.

    `Popen` returns when exec has closed its descriptors, a moment before that.
    """
    deadline = time.monotonic() + HANGS_SECONDS
    while orphans.MARK.encode() not in Path(f"/proc/{pid}/environ").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def inner_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_program_inside_does_not_have_the_mark(tree_root: Path) -> None:
    session = start(tree_for(tree_root, "run"), with_limits(), slot="marked-slot0")
    assert orphans._marked("marked-") != []
    code = "console.log(JSON.stringify(process.env))"
    outcome = session.deliver(program(code), with_limits())
    assert outcome.state is State.SUCCEEDED
    assert orphans.MARK.encode() not in outcome.stdout.data
    assert orphans._marked("marked-") == []
