"""The profile of a sandbox and its form as bubblewrap's arguments. Pure: a value in, an argv out.

Two kinds of start give the same inside, down to the uid. As root, bubblewrap makes the mounts with
root's rights (so that a checkout under a 0700 home works), and `setpriv` inside then drops to one
unprivileged uid with every capability set empty. As an ordinary user, a user namespace does both.

As root, no variable of the command has its own name until the rights are dropped: `setpriv` would
obey variables such as LD_PRELOAD. bubblewrap sets STENCIL_0="NAME=value", STENCIL_1 and so
on, and `env`, started by `setpriv`, sets what they hold. Values never stand in an argv.

To run without isolation, do not call `parked`: this is the only place that knows bubblewrap.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

from sandbox.isolation import devices

# One number for all sandboxes, because Node names its compile cache by uid. Neither Debian's nor
# systemd's tables assign its range, so no user of the host has this number.
INSIDE_ID = 60600
PROFILE_VERSION = 3

# The programs of the host that a submission may call: enough for a shell line, no interpreters.
TOOLS = (
    "bash", "cat", "cp", "echo", "env", "false", "ls", "mkdir", "mv", "pwd", "rm", "setpriv",
    "sh", "sleep", "true", "uname",
)  # fmt: skip

_PASSWD = f"sandbox:x:{INSIDE_ID}:{INSIDE_ID}:sandbox:/tmp:/bin/sh\n"
ETC_FILES = {
    "/etc/passwd": f"root:x:0:0:root:/:/bin/false\n{_PASSWD}",
    "/etc/group": f"root:x:0:\nsandbox:x:{INSIDE_ID}:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
DEVICES = devices.NAMES
# These links lead to the /proc of the process that reads them.
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
_DEV_BYTES = 64 * 1024  # for those links and the folder of /dev/shm; then it is read-only
# Files of /proc that reveal the service: a process inherits the keyring of its session.
_HIDDEN = ("/proc/keys",)

HOSTS = "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n"
_HELD = "STENCIL_{}"
BASE_ENVIRONMENT = {"HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108 - inside


@dataclass(frozen=True, kw_only=True)
class Host:
    """The visible part of this machine: read-only binds of a path over itself, and links (to, at).

    `hidden` are existing files of /proc that cannot be opened inside.
    """

    bwrap: str
    as_root: bool
    binds: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tmpfs:
    """An empty file system in memory, writable by the uid inside."""

    at: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One sandbox's contents. `binds` are (host, inside, writable); `network` shares the host's.

    `alone`: the command can start threads but no process. `server`: it is a fork server. Its /proc
    is whole, because the kernel lets no process with a masked one mount its own.
    """

    command: tuple[str, ...]
    directory: str
    environment: Mapping[str, str]
    binds: tuple[tuple[str, str, bool], ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    folders: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    network: bool = False
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    alone: bool = False
    server: bool = False
    channel: int = 3  # the number that the command finds its channel at, if it is given one


@dataclass(frozen=True, kw_only=True)
class Descriptors:
    """Descriptor numbers of bubblewrap; the command inherits none of them."""

    seccomp: int
    block: int
    info: int
    files: tuple[tuple[str, int], ...]


def host_layout(*, bwrap: str, as_root: bool, root: Path = Path("/")) -> Host:
    """Return where this machine has its libraries and tools, below `root`."""
    links, binds = [], []
    for name in ("bin", "lib", "lib64"):
        place = root / name
        if place.is_symlink():
            links.append((str(place.readlink()), f"/{name}"))
        elif place.is_dir() and name != "bin":
            binds.append(f"/{name}")
    binds += _libraries(root)
    # The C locale in UTF-8 and the time zones are data that programs expect everywhere.
    for data in ("usr/lib/locale/C.utf8", "usr/share/zoneinfo"):
        if (root / data).is_dir():
            binds.append(f"/{data}")
    for folder in ("usr/bin", "bin"):
        if not (root / folder).is_symlink():
            binds += [f"/{folder}/{tool}" for tool in TOOLS if (root / folder / tool).exists()]
    hidden = tuple(place for place in _HIDDEN if (root / place[1:]).exists())
    return Host(bwrap=bwrap, as_root=as_root, binds=tuple(binds), links=tuple(links), hidden=hidden)


def _libraries(root: Path) -> list[str]:
    multiarch = f"usr/lib/{platform.machine()}-linux-gnu"
    found = [f"/{place}" for place in (multiarch, "usr/lib64") if (root / place).is_dir()]
    holds_libc = any((root / place[1:] / "libc.so.6").exists() for place in found)
    return found if holds_libc else [*found, "/usr/lib"]


def parked(
    host: Host, command: tuple[str, ...], *, options: int, variables: int
) -> tuple[str, ...]:
    """Return bubblewrap's argv, which every user may read; the options come by the pipe `options`.

    `variables` is the number of the command's variables. ValueError, as root, for a program with
    a "=" in its name, which `env` would take for a variable.

    The last option is the namespace without which bubblewrap refuses the host name. If the options
    end early, because their writer was killed, bubblewrap ends before it has made anything.
    """
    if host.as_root and "=" in command[0]:
        raise ValueError(f"a program's name cannot have a '=': {command[0]}")
    named = ("--hostname", "sandbox", "--args", str(options), "--")
    return (host.bwrap, *named, *_drop(host), *_renaming(host, variables), *command)


def with_whole_proc(host: Host, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the argv that keeps bubblewrap from covering folders of /proc.

    It covers those that it could write to (`irq`, `bus`): as root all, unless it lacks the
    capability to ignore permissions. Below a covered /proc, the kernel lets no process mount its
    own.
    """
    if not host.as_root:
        return argv
    return ("/usr/bin/setpriv", "--bounding-set=-dac_override", "--", *argv)


def options(host: Host, profile: Profile, descriptors: Descriptors) -> tuple[str, ...]:
    """Return all options. Order matters: a folder comes before its contents, sealing at the end."""
    return (
        *_namespaces(host, profile),
        *_parents(host, profile),
        *_system(host, whole_proc=profile.server),
        *_contents(profile, descriptors),
        *_sealing(),
        *_environment(host, profile),
        *_control(profile, descriptors),
        # A library notices a fork by the process id: the command of a sandbox has 2, its server 1.
        *(("--as-pid-1",) if profile.server else ()),
        "--unshare-uts",
    )


def _namespaces(host: Host, profile: Profile) -> tuple[str, ...]:
    network = () if profile.network else ("--unshare-net",)
    spaces = ("--unshare-pid", "--unshare-ipc", "--unshare-cgroup-try", *network)
    if host.as_root:
        needed = ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"]  # for setpriv, which drops them
        if any(writable for _, _, writable in profile.binds):
            needed.append("CAP_DAC_READ_SEARCH")  # to enter a folder that is the inside uid's own
        return (*spaces, "--cap-drop", "ALL", *(x for cap in needed for x in ("--cap-add", cap)))
    identity = ("--uid", str(INSIDE_ID), "--gid", str(INSIDE_ID))
    return ("--unshare-user", *spaces, *identity, "--cap-drop", "ALL")


def _parents(host: Host, profile: Profile) -> tuple[str, ...]:
    # bubblewrap makes missing parents of a file with mode 0700, which only their owner may enter.
    places = (*host.binds, *(place for _, place, _ in profile.binds), *profile.files)
    parents = {parent for place in places for parent in _above(place)}
    shown = {place for _, place, _ in profile.binds} | {tmpfs.at for tmpfs in profile.tmpfs}
    made = sorted(parents - {"/"} - shown)
    return tuple(item for place in made for item in _folder(place))


@lru_cache(1024)  # there are few places, and every start reads all of them
def _above(place: str) -> tuple[str, ...]:
    return tuple(str(parent) for parent in Path(place).parents)


def _below(top: str, profile: Profile) -> list[str]:
    """Return the folders inside of `top` that lead to the mounts there."""
    places = {place for _, place, _ in profile.binds}
    parents = {parent for place in places for parent in _above(place)}
    return sorted({parent for parent in parents if top in _above(parent)} - places)


def _folder(place: str) -> tuple[str, ...]:
    return ("--perms", "0755", "--dir", place)


@cache
def _system(host: Host, *, whole_proc: bool) -> tuple[str, ...]:
    return (
        *(item for place in host.binds for item in ("--ro-bind", place, place)),
        *(item for target, place in host.links for item in ("--symlink", target, place)),
        "--proc", "/proc",
        *(() if whole_proc else _masks(host)),
        *_devices(),
    )  # fmt: skip


def _masks(host: Host) -> tuple[str, ...]:
    return (
        # A device node on a mount without device access: opening it fails with EACCES.
        *(item for place in host.hidden for item in ("--ro-bind", "/dev/null", place)),
        # bubblewrap covers the files that it finds writable, but /proc/sys never appears writable.
        "--ro-bind", "/proc/sys", "/proc/sys",
    )  # fmt: skip


def _devices() -> tuple[str, ...]:
    return (
        "--perms", "0755", "--size", str(_DEV_BYTES), "--tmpfs", "/dev",
        *(x for name in DEVICES for x in ("--dev-bind", f"/dev/{name}", f"/dev/{name}")),
        *(x for name, to in _DEVICE_LINKS.items() for x in ("--symlink", to, f"/dev/{name}")),
    )  # fmt: skip


def _contents(profile: Profile, descriptors: Descriptors) -> tuple[str, ...]:
    # 1777: as root the links belong to root, and the sticky bit prevents their replacement.
    argv: list[str] = []
    for place, descriptor in descriptors.files:
        argv += ["--perms", "0444", "--file", str(descriptor), place]
    for tmpfs in profile.tmpfs:
        argv += ["--perms", "1777", "--size", str(tmpfs.size_bytes), "--tmpfs", tmpfs.at]
        # This mount hides the folders that were made before.
        argv += [item for place in _below(tmpfs.at, profile) for item in _folder(place)]
    for source, place, writable in profile.binds:
        argv += ["--bind" if writable else "--ro-bind", source, place]
    for folder in profile.folders:
        argv += ["--perms", "0777", "--dir", folder]
    for target, place in profile.links:
        argv += ["--symlink", target, place]
    return tuple(argv)


def _sealing() -> tuple[str, ...]:
    # In a user namespace both belong to the uid inside, and neither has a size limit.
    return ("--remount-ro", "/dev", "--remount-ro", "/")


def variables(profile: Profile) -> dict[str, str]:
    """Return the command's variables, sorted, with PWD as a shell sets it."""
    return dict(sorted({**profile.environment, "PWD": profile.directory}.items()))


def _environment(host: Host, profile: Profile) -> tuple[str, ...]:
    pairs = variables(profile).items()
    if host.as_root:
        held = (f"{name}={value}" for name, value in pairs)
        pairs = {_HELD.format(number): text for number, text in enumerate(held)}.items()
    return ("--clearenv", *(item for pair in pairs for item in ("--setenv", *pair)))


def _renaming(host: Host, count: int) -> tuple[str, ...]:
    """Return the words for `env -S`, which expands variables itself: each value is one word."""
    if not host.as_root:
        return ()
    held = (f'"${{{_HELD.format(number)}}}"' for number in range(count))
    return ("/usr/bin/env", "-S", " ".join(("-i", *held)))


def _control(profile: Profile, descriptors: Descriptors) -> tuple[str, ...]:
    return (
        "--die-with-parent",
        "--new-session",
        "--seccomp", str(descriptors.seccomp),
        "--block-fd", str(descriptors.block),
        "--info-fd", str(descriptors.info),
        "--chdir", profile.directory,
    )  # fmt: skip


def _drop(host: Host) -> tuple[str, ...]:
    if not host.as_root:
        return ()
    return (
        "/usr/bin/setpriv",
        "--reuid", str(INSIDE_ID),
        "--regid", str(INSIDE_ID),
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
        "--no-new-privs",
        "--",
    )  # fmt: skip
