"""Class 8: all processes of programs, compilers and builds run inside and end with their run."""

import threading
import time
from pathlib import Path

import pytest

from sandbox import cage
from sandbox.errors import CageStoppedError
from sandbox.session.outcome import State
from tests.attacks.attack import Attack, bomb, ends, program
from tests.attacks.conftest import Assault
from tests.attacks.host_snapshot import DAEMON
from tests.attacks.testbed import Arena
from tests.timeouts import HANGS_SECONDS

ANY = (State.SUCCEEDED, State.FAILED, State.CRASHED)
DETACHED = """
    const child = cp.spawn(@COMMAND@, { detached: true, stdio: @STDIO@ });
    child.unref(); setTimeout(() => process.exit(0), 80);
"""


def detached(name: str, command: str, stdio: str = "'ignore'") -> Attack:
    code = DETACHED.replace("@COMMAND@", command).replace("@STDIO@", stdio)
    return ends(name, code, State.SUCCEEDED)


ATTACKS: tuple[Attack, ...] = (
    *(
        bomb(name.replace("_", " "), name, State.SUCCEEDED)
        for name in (
            "double_fork", "new_group", "reaper", "holds_output", "stopped_daemon", "many_daemons",
        )
    ),
    detached("detached sleep", "'/bin/sleep', ['300']"),
    detached("detached sleep that holds the output", "'/bin/sleep', ['300']", "'inherit'"),
    detached("a shell's grandchildren", "'/bin/sh', ['-c', '(sleep 300 &); (sleep 301 &); exit 0']"),
    detached("a shell that refuses to end",
         "'/bin/sh', ['-c', \"trap '' TERM HUP INT; sleep 300\"]"),
    detached("a program that starts itself again", "process.execPath, ['-e',"
             " 'const again = () => require(\"child_process\").spawn(process.execPath,"
              " [\"-e\", \"setTimeout(() => {}, 9000)\"],"
             " { detached: true }); again(); setTimeout(() => {}, 9000)']"),
    ends("everything is signalled", "process.kill(-1, 'SIGKILL'); setTimeout(() => {}, 100);",
         *ANY),
    ends("the first process is signalled", "for (const name of ['SIGKILL', 'SIGSTOP', 'SIGTERM'])"
         " try { process.kill(1, name) } catch {}", *ANY),
    ends("its parent is signalled", "try { process.kill(process.ppid, 'SIGKILL') } catch {}", *ANY),
    ends("a worker thread that never ends",
         "const { Worker } = await import('node:worker_threads');"
         " new Worker('for (;;);', { eval: true }); setTimeout(() => process.exit(0), 100);",
         State.SUCCEEDED),
    program("a configuration that is loaded", "fs.writeFileSync('/workspace/src/vitest.config.mjs',"
            " \"export default (await import('node:fs')).existsSync('@SECRET_FILE@')\");"
            " say((await import('/workspace/src/vitest.config.mjs')).default);", False),
    program("a compiled program", "fs.copyFileSync('/template/bin/syscalls',"
     " '/workspace/src/evil');"
            " fs.chmodSync('/workspace/src/evil', 0o6755);"
            " say(cp.spawnSync('/workspace/src/evil', ['become_root']).stdout.toString());",
            "1\n", "22\n"),
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_process_ends_with_its_run(attack: Attack, assault: Assault) -> None:
    began = time.monotonic()
    assault(attack)
    assert time.monotonic() - began < HANGS_SECONDS
    assert not daemons()


def daemons() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            name = (entry / "comm").read_text().strip() if entry.name.isdigit() else ""
        except OSError:
            continue
        if name == DAEMON:
            found.append(entry.name)
    return found


INSTALL = {
    "a daemon": "(sleep 300; echo late > late) & exit 0",
    "a daemon that holds the output": "sleep 300 & exit 0",
    "a daemon that ignores signals": "(trap '' TERM HUP; sleep 300) & exit 0",
    "no network": "bash -c 'exec 4<>/dev/tcp/127.0.0.1/@PORT@' 2>/dev/null && exit 9; exit 0",
    "no secret": "env | while read -r line; do case $line in *@SECRET@*) exit 9;; esac; done",
    "no host": "cat @SECRET_FILE@ @HOME@/manage.py /root/.npmrc /etc/shadow && exit 9; exit 0",
    "nothing outside its folder": "for at in /x /usr/x /etc/x /opt/x /var/x; do"
    " mkdir -p $at 2>/dev/null && exit 9; done; exit 0",
}


@pytest.mark.parametrize("script", INSTALL.values(), ids=INSTALL)
@pytest.mark.started
def test_install_scripts_are_caged(
    script: str, arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPM_TOKEN", arena.words["SECRET"])
    folder = tmp_path / "build"
    folder.mkdir()
    began = time.monotonic()
    with arena.neighbour():
        status = cage.run(
            cage.Cage(writable=folder, wall_ms=120_000),
            ["/bin/sh", "-c", arena.fill(script)],
            lambda *_: None,
        )
    assert status == 0
    assert time.monotonic() - began < HANGS_SECONDS
    assert not list(folder.iterdir())


def test_users_of_the_host_cannot_see_a_cages_environment(tmp_path: Path) -> None:
    """Check the argv, which every user can read: the environment may hold a registry's token."""
    seen: list[str] = []
    folder = tmp_path / "build"
    folder.mkdir()

    def look(_stream: str, _text: str) -> None:
        for entry in Path("/proc").iterdir():
            try:
                text = (entry / "cmdline").read_text() if entry.name.isdigit() else ""
            except (OSError, UnicodeDecodeError):
                continue
            if "bwrap" in text:
                seen.append(text)

    jail = cage.Cage(writable=folder, env={"TOKEN": "a-registrys-token"}, wall_ms=120_000)
    assert cage.run(jail, ["/bin/sh", "-c", "echo; sleep 0.2"], look) == 0
    assert seen
    assert not [text for text in seen if "a-registrys-token" in text]


@pytest.mark.started
def test_cancelling_a_build_ends_its_daemons(arena: Arena, tmp_path: Path) -> None:
    folder = tmp_path / "build"
    folder.mkdir()
    cancel = threading.Event()
    threading.Timer(0.2, cancel.set).start()
    script = "trap '' TERM; while :; do sleep 300 & sleep 1; done"
    with pytest.raises(CageStoppedError, match="cancelled"), arena.neighbour():
        cage.run(
            cage.Cage(writable=folder), ["/bin/sh", "-c", script], lambda *_: None, cancel=cancel
        )
