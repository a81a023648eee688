"""Class 6: files left by a run are never read; files left by a build are plain or refused."""

from pathlib import Path

import pytest

from templatemgr import store
from templatemgr.trees import manifests
from templatemgr.trees.manifests import ManifestError
from tests.attacks.attack import Attack, call, program
from tests.attacks.conftest import Assault
from tests.attacks.test_01_planted_links import build, planted
from tests.attacks.testbed import Arena

__all__ = ["build"]

LEFT = {
    "a link": "fs.symlinkSync('/proc/1/root', '/workspace/src/x')",
    "a link over the entry": "(fs.unlinkSync('/workspace/src/main.mjs'),"
    " fs.symlinkSync('@SECRET_FILE@', '/workspace/src/main.mjs'))",
    "a hard link": "fs.linkSync('/workspace/src/main.mjs', '/workspace/src/x')",
    "a socket": "await new Promise((done) => net.createServer().listen('/workspace/src/x', done))",
    "a FIFO": "cp.spawnSync('/bin/sh', ['-c', 'mkfifo /workspace/src/x'])",
    "a folder nobody may enter": "fs.mkdirSync('/workspace/src/x', 0)",
    "a file nobody may read": "fs.writeFileSync('/workspace/src/x', 'x', { mode: 0 })",
    "no folder at all": "fs.rmSync('/workspace/src', { recursive: true })",
    "names that are no text": "fs.writeFileSync(Buffer.from('/workspace/src/\\xff\\xfe',"
    " 'latin1'), 'x')",
}
ATTACKS: tuple[Attack, ...] = (
    *(
        program(name, f"try {{ {code} }} catch {{}}; say('left'); process.exit(0);", "left")
        for name, code in LEFT.items()
    ),
    call("device_null", "EPERM"),
    call("device_memory", "EPERM"),
    call("device_disk", "EPERM"),
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_leftover_files_are_never_read(attack: Attack, assault: Assault) -> None:
    assault(attack)


SPECIAL = {
    "an absolute link": "fs.symlinkSync(HOST + '/secret', 'x');",
    "a climbing link": "fs.symlinkSync('../../../../etc/passwd', 'x');",
    "a link to the parent": "fs.symlinkSync('..', 'x');",
    "a climbing link deep inside": "fs.mkdirSync('a'); fs.symlinkSync('../../x', 'a/x');",
    "a link through a folder": "fs.symlinkSync('node_modules/../../x', 'x');",
    "a socket": "require('net').createServer().listen('x', () => process.exit(0));",
}


@pytest.mark.parametrize("code", SPECIAL.values(), ids=SPECIAL)
@pytest.mark.started
def test_sealing_refuses_special_files(
    code: str, arena: Arena, build: Path, tmp_path: Path
) -> None:
    planted(arena, build, code)
    with pytest.raises(ManifestError):
        store.seal(build, tmp_path / "objects")


@pytest.mark.started
def test_a_hard_link_within_a_build_is_sealed_as_two_files(
    arena: Arena, build: Path, tmp_path: Path
) -> None:
    planted(arena, build, "fs.writeFileSync('a', 'x'); fs.linkSync('a', 'b');")
    sealed = store.seal(build, tmp_path / "objects")
    assert {"a", "b"} <= {entry.path for entry in sealed.manifest.files}
    assert manifests.compare(sealed.manifest, build) == [] or (build / "a").stat().st_nlink >= 2
