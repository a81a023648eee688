"""List the protections of forked sandboxes, how to lower each, and the attacks that it stops.

A protection is lowered by an edit of a copy of `_fork/isolate.c`: the shipped code has no switch.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from sandbox.isolation import confinement, seccomp
from tests.attacks import test_05_information_leaks
from tests.attacks.attack import Attack, call, program
from tests.attacks.testbed import ISOLATE, NEIGHBOUR, Arena, compile_program

Edit = tuple[str, str]
LEFT = ("/tmp", "/dev/shm", "/workspace/src")


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """A protection: the edits that remove it, and the attacks that must then succeed.

    `flags`: namespaces that the clone no longer gets. `beside`: what runs meanwhile. `seen`: the host refuses such a sandbox.
    """

    name: str
    edits: Sequence[Edit]
    attacks: Sequence[Attack]
    flags: int = 0
    beside: Attack = NEIGHBOUR
    seen: bool = True


def leaves(at: str) -> Attack:
    """Make an attack that leaves a file, or finds one that an earlier sandbox has left."""
    code = f"""const at = "{at}/left-by-another"; const found = fs.existsSync(at);
        fs.writeFileSync(at, "x"); say(found);"""
    return program(f"files left in {at}", code, False)


def without(line: str) -> Edit:
    return (line, "")


def _namespace(name: str, flag: str) -> Edit:
    return (f" | {flag}{name}_", "")


TABLE = (
    Lowered(
        name="filter of system calls",
        edits=[without('check(CALL(SYS_prctl, PR_SET_SECCOMP_, SECCOMP_MODE_FILTER_, &program, 0, 0), "filter");')],
        attacks=[call("clone_like_a_fork_server", "EPERM")],
    ),
    Lowered(
        name="dropped capabilities",
        edits=[without('check(CALL(SYS_capset, &header, none), "capabilities");')],
        attacks=[call("one_capability", "EPERM"), call("raise_link", "EPERM")],
    ),
    Lowered(
        name="own /proc",
        edits=[
            without('check(CALL(SYS_mount, "proc", "/proc", "proc", MS_NOSUID_ | MS_NODEV_ | MS_NOEXEC_, NULL), "/proc");'),
        ],
        attacks=[program("/proc of the server", "say(fs.readlinkSync('/proc/self') === `${process.pid}`);", True)],
        seen=False,
    ),
    *(
        Lowered(
            name=f"own {at}",
            edits=[without(f'mount_memory("{at}", request->{size}_bytes);')],
            attacks=[leaves(at)],
            seen=False,
        )
        for at, size in (("/tmp", "disk"), ("/dev/shm", "shared"))
    ),
    Lowered(
        name="own /workspace",
        edits=[
            without('mount_memory("/workspace", request->disk_bytes);'),
            without('check(CALL(SYS_mkdirat, AT_FDCWD_, "/workspace/src", 0777), "/workspace/src");'),
            without('check(CALL(SYS_fchmodat, AT_FDCWD_, "/workspace/src", 0777), "/workspace/src");'),
            without("check(CALL(SYS_symlinkat, target, AT_FDCWD_, links + at), links + at);"),
        ],
        attacks=[leaves("/workspace/src")],
        seen=False,
    ),
    Lowered(
        name="hidden first process",
        edits=[without('check(CALL(SYS_prctl, PR_SET_DUMPABLE_, 0, 0, 0, 0), "dumpable");')],
        attacks=[call(f"first_{name}", "EACCES", "EPERM") for name in ("memory", "descriptors", "root", "folder", "environment", "score")],
        seen=False,
    ),
    Lowered(
        name="resource limits",
        edits=[without("    limit(request);")],
        attacks=[call("sparse", "EFBIG")],
        seen=False,
    ),
    Lowered(
        name="status socket of the first process",
        edits=[("CALL(SYS_close, status_socket);\n    CALL(SYS_prctl", "CALL(SYS_prctl")],
        attacks=[call("any_descriptor", "EBADF")],
        seen=False,
    ),
    Lowered(
        name="own control groups",
        edits=[without('check(CALL(SYS_unshare, CLONE_NEWCGROUP_), "control groups");')],
        attacks=[
            program(
                "names of the control groups",
                "say(fs.readFileSync('/proc/self/cgroup', 'utf8').includes('stencil'));",
                False,
            )
        ],
    ),
    Lowered(
        name="own network",
        edits=[_namespace("NEWNET", "CLONE_"), without('check(CALL(SYS_ioctl, socket, SIOCSIFFLAGS_, &loopback), "loopback");')],
        flags=0x40000000,
        beside=test_05_information_leaks.VICTIM,
        attacks=[program("spy", test_05_information_leaks.SPY, [False, "ECONNREFUSED", False])],
    ),
    Lowered(
        name="own System V IPC",
        edits=[_namespace("NEWIPC", "CLONE_")],
        flags=0x08000000,
        attacks=[Attack(name="segment_get", kind="call", code="segment_get", answers=("ENOENT",), before="segment_put")],
    ),
)  # fmt: skip


@contextmanager
def lowered(arena: Arena, one: Lowered, *, seen: bool) -> Iterator[None]:
    """Serve forks without a protection. `seen`: the host still checks each sandbox."""
    with ExitStack() as stack:
        binary = stack.enter_context(edited(arena, one.edits))
        if one.flags:
            stack.callback(seccomp.server_program.cache_clear)
            stack.enter_context(patch.object(seccomp, "FORKED", seccomp.FORKED & ~one.flags))
            seccomp.server_program.cache_clear()
        if not seen:
            stack.enter_context(patch.object(confinement, "check_against", lambda *_: None))
        stack.enter_context(arena.serving(binary))
        yield


@contextmanager
def edited(arena: Arena, edits: Sequence[Edit], *, folder: str = "_fork") -> Iterator[str]:
    """Yield the name of the attacks' fork server, compiled with an edited copy of isolate.c."""
    text = ISOLATE.read_text()
    for old, new in edits:
        assert text.count(old) == 1, f"isolate.c has {text.count(old)} times: {old}"
        text = text.replace(old, new)
    source, place = arena.root / "isolate.c", arena.tree / folder
    before = place.stat()
    source.write_text(text)
    compile_program(place / "edited", arena.root / "forked.o", source)
    source.unlink()
    try:
        yield f"{folder}/edited"
    finally:
        (place / "edited").unlink()
        os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))  # the tree is as it was
