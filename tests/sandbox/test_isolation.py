"""Test the sandbox from inside: the limits of untrusted code."""

import http.server
import json
import os
import threading
import time
from pathlib import Path

import pytest

from sandbox.limits import MIB
from sandbox.session.outcome import State
from tests.sandbox.conftest import Run
from tests.timeouts import HANGS_SECONDS

ANSWER = """
    import fs from "node:fs";
    import net from "node:net";
    import os from "node:os";
    import cp from "node:child_process";
    const say = (value) => console.log(JSON.stringify(value));
    const code = (body) => { try { return body() ?? "ok"; } catch (error) { return error.code; } };
"""


def asked(run: Run, code: str, **limits: int) -> object:
    outcome = run(ANSWER + code, **limits)
    assert outcome.state == State.SUCCEEDED, outcome
    return json.loads(outcome.stdout.data)


def test_a_program_runs_as_an_unprivileged_user_without_capabilities(run: Run) -> None:
    status = asked(run, "say(fs.readFileSync('/proc/self/status', 'utf8'))")
    assert isinstance(status, str)
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["60600"] * 4
    assert fields["Gid"].split() == ["60600"] * 4
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    assert {fields[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert set(fields["Groups"].split()) <= {"60600", "65534"}


def test_no_environment_leaks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "key")
    names = asked(run, "say(Object.keys(process.env).sort())")
    ours = ["STENCIL_COLD", "STENCIL_MODE"]  # the runner of a template removes these variables
    assert names == ["HOME", "LANG", "NODE_NO_WARNINGS", "PATH", "PWD", *ours, "TMPDIR"]
    others = asked(
        run,
        """say(fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name))
            .map((pid) => code(() => fs.readFileSync(`/proc/${pid}/environ`, 'utf8'))))""",
    )
    assert "SECRET" not in str(others)


def test_no_descriptor_leaks(run: Run) -> None:
    code = """
        const kinds = fs.readdirSync('/proc/self/fd').map((fd) =>
          code(() => fs.readlinkSync(`/proc/self/fd/${fd}`)));
        const own = /^(pipe:|anon_inode:|socket:|ENOENT|[/]dev[/]null|[/]proc[/])/;
        say(kinds.filter((kind) => !own.test(kind)));
    """
    leaky = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(leaky, True)
    try:
        assert asked(run, code) == []
    finally:
        os.close(leaky)


def test_a_program_sees_only_its_own_processes(run: Run) -> None:
    pids = asked(run, "say(fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name)))")
    assert isinstance(pids, list)
    assert len(pids) <= 3
    # In a user namespace the first process has the same user and the same root.
    roots = asked(run, "say([code(() => fs.readdirSync('/proc/1/root')), fs.readdirSync('/')])")
    assert isinstance(roots, list)
    assert roots[0] in ("EACCES", roots[1])


def test_a_program_sees_a_small_file_system(run: Run) -> None:
    assert asked(run, "say(fs.readdirSync('/').sort())") == sorted(
        ["bin", "dev", "etc", "lib", "lib64", "proc", "template", "tmp", "usr", "workspace"]
    )
    assert asked(run, "say(fs.readdirSync('/etc').sort())") == [
        "group", "hosts", "nsswitch.conf", "passwd",
    ]  # fmt: skip
    for hidden in ("/root", "/home", "/sys", "/var", "/run", str(Path(__file__).parent)):
        assert asked(run, f"say(code(() => fs.statSync('{hidden}')))") == "ENOENT"


def test_a_program_has_five_devices_and_no_terminal(run: Run) -> None:
    names = ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"]
    assert asked(run, "say(fs.readdirSync('/dev').sort())") == names
    code = """
        const read = (at, bytes) => { const data = Buffer.alloc(bytes, 1), fd = fs.openSync(at);
          return [fs.readSync(fd, data), data.some(Boolean)]; };
        say([read('/dev/zero', 9), read('/dev/null', 9), read('/dev/urandom', 99),
          read('/dev/random', 99), code(() => fs.writeFileSync('/dev/full', 'x')),
          code(() => fs.writeFileSync('/dev/null', 'x')), code(() => fs.openSync('/dev/tty')),
          code(() => fs.openSync('/dev/ptmx'))]);
    """
    found = [[9, False], [0, True], [99, True], [99, True], "ENOSPC", "ok", "ENOENT", "ENOENT"]
    assert asked(run, code) == found


def test_its_streams_can_be_opened_by_name(run: Run) -> None:
    code = """
        import fs from "node:fs";
        fs.writeFileSync("/dev/stdout", fs.readFileSync("/dev/stdin", "utf8").toUpperCase());
        fs.writeFileSync("/dev/stderr", "said");
    """
    outcome = run(code, stdin=b"given")
    assert (outcome.stdout.data, outcome.stderr.data) == (b"GIVEN", b"said")


def test_the_kernels_switches_are_mounted_read_only(run: Run) -> None:
    mounts = asked(run, "say(fs.readFileSync('/proc/self/mountinfo', 'utf8'))")
    assert isinstance(mounts, str)
    options = {line.split()[4]: line.split()[5].split(",") for line in mounts.splitlines()}
    assert "ro" in options["/proc/sys"]
    assert asked(run, "say(fs.readFileSync('/proc/sys/kernel/hostname', 'utf8'))") == "sandbox\n"
    closed = asked(run, "say(code(() => fs.readFileSync('/proc/keys', 'utf8')))")
    assert closed in ("EACCES", "ENOENT")  # ENOENT: a kernel without keyrings


@pytest.mark.parametrize(
    "attempt",
    [
        "fs.writeFileSync('/template/package.json', 'x')",
        "fs.writeFileSync('/workspace/package.json', 'x')",
        "fs.writeFileSync('/workspace/node_modules/dep.js', 'x')",
        "fs.writeFileSync('/workspace/node_modules/new.js', 'x')",
        "fs.renameSync('/workspace/node_modules/dep.js', '/workspace/node_modules/x')",
        "fs.unlinkSync('/template/node_modules/dep.js')",
        "fs.chmodSync('/template/runner/main.mjs', 0o777)",
        "fs.mkdirSync('/template/new')",
        "fs.writeFileSync('/usr/bin/sh', 'x')",
        "fs.writeFileSync('/etc/passwd', 'x')",
        "fs.writeFileSync('/new', 'x')",
        "fs.writeFileSync('/dev/new', 'x')",
        "fs.symlinkSync('/tmp', '/template/link')",
    ],
)
def test_sealed_folders_cannot_be_changed(run: Run, attempt: str) -> None:
    assert asked(run, f"say(code(() => {attempt}))") in ("EROFS", "EACCES", "EPERM")


def test_sealed_files_answer_read_only(run: Run) -> None:
    code = """say([
        code(() => fs.writeFileSync('/workspace/node_modules/new.js', 'x')),
        code(() => fs.renameSync('/template/node_modules', '/template/x')),
        code(() => fs.chmodSync('/template/runner/main.mjs', 0o777))])"""
    assert asked(run, code) == ["EROFS"] * 3


def test_disk_is_bounded(run: Run) -> None:
    code = """
        const fill = (at) => code(() => { const fd = fs.openSync(at, 'w');
          for (;;) fs.writeSync(fd, Buffer.alloc(1 << 20, 1)); });
        say([fill('/workspace/a'), fill('/tmp/a'), fill('/dev/shm/a')]);
    """
    found = asked(run, code, disk_bytes=8 * MIB)
    assert found == ["ENOSPC"] * 3


def test_a_single_file_is_bounded(run: Run) -> None:
    code = "say(code(() => fs.ftruncateSync(fs.openSync('/tmp/sparse', 'w'), 2 ** 40)))"
    assert asked(run, code) == "EFBIG"


def test_open_files_are_bounded(run: Run) -> None:
    code = "say(code(() => { for (;;) fs.openSync('/dev/null'); }))"
    assert asked(run, code, open_files=64) == "EMFILE"


def test_a_fork_bomb_is_bounded_and_dies(run: Run) -> None:
    code = """
        const grow = 'f() { f | f & }; f; while :; do :; done';
        for (let n = 0; n < 9; n++) cp.spawn('/bin/sh', ['-c', grow], { stdio: 'ignore' });
        setInterval(() => {}, 1000);
    """
    began = time.monotonic()
    outcome = run(ANSWER + code, wall_ms=1000, processes=40)
    assert outcome.state in (State.TIMED_OUT, State.FAILED, State.CRASHED)
    assert time.monotonic() - began < HANGS_SECONDS


def test_a_daemon_dies_with_its_run(run: Run) -> None:
    marker = f"stencil-daemon-{os.getpid()}"
    code = f"""
        cp.spawn('/bin/sh', ['-c', '(sleep 300; : {marker}) & (sleep 301; : {marker}) &'],
          {{ detached: true, stdio: 'inherit' }}).unref();
        setTimeout(() => {{ console.log('left it'); process.exit(0); }}, 100);
    """
    began = time.monotonic()
    outcome = run(ANSWER + code)
    assert (outcome.state, outcome.stdout.data) == (State.SUCCEEDED, b"left it\n")
    assert time.monotonic() - began < HANGS_SECONDS
    assert not [one for one in command_lines() if marker in one]


def command_lines() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append((entry / "cmdline").read_text(errors="replace"))
            except OSError:
                continue
    return found


def test_the_hosts_loopback_cannot_be_reached(run: Run) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    code = f"""
        const reach = (port, host) => new Promise((done) => net.connect(port, host)
          .on('connect', () => done('reached')).on('error', (error) => done(error.code)));
        say([await reach({server.server_port}, '127.0.0.1'), await reach(80, '169.254.169.254'),
          await reach(53, '8.8.8.8'), Object.keys(os.networkInterfaces())]);
    """
    try:
        found = asked(run, code)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert found == ["ECONNREFUSED", "ENETUNREACH", "ENETUNREACH", ["lo"]]


def test_its_own_loopback_and_unix_sockets_work(run: Run) -> None:
    code = """
        const ask = (...at) => new Promise((done) => {
          const server = net.createServer((peer) => peer.end('hello')).listen(...at, () => {
            const address = server.address();
            const to = typeof address === 'string' ? [address] : [address.port, address.address];
            net.connect(...to).on('data', (data) => { done(String(data)); server.close(); });
          });
        });
        say([await ask(0, '127.0.0.1'), await ask(0, '::1'), await ask('/tmp/socket')]);
    """
    assert asked(run, code) == ["hello"] * 3


def test_a_run_leaves_nothing_for_the_next(run: Run) -> None:
    places = "['/tmp', '/dev/shm', '/workspace'].map((at) => at + '/left')"
    asked(run, f"say({places}.map((at) => fs.writeFileSync(at, 'x')))")
    look = f"say({places}.map((at) => fs.existsSync(at)))"
    assert asked(run, look) == [False] * 3
