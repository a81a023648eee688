"""Class 18: a hostile tree attacks privileged programs, and runners that keep privileges.

A template's variables, libraries and programs must not affect any program before privileges are
dropped. If a process keeps privileges, the host sees it and runs no submission.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast
from unittest.mock import patch

import pytest

from sandbox import cage
from sandbox.errors import ConfinementError, SandboxError
from sandbox.isolation import confinement, devices, process, profile
from sandbox.isolation.launch import starts_as_root
from sandbox.session import sessions
from sandbox.session.outcome import Outcome, State
from sandbox.session.sessions import Tree
from tests.attacks.attack import LIMITS, PRELUDE
from tests.attacks.host_trials import Trial
from tests.attacks.testbed import Arena
from tests.sandbox.node_tree import tree_for
from tests.timeouts import HANGS_SECONDS

HERE = Path(__file__).parent
AS_ROOT = starts_as_root()


def as_root(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test of privileges that only root has; other users get no test of this name."""
    return test if AS_ROOT else cast("Callable[..., None]", None)


INSIDE = str(profile.INSIDE_ID)
LIBRARY = "/template/node_modules/evil.so"
# Variables that a loader, a C library, a shell or our own start might obey. Each is tried alone.
VARIABLES: dict[str, str] = {
    "LD_PRELOAD": LIBRARY,
    "LD_AUDIT": LIBRARY,
    "LD_LIBRARY_PATH": "/template/libraries",
    "LD_DEBUG_OUTPUT": "/tmp/loaded-by",
    "GCONV_PATH": "/template/libraries",
    "LOCPATH": "/template/libraries",
    "NLSPATH": "/template/libraries/%N",
    "GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=0:glibc.malloc.check=3",
    "PATH": "/template/programs",
    "BASH_ENV": "/template/programs/script",
    "ENV": "/template/programs/script",
    "BASH_FUNC_exec%%": "() { : >/tmp/loaded-0-rights; }",
    "STENCIL_0": f"LD_PRELOAD={LIBRARY}",
    "STENCIL_SLOT": "another-slot",
    "CAPNG_DEBUG": LIBRARY,
}
COMPANIONS = {"LD_DEBUG_OUTPUT": {"LD_DEBUG": "all"}}
WORDS = """say(fs.readdirSync("/tmp").filter((name) => name.startsWith("loaded-")));"""
# Files that would take effect if a program read the tree's instead of the machine's.
FALSE_FILES = ("etc/ld.so.preload", "etc/ld.so.cache", "etc/nsswitch.conf", "lib64", "lib")
FALSE_PROGRAMS = ("setpriv", "env", "bwrap", "sh")


def compiled(source: str, target: Path, *flags: str) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "The attacks need a C compiler (Debian and Ubuntu: apt install gcc libc6-dev)."
    argv = [compiler, "-O1", *flags, "-o", str(target), str(HERE / source)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    target.chmod(0o755)
    return target


@contextmanager
def own_tree(arena: Arena) -> Iterator[Path]:
    """Copy the arena's tree for changes: the arena's own tree must not change."""
    with tempfile.TemporaryDirectory(dir=arena.root.parent) as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(arena.tree, tree, copy_function=os.link)
        Path(folder).chmod(0o755)
        yield tree


@contextmanager
def hostile_tree(arena: Arena) -> Iterator[Path]:
    """Make a tree with everything that a privileged program could obey by mistake."""
    with own_tree(arena) as tree:
        evil = compiled("loaded.c", tree / "node_modules/evil.so", "-shared", "-fPIC")
        for folder in ("libraries", "programs", "etc"):
            (tree / folder).mkdir()
        for name in ("libcap-ng.so.0", "libselinux.so.1", "UTF-16.so"):
            shutil.copy(evil, tree / "libraries" / name)
        for name in ("gconv-modules", "C.UTF-8"):
            (tree / "libraries" / name).write_text("module UTF-8// INTERNAL UTF-16 1\n")
        for name in (*FALSE_PROGRAMS, "script"):
            (tree / "programs" / name).write_text("#!/bin/sh\n: >/tmp/loaded-0-rights\n")
            (tree / "programs" / name).chmod(0o755)
        for name in ("ld.so.preload", "ld.so.cache", "nsswitch.conf"):
            (tree / "etc" / name).write_text(f"{LIBRARY}\n")
        yield tree


def ran(arena: Arena, tree: Tree, code: str) -> Outcome:
    return arena.execute(tree, arena.job(PRELUDE + code))


def obeyed(arena: Arena, variables: Mapping[str, str]) -> str | None:
    """Return which process obeyed the tree while privileged or as another user, or None."""
    with hostile_tree(arena) as root:
        tree = tree_for(root, "run")
        try:
            outcome = ran(arena, replace(tree, env={**tree.env, **variables}), WORDS)
        except SandboxError as error:
            return str(error)
    if outcome.state != State.SUCCEEDED:
        return f"it ended {outcome.state}: {outcome.stderr.data.decode()[-300:]}"
    try:
        words = json.loads(outcome.stdout.data)
    except ValueError:  # a variable that makes the runtime print, like LD_DEBUG
        words = [outcome.stdout.data.decode()]
    wrong = [word for word in words if word != f"loaded-{INSIDE}-none" and "by" not in word]
    return f"there are {', '.join(wrong)}" if wrong else None


def variable_trials() -> list[Trial]:
    """Return one trial for each variable of a template."""

    def trial(name: str, value: str) -> Trial:
        given = {name: value, **COMPANIONS.get(name, {})}
        return Trial(name=f"variable {name}", go=lambda arena: obeyed(arena, given))

    return [trial(name, value) for name, value in VARIABLES.items()]


@pytest.mark.parametrize("trial", variable_trials(), ids=lambda trial: trial.name)
@pytest.mark.started
def test_no_program_with_rights_obeys_a_variable_of_the_tree(arena: Arena, trial: Trial) -> None:
    with arena.neighbour():
        assert trial.go(arena) is None


@pytest.mark.started
def test_the_library_of_these_trials_reports_that_it_was_loaded(arena: Arena) -> None:
    """Check that the runner loads it as the template's author wanted: without privileges."""
    with hostile_tree(arena) as root:
        tree = tree_for(root, "run")
        outcome = ran(arena, replace(tree, env={**tree.env, "LD_PRELOAD": LIBRARY}), WORDS)
    assert json.loads(outcome.stdout.data) == [f"loaded-{INSIDE}-none"]


@pytest.mark.started
def test_a_variable_arrives_unchanged(arena: Arena) -> None:
    values = {
        "EMPTY": "", "SPACES": "  a  b ", "QUOTES": "'\"`\\", "DOLLAR": "$HOME ${STENCIL_0} $(id)",
        "LINES": "a\nb\t\\n\\c", "LETTERS": "äß€", "EQUALS": "a=b=c", "HASH": "#x", "DASH": "-i",
        "LONG": "x" * 100_000,
    }  # fmt: skip
    tree = tree_for(arena.tree, "run")
    code = f"say({json.dumps(list(values))}.map((name) => process.env[name]));"
    limits = replace(LIMITS, output_bytes=1_000_000)
    job = arena.job(PRELUDE + code)
    outcome = sessions.execute(
        replace(tree, env={**tree.env, **values}), job, limits, slot="attack"
    )
    assert json.loads(outcome.stdout.data) == list(values.values())


@pytest.mark.started
def test_no_command_line_holds_a_variable(arena: Arena) -> None:
    tree = tree_for(arena.tree, "run")
    code = """say(["1", "self"].map((pid) => fs.readFileSync(`/proc/${pid}/cmdline`, "utf8")));"""
    outcome = ran(arena, replace(tree, env={**tree.env, "TOKEN": "not-to-be-seen"}), code)
    assert outcome.state == State.SUCCEEDED
    assert b"not-to-be-seen" not in outcome.stdout.data
    assert b"TOKEN" not in outcome.stdout.data


@as_root
@pytest.mark.started
def test_a_program_with_an_equals_sign_in_its_name_does_not_start(arena: Arena) -> None:
    tree = replace(tree_for(arena.tree, "run"), command=("bin/a=b", "run"))
    with pytest.raises(SandboxError, match="cannot have a '='"):
        sessions.start(tree, LIMITS, slot="attack")


BUILD_VARIABLES = ("LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "PATH", "BASH_ENV")


@pytest.mark.parametrize("name", BUILD_VARIABLES)
def test_a_build_step_drops_its_rights_before_variables_take_effect(
    tmp_path: Path, name: str
) -> None:
    """Check paths whose content source distributions and install scripts can choose."""
    folder = tmp_path / "build"
    (folder / "libraries").mkdir(parents=True)
    evil = compiled("loaded.c", folder / "evil.so", "-shared", "-fPIC")
    for library in ("libcap-ng.so.0", "libc.so.6", "setpriv", "env"):
        shutil.copy(evil, folder / "libraries" / library)
    value = {"LD_PRELOAD": "/build/evil.so", "LD_AUDIT": "/build/evil.so"}
    env = {name: value.get(name, "/build/libraries")}
    said: list[str] = []
    cage.run(
        cage.Cage(writable=folder, env=env),
        ["/bin/sh", "-c", "/usr/bin/ls /tmp"],
        lambda _, text: said.append(text),
    )
    words = {word for line in said for word in line.split() if word.startswith("loaded-")}
    assert words <= {f"loaded-{INSIDE}-none"}
    if name in value:  # the program in the cage did load it
        assert words


# --- the host sees processes that keep privileges ---


def no_drop() -> AbstractContextManager[object]:
    return patch.object(profile, "_drop", lambda _: ())


def half_a_drop(*gone: str) -> Callable[[], AbstractContextManager[object]]:
    """Return a patch that removes these words and their values from setpriv's options."""
    real = profile._drop

    def dropped(host: profile.Host) -> tuple[str, ...]:
        words = list(real(host))
        for word in gone:
            at = words.index(word)
            del words[at : at + (1 if word.startswith("--") and "=" in word else 2)]
        return tuple(words)

    return lambda: patch.object(profile, "_drop", dropped)


def without(
    function: str, *gone: str, also: int = 0
) -> Callable[[], AbstractContextManager[object]]:
    """Return a patch that removes these options of bubblewrap, with `also` words after each."""
    real = getattr(profile, function)

    def options(*given: object) -> tuple[str, ...]:
        words = list(real(*given))
        for word in gone:
            at = words.index(word)
            del words[at : at + 1 + also]
        return tuple(words)

    return lambda: patch.object(profile, function, options)


LOWERED: dict[str, tuple[Callable[[], AbstractContextManager[object]], str]] = {
    "pid namespace": (without("_namespaces", "--unshare-pid"), "pid namespace"),
    "network namespace": (without("_namespaces", "--unshare-net"), "net namespace"),
    "ipc namespace": (without("_namespaces", "--unshare-ipc"), "ipc namespace"),
    "cgroup namespace": (without("_namespaces", "--unshare-cgroup-try"), "cgroup namespace"),
    "system-call filter": (without("_control", "--seccomp", also=1), "Seccomp is 0"),
}
LOWERED_AS_ROOT: dict[str, tuple[Callable[[], AbstractContextManager[object]], str]] = {
    "the whole drop": (no_drop, "Uid is 0"),
    "the user": (half_a_drop("--reuid"), "Uid is 0"),
    "the group": (half_a_drop("--regid", "--clear-groups"), "Gid is 0"),
    "the bounding set": (half_a_drop("--bounding-set=-all"), "CapBnd is "),
}


@pytest.mark.parametrize("name", [*LOWERED, *(LOWERED_AS_ROOT if AS_ROOT else ())])
@pytest.mark.parametrize("cold", [True, False])
@pytest.mark.started
def test_ready_does_not_count_while_a_protection_is_missing(
    arena: Arena, name: str, cold: bool
) -> None:
    lower, said = {**LOWERED, **LOWERED_AS_ROOT}[name]
    with lower(), pytest.raises(ConfinementError, match=said):
        sessions.start(arena.native(), LIMITS, slot="attack", cold=cold, low_priority=not cold)


PRIVILEGED_PROCESSES = ("itself", "child", "orphan", "thread", "ids", "group")


@contextmanager
def runner_with_privileges(arena: Arena) -> Iterator[Path]:
    with own_tree(arena) as tree, no_drop():
        compiled("regains.c", tree / "bin/regains", "-static", "-pthread")
        yield tree


@as_root
@pytest.mark.parametrize("who", PRIVILEGED_PROCESSES)
@pytest.mark.started
def test_ready_does_not_count_while_a_process_keeps_rights(arena: Arena, who: str) -> None:
    with runner_with_privileges(arena) as root, pytest.raises(ConfinementError, match="process "):
        sessions.start(Tree(root=root, command=("bin/regains", who)), LIMITS, slot="attack")


@as_root
@pytest.mark.started
def test_a_runner_that_drops_all_rights_itself_counts(arena: Arena) -> None:
    """Check that only the remaining privileges count, not who dropped the others."""
    with runner_with_privileges(arena) as root:
        tree = Tree(root=root, command=("bin/regains", "nobody"))
        sessions.start(tree, LIMITS, slot="attack").close()


@as_root
def test_root_without_the_right_to_trace_sees_enough() -> None:
    """Run as in many containers: the namespaces of the first process are readable nevertheless."""
    code = "from sandbox import resources; resources.try_start(slot='adhoc-attack')"
    argv = ["/usr/bin/setpriv", "--bounding-set=-sys_ptrace", sys.executable, "-c", code]
    root = Path(__file__).resolve().parents[2]
    subprocess.run(argv, cwd=root, check=True, timeout=HANGS_SECONDS)


@pytest.mark.started
def test_helpers_of_a_runner_may_come_and_go(arena: Arena) -> None:
    """Check that processes that end during the inspection, orphans included, are no error."""
    with own_tree(arena) as root:
        (root / "startup.mjs").write_text(
            "import cp from 'node:child_process';"
            "for (let n = 0; n < 20; n++) cp.spawn('/bin/sh', ['-c', '(sleep 0.0$1 &) ; exit',"
            " 'x', String(n)], { detached: true, stdio: 'ignore' }).unref();"
        )
        for _ in range(5):
            sessions.start(tree_for(root, "run"), LIMITS, slot="attack").close()


def looked_at_trials() -> list[Trial]:
    """Return trials with runners that keep privileges, for the inspection that must see them."""

    def trial(who: str) -> Trial:
        def go(arena: Arena) -> str | None:
            with runner_with_privileges(arena) as root:
                tree = Tree(root=root, command=("bin/regains", who))
                try:
                    sessions.start(tree, LIMITS, slot="attack").close()
                except ConfinementError:
                    return None
            return "it was ready"

        return Trial(name=f"rights are kept by {who}", go=go)

    return [trial(who) for who in PRIVILEGED_PROCESSES]


# --- devices ---

CHANGES: dict[str, str] = {
    "mode": "fs.chmodSync(at, 0o600)",
    "owner": "fs.chownSync(at, 1, 1)",
    "times": "fs.utimesSync(at, 1, 1)",
    "times by a descriptor": "fs.futimesSync(fs.openSync(at, 'r'), 1, 1)",
    "mode by a descriptor": "fs.fchmodSync(fs.openSync(at, 'r'), 0o600)",
    "owner by a descriptor": "fs.fchownSync(fs.openSync(at, 'r'), 1, 1)",
    "mode by /proc": "fs.chmodSync('/proc/self/fd/' + fs.openSync(at, 'r'), 0o600)",
    "removed": "fs.unlinkSync(at)",
    "renamed": "fs.renameSync(at, '/dev/x')",
    "replaced": "fs.renameSync('/workspace/src/main.mjs', at)",
    "linked": "fs.linkSync(at, '/tmp/x')",
}
HELD = ("EROFS", "EBUSY", "EXDEV", "EPERM", "EACCES")


def nodes() -> list[tuple[object, ...]]:
    found = (Path(f"/dev/{name}").stat() for name in devices.NAMES)
    return [(each.st_mode, each.st_uid, each.st_gid, each.st_mtime_ns) for each in found]


def device_change(arena: Arena, code: str, *, as_uid_0: bool) -> str | None:
    """Try a change on each device; on request, from a submission that kept uid 0."""
    before = nodes()
    places = [Path(f"/dev/{name}") for name in devices.NAMES]
    owners = [(place.stat(), place) for place in places]
    body = f"""say(await Promise.all({json.dumps(devices.NAMES)}.map((name) => {{
        const at = "/dev/" + name; return attempt(() => {{ {code}; return "CHANGED"; }});
    }})));"""
    with ExitStack() as lowered:
        if as_uid_0:
            lowered.enter_context(no_drop())
            lowered.enter_context(patch.object(confinement, "check", lambda *_, **__: None))
        outcome = ran(arena, tree_for(arena.tree, "run"), body)
    after = nodes()
    for info, place in owners:
        place.chmod(stat.S_IMODE(info.st_mode))
        os.chown(place, info.st_uid, info.st_gid)
        os.utime(place, ns=(info.st_atime_ns, info.st_mtime_ns))
    if before != after:
        return "a device of the host was changed"
    if outcome.state != State.SUCCEEDED:
        return f"it ended {outcome.state}: {outcome.stderr.data.decode()[-300:]}"
    answers = set(json.loads(outcome.stdout.data))
    return None if answers <= set(HELD) else f"the answers were {sorted(answers)}"


def device_trials() -> list[Trial]:
    """Return trials with changes by uid 0 without capabilities: only the mounts protect."""

    def trial(name: str, code: str) -> Trial:
        return Trial(name=name, go=lambda arena: device_change(arena, code, as_uid_0=True))

    return [trial(name, code) for name, code in CHANGES.items()]


@as_root
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.started
def test_not_even_uid_0_changes_a_device(arena: Arena, name: str) -> None:
    assert device_change(arena, CHANGES[name], as_uid_0=True) is None


@as_root
@pytest.mark.parametrize("name", CHANGES)
def test_a_submission_changes_no_device(arena: Arena, name: str) -> None:
    with arena.neighbour():
        assert device_change(arena, CHANGES[name], as_uid_0=False) is None


@as_root
def test_devices_work_and_the_mounts_of_the_host_do_not_change(arena: Arena) -> None:
    before = Path("/proc/self/mounts").read_text()
    code = """say([fs.writeFileSync("/dev/null", "x"), fs.readFileSync("/dev/null").length,
        fs.readSync(fs.openSync("/dev/zero"), Buffer.alloc(9))]);"""
    outcome = ran(arena, tree_for(arena.tree, "run"), code)
    assert json.loads(outcome.stdout.data) == [None, 0, 9]
    assert Path("/proc/self/mounts").read_text() == before
    assert not [line for line in before.splitlines() if line.split()[1] == "/dev/null"]


@as_root
@pytest.mark.started
def test_a_mount_that_comes_later_is_seen_inside(arena: Arena, tmp_path: Path) -> None:
    """Check that the mounts of the thread that starts sandboxes follow the host's."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount") or ""
    subprocess.run([mount, "-t", "tmpfs", "none", str(folder)], check=True)
    try:
        (folder / "later").write_text("seen")
        said: list[str] = []
        cage.run(
            cage.Cage(writable=folder),
            ["/usr/bin/cat", "/build/later"],
            lambda _, text: said.append(text),
        )
        assert said == ["seen"]
        device = device_change(arena, CHANGES["mode"], as_uid_0=True)
        assert device is None
    finally:
        subprocess.run([shutil.which("umount") or "", str(folder)], check=True)


# --- files that give privileges ---


def capable(place: Path) -> None:
    """Return all capabilities for the process that starts the file, in the format of xattr(7)."""
    everything = b"\xff" * 8
    os.setxattr(place, "security.capability", b"\x01\x00\x00\x02" + everything + everything)


GIVERS: dict[str, Callable[[Path], None]] = {
    "setuid": lambda place: place.chmod(0o4755),
    "setgid": lambda place: place.chmod(0o2755),
    "both": lambda place: place.chmod(0o6755),
    "capabilities": capable,
}


@as_root
@pytest.mark.parametrize("name", GIVERS)
@pytest.mark.started
def test_a_file_of_the_tree_gives_no_rights(arena: Arena, name: str) -> None:
    code = """const child = cp.spawn("/template/bin/giver", ["itself"],
        { stdio: ["ignore", "ignore", "ignore", "pipe"] });
      await new Promise((done) => child.stdio[3].once("data", done));
      const text = fs.readFileSync(`/proc/${child.pid}/status`, "utf8");
      say(["Uid", "Gid", "CapPrm", "CapEff"].map((key) =>
        text.match(new RegExp(`^${key}:\\\\s+(.*)$`, "m"))[1]));
      child.kill("SIGKILL");"""
    with own_tree(arena) as root:
        GIVERS[name](compiled("regains.c", root / "bin/giver", "-static", "-pthread"))
        outcome = ran(arena, tree_for(root, "run"), code)
    ids = "\t".join([INSIDE] * 4)
    assert json.loads(outcome.stdout.data) == [ids, ids, "0" * 16, "0" * 16], outcome


@as_root
@pytest.mark.parametrize("name", GIVERS)
@pytest.mark.started
def test_a_runner_that_is_such_a_file_gets_no_rights_either(arena: Arena, name: str) -> None:
    with own_tree(arena) as root:
        GIVERS[name](compiled("regains.c", root / "bin/giver", "-static", "-pthread"))
        tree = Tree(root=root, command=("bin/giver", "itself"))
        sessions.start(tree, LIMITS, slot="attack").close()


@contextmanager
def unsealed() -> Iterator[None]:
    """Bind devices as bubblewrap does by default."""
    mounts = process._spawner.namespace
    mounts._whole = False
    try:
        with patch.object(devices, "_read_only", lambda _: None):
            yield
    finally:
        mounts._whole = False


def named_before() -> AbstractContextManager[object]:
    """Set the tree's variables already while privileges are dropped, as earlier versions did."""
    stack = ExitStack()
    stack.enter_context(patch.object(profile, "_renaming", lambda *_: ()))
    stack.enter_context(
        patch.object(
            profile,
            "_environment",
            lambda _, inside: (
                "--clearenv",
                *(
                    word
                    for pair in profile.variables(inside).items()
                    for word in ("--setenv", *pair)
                ),
            ),
        )
    )
    return stack
