"""Class 12: a submission cannot change the template by any path; install scripts are off."""

import pytest

from sandbox.session.outcome import State
from tests.attacks.attack import Attack, call, program, tries
from tests.attacks.conftest import Assault
from tests.attacks.testbed import Arena

READ_ONLY = {
    "write over": "fs.writeFileSync('/template/package.json', 'x')",
    "write by the workspace's link": "fs.writeFileSync('/workspace/package.json', 'x')",
    "append": "fs.appendFileSync('/workspace/node_modules/dep.js', 'x')",
    "write new": "fs.writeFileSync('/workspace/node_modules/new.js', 'x')",
    "truncate": "fs.truncateSync('/template/node_modules/dep.js')",
    "open for both": "fs.openSync('/template/package.json', 'r+')",
    "rename": "fs.renameSync('/template/node_modules/dep.js', '/template/node_modules/x')",
    "rename a folder": "fs.renameSync('/template/node_modules', '/template/x')",
    "remove": "fs.unlinkSync('/workspace/node_modules/dep.js')",
    "remove a folder": "fs.rmdirSync('/template/node_modules')",
    "chmod": "fs.chmodSync('/template/runner/main.mjs', 0o777)",
    "chmod the root": "fs.chmodSync('/template', 0o777)",
    "chown": "fs.chownSync('/template/package.json', process.getuid(), process.getgid())",
    "times": "fs.utimesSync('/template/package.json', 1, 1)",
    "make a folder": "fs.mkdirSync('/template/new')",
    "make a link": "fs.symlinkSync('/tmp', '/template/link')",
    "hard link within": "fs.linkSync('/template/package.json', '/template/again')",
    "write the program": "fs.writeFileSync('/template/bin/node', 'x')",
    "write the runner": "fs.writeFileSync('/template/runner/main.mjs', 'x')",
    "copy over": "fs.copyFileSync('/workspace/src/main.mjs', '/template/runner/main.mjs')",
    "Vite's folder": "fs.mkdirSync('/workspace/node_modules/.vite-temp')",
}
ELSEWHERE = {
    "hard link out": "fs.linkSync('/template/package.json', '/tmp/out')",
    "rename out": "fs.renameSync('/template/package.json', '/tmp/out')",
    "rename in": "(fs.writeFileSync('/tmp/in', 'x'), fs.renameSync('/tmp/in', '/template/in'))",
    "the system's programs": "fs.writeFileSync('/usr/bin/sh', 'x')",
    "the system's libraries": "fs.writeFileSync('/usr/lib64/x', 'x')",
    "users": "fs.appendFileSync('/etc/passwd', 'x')",
    "names of hosts": "fs.writeFileSync('/etc/hosts', 'x')",
    "the root folder": "fs.writeFileSync('/new', 'x')",
    "devices": "fs.writeFileSync('/dev/new', 'x')",
    "preloaded libraries": "fs.writeFileSync('/etc/ld.so.preload', 'x')",
}
THROUGH_A_CHILD = """
    const child = cp.spawnSync('/bin/sh', ['-c', 'rm -rf /template/node_modules; '
      + 'echo x > /template/package.json; cp /bin/true /template/bin/node; '
      + 'mv /template/runner /tmp/; echo x > /usr/bin/sh']);
    say(child.status !== 0 && fs.existsSync('/template/node_modules/dep.js'));
"""
ATTACKS: tuple[Attack, ...] = (
    *(tries(name, code, "EROFS") for name, code in READ_ONLY.items()),
    *(tries(name, code, "EROFS", "EXDEV", "EACCES", "EPERM") for name, code in ELSEWHERE.items()),
    *(
        call(name, "EROFS", "EACCES", "EPERM", "EBADF", "ENOTTY", "ETXTBSY")
        for name in (
            "map_shared", "protect_shared", "flags_sealed", "attribute_sealed", "allocate_sealed",
            "reopen_sealed", "race_copy_on_write", "splice_pipe", "write_own_binary",
        )
    ),
    *(
        call(name, "EPERM")
        for name in (
            "mount_bind", "remount_writable", "mount_tmpfs", "unmount", "move_mount", "open_tree",
            "mount_setattr",
        )
    ),
    program("all of it by a shell", THROUGH_A_CHILD, True),
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_the_template_does_not_change(attack: Attack, assault: Assault) -> None:
    assault(attack)


def test_a_poisoned_workspace_ends_with_its_run(arena: Arena) -> None:
    """Replace links of the workspace: the next run does not see it."""
    poison = program(
        "poison",
        """for (const name of ["node_modules", "package.json"])
             try { fs.rmSync("/workspace/" + name);
               fs.writeFileSync("/workspace/" + name, "evil"); } catch {}
           say("done");""",
    )
    look = program(
        "look", "say(fs.readFileSync('/workspace/package.json', 'utf8'));", '{"sealed": true}'
    )
    assert arena.run(poison).state == State.SUCCEEDED
    found = arena.run(look).stdout.data
    assert b"sealed" in found
    assert b"evil" not in found
