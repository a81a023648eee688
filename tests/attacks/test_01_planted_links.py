"""Class 1: links planted where the host writes, as the last or a parent component of the path."""

import json
import os
from pathlib import Path

import pytest

from sandbox import cage
from sandbox.session import sessions
from sandbox.session.outcome import State
from sandbox.session.sessions import SourceFile, Submission
from templatemgr.builders import steps
from templatemgr.errors import BuildError
from tests.attacks.attack import Attack, tries
from tests.attacks.conftest import Assault
from tests.attacks.testbed import Arena
from tests.sandbox.node_tree import tree_for

PLANTED = {
    "final component": ("/tmp/link", "@SECRET_FILE@", "/tmp/link"),
    "parent component": ("/tmp/link", "@CANARIES@", "/tmp/link/secret"),
    "a new file under a parent": ("/tmp/link", "@CANARIES@", "/tmp/link/new"),
    "in the sources": ("/workspace/src/link", "@SECRET_FILE@", "/workspace/src/link"),
    "climbing": ("/workspace/src/link", "../../../../..@SECRET_FILE@", "/workspace/src/link"),
    "by the first process": ("/tmp/link", "/proc/1/root@SECRET_FILE@", "/tmp/link"),
    "by its own root": ("/tmp/link", "/proc/self/root@SECRET_FILE@", "/tmp/link"),
    "a link to a link": ("/tmp/link", "@CANARIES@/link", "/tmp/link"),
}
ATTACKS: tuple[Attack, ...] = (
    *(
        tries(
            name,
            f"(fs.symlinkSync('{to}', '{at}'), fs.writeFileSync('{written}', 'owned'))",
            *("ENOENT", "EACCES", "EPERM"),
        )
        for name, (at, to, written) in PLANTED.items()
    ),
    tries(
        "the sources are replaced by a link",
        "(fs.renameSync('/workspace/src', '/workspace/moved'), fs.symlinkSync('/template',"
        " '/workspace/src'), fs.writeFileSync('/workspace/src/package.json', 'owned'))",
        *("EROFS", "EPERM", "EACCES"),
    ),
    tries(
        "a hard link to the host", "fs.linkSync('@SECRET_FILE@', '/tmp/hard')", "ENOENT", "EPERM"
    ),
)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_planted_link_is_not_followed(attack: Attack, assault: Assault) -> None:
    assault(attack)


@pytest.mark.parametrize(
    "name", ["node_modules/dep.js", "package.json", "node_modules/../x", "tsconfig.json"]
)
def test_submitted_files_stay_under_the_sources(name: str, arena: Arena) -> None:
    """Check paths with the names of the workspace's links, one folder higher."""
    if ".." in name:
        assert sessions.check_paths([name])
        return
    code = f"""import fs from "node:fs"; console.log(JSON.stringify([
        fs.readFileSync("/workspace/src/{name}", "utf8"),
        fs.readFileSync("/workspace/package.json", "utf8")]));"""
    files = (
        SourceFile(path="main.mjs", content=code.encode()),
        SourceFile(path=name, content=b"mine"),
    )
    job = Submission(mode="run", files=files, entry="main.mjs")
    with arena.neighbour():
        outcome = arena.execute(tree_for(arena.tree, "run"), job)
    assert outcome.state == State.SUCCEEDED
    assert json.loads(outcome.stdout.data) == ["mine", '{"sealed": true}']


def planted(arena: Arena, folder: Path, code: str) -> None:
    """Run an install script that plants links; `HOST` stands for a folder of the host."""
    jail = cage.Cage(writable=folder, read_only=((arena.tree, "/opt/node"),), wall_ms=60_000)
    program = f"const fs = require('fs'); const HOST = {json.dumps(str(arena.canaries))}; {code}"
    with arena.neighbour():
        assert cage.run(jail, ["/opt/node/bin/node", "-e", program], lambda *_: None) == 0


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    (folder / "node_modules/a").mkdir(parents=True)
    (folder / "node_modules/node").write_text("")
    return folder


PRUNED = (
    "node_modules/secret",
    "node_modules/*/inner",
    "node_modules/folder",
    "*/secret",
    "secret",
)
PLANTS = {
    "the folder is a link": "fs.rmSync('node_modules', { recursive: true });"
    " fs.symlinkSync(HOST, 'node_modules');",
    "a folder in it is a link": "fs.rmSync('node_modules/a', { recursive: true });"
    " fs.symlinkSync(HOST + '/folder', 'node_modules/a');",
    "the file is a link": "fs.symlinkSync(HOST + '/secret', 'secret');"
    " fs.symlinkSync(HOST + '/secret', 'node_modules/secret');"
    " fs.symlinkSync(HOST + '/folder', 'node_modules/folder');",
}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
@pytest.mark.started
def test_tidying_after_install_scripts_follows_no_link(
    plant: str, arena: Arena, build: Path
) -> None:
    planted(arena, build, plant)
    steps.prune(build, PRUNED)


@pytest.mark.parametrize(
    "plant", ["fs.symlinkSync(HOST, 'bin');", "fs.mkdirSync('x'); fs.symlinkSync(HOST, 'x/bin');"]
)
@pytest.mark.started
def test_the_toolchains_link_is_not_made_outside(plant: str, arena: Arena, build: Path) -> None:
    planted(arena, build, plant)
    link = "x/bin/node" if "x/bin" in plant else "bin/node"
    with pytest.raises(BuildError, match="outside of the tree"):
        steps.link(build, link, "node_modules/node")
    assert not os.path.lexists(arena.canaries / "node")
