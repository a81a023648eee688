"""Class 2: the host follows no link in a folder that untrusted code could write."""

import os
import stat
from pathlib import Path

import pytest

from sandbox import cage
from sandbox.isolation.profile import INSIDE_ID
from templatemgr import store
from tests.attacks.test_01_planted_links import build, planted
from tests.attacks.testbed import Arena

pytestmark = pytest.mark.started

__all__ = ["build"]

LINKS = {
    "a link to a file": "fs.symlinkSync(HOST + '/secret', 'link');",
    "a link to a folder": "fs.symlinkSync(HOST, 'link');",
    "a link to a link": "fs.symlinkSync(HOST + '/link', 'link');",
    "a folder becomes a link": "fs.rmSync('node_modules', { recursive: true });"
    " fs.symlinkSync(HOST, 'node_modules');",
    "a link deep inside": "fs.mkdirSync('a/b/c', { recursive: true }); fs.symlinkSync(HOST,"
    " 'a/b/c/d');",
    "a link to the root": "fs.symlinkSync('/', 'link'); fs.symlinkSync('/proc/1/root', 'other');",
    "a link to itself": "fs.symlinkSync('loop', 'loop');",
    "a link by a descriptor": "fs.symlinkSync('/proc/self/fd/0', 'link');",
    "a link with a newline": "fs.symlinkSync(HOST, 'a\\nb');",
    "a name that is no text": "fs.symlinkSync(HOST, Buffer.from([0xff, 0xfe, 0x41]));",
    "a thousand links": "for (let n = 0; n < 1000; n++) fs.symlinkSync(HOST, 'link' + n);",
    "a folder nobody may enter": "fs.mkdirSync('shut'); fs.symlinkSync(HOST, 'shut/link');"
    " fs.chmodSync('shut', 0);",
}


@pytest.mark.parametrize("plant", LINKS.values(), ids=LINKS)
def test_changing_the_owner_back_and_deleting_follow_no_link(
    plant: str, arena: Arena, build: Path
) -> None:
    planted(arena, build, plant)
    # The next step changes the owner again, with the links in the folder.
    assert cage.run(cage.Cage(writable=build), ["/bin/true"], lambda *_: None) == 0
    assert INSIDE_ID not in {path.lstat().st_uid for path in (build, *build.rglob("*"))}
    store.remove(build)
    assert not build.exists()


def test_no_program_is_left_with_the_hosts_rights(arena: Arena, build: Path) -> None:
    """Check a set-uid program in a folder whose owner becomes root again."""
    planted(
        arena,
        build,
        """fs.copyFileSync("/opt/node/bin/syscalls", "evil"); fs.chmodSync("evil", 0o6777);
           fs.copyFileSync("/opt/node/bin/syscalls", "node_modules/evil");
           fs.chmodSync("node_modules/evil", 0o4755);""",
    )
    modes = [path.stat().st_mode for path in build.rglob("evil")]
    assert len(modes) == 2
    if os.geteuid() == 0:
        assert not [mode for mode in modes if mode & (stat.S_ISUID | stat.S_ISGID)]


HARD = {
    "a sealed file": "/opt/node/package.json",
    "a program of the host": "/bin/true",
    "users": "/etc/passwd",
}


@pytest.mark.parametrize("target", HARD.values(), ids=HARD)
def test_no_hard_link_can_be_made_to_a_file_of_the_host(
    target: str, arena: Arena, build: Path
) -> None:
    """Try to link a file of the host: its owner would change together with the folder's."""
    planted(
        arena,
        build,
        f"""let code = "OK";
            try {{ fs.linkSync("{target}", "hard"); }} catch (error) {{ code = error.code; }}
            fs.writeFileSync("code", code);""",
    )
    assert (build / "code").read_text() in ("EXDEV", "EPERM", "EROFS")


def test_a_workspace_leaves_no_file_on_the_disk(arena: Arena, tmp_path: Path) -> None:
    """Check that a submission leaves no folder to clean up, and so no link in one."""
    assert not list(arena.root.rglob("src"))
    assert list(tmp_path.iterdir()) == []
