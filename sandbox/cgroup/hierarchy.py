"""Detection of the places where this process may create control groups."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CONTROLLERS_V1 = ("memory", "pids", "cpuacct")
_PRIORITY = "cpu"  # of v1 and v2; without it, warming is not slowed down
_DISK = "io"  # of v2; without it, only their priority makes builds yield the disk
_CONTROLLERS_V2 = ("memory", "pids")
_OWN_LEAF = "stencil-host"
_MADE_BY_US = re.compile(r"stencil-[A-Za-z0-9_.-]+-\d+-\d+")  # as `leases` names them

Kind = Literal["v2", "v1", "none"]


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """The place of new groups: one folder (v2), one for each controller (v1), or none."""

    kind: Kind
    places: tuple[tuple[str, Path], ...] = ()
    reason: str = ""

    def place(self, controller: str) -> Path | None:
        """Return the folder of a controller, or None."""
        return dict(self.places).get(controller)


@dataclass(frozen=True, kw_only=True)
class Mounts:
    """Mount points of the hierarchies: one of v2, one for each controller of v1."""

    unified: Path | None
    controllers: dict[str, Path]


def detect(proc: Path = Path("/proc")) -> Hierarchy:
    """Return the best hierarchy: v2 if its controllers can be delegated, else v1, else none."""
    try:
        mounts = parse_mounts((proc / "self/mounts").read_text())
        own = parse_membership((proc / "self/cgroup").read_text())
    except OSError as error:
        return Hierarchy(kind="none", reason=f"/proc cannot be read: {error.strerror}")
    reasons = []
    for attempt in (_unified, _per_controller):
        found = attempt(mounts, own)
        if isinstance(found, Hierarchy):
            return found
        reasons.append(found)
    return Hierarchy(kind="none", reason="; ".join(reasons))


def parse_mounts(text: str) -> Mounts:
    """Parse /proc/self/mounts (see proc(5)) for the hierarchies that it names."""
    unified: Path | None = None
    controllers: dict[str, Path] = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        place = Path(fields[1].replace("\\040", " "))
        if fields[2] == "cgroup2":
            unified = unified or place
        elif fields[2] == "cgroup":
            for option in fields[3].split(","):
                controllers.setdefault(option, place)
    return Mounts(unified=unified, controllers=controllers)


def parse_membership(text: str) -> dict[str, str]:
    """Parse /proc/self/cgroup into paths by controller; the unified hierarchy is ''."""
    own: dict[str, str] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        for name in names.split(","):
            own[name] = path
    return own


def _below(mount: Path, own: str) -> Path:
    """Return the folder of this process's group; in a container its path may start above."""
    inside = mount / own.lstrip("/")
    if _MADE_BY_US.fullmatch(inside.name):  # a helper's own group: its sandboxes are beside it
        inside = inside.parent
    return inside if inside.is_dir() else mount


def _unified(mounts: Mounts, own: dict[str, str]) -> Hierarchy | str:
    if mounts.unified is None:
        return "no cgroup v2"
    base = _below(mounts.unified, own.get("", "/"))
    if base.name == _OWN_LEAF:  # an earlier process moved this one there
        base = base.parent
    try:
        offered = (base / "cgroup.controllers").read_text().split()
        missing = [name for name in _CONTROLLERS_V2 if name not in offered]
        if missing:
            return f"cgroup v2 does not offer {', '.join(missing)} in {base}"
        _hand_down(base)
    except OSError as error:
        return f"cgroup v2 is not delegated to us ({base}: {error.strerror})"
    return Hierarchy(kind="v2", places=(("unified", base),))


def _hand_down(base: Path) -> None:
    """Enable the controllers for child groups. A group that does so may hold no process."""
    control = base / "cgroup.subtree_control"
    try:
        _enable(base, control)
    finally:
        for name in (_PRIORITY, _DISK):
            with suppress(OSError):  # not available: this controller is optional
                control.write_text(f"+{name}")


def _enable(base: Path, control: Path) -> None:
    if set(_CONTROLLERS_V2) <= set(control.read_text().split()):
        return
    enable = " ".join(f"+{name}" for name in _CONTROLLERS_V2)
    try:
        control.write_text(enable)
    except OSError:
        leaf = base / _OWN_LEAF
        leaf.mkdir(exist_ok=True)
        for pid in (base / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                (leaf / "cgroup.procs").write_text(pid)
        control.write_text(enable)


def _per_controller(mounts: Mounts, own: dict[str, str]) -> Hierarchy | str:
    places = []
    for name in CONTROLLERS_V1:
        if name not in mounts.controllers:
            return f"no cgroup v1 {name} controller"
        place = _below(mounts.controllers[name], own.get(name, "/"))
        if not os.access(place, os.W_OK):
            return f"cgroup v1 {name} is not writable for us ({place})"
        places.append((name, place))
    if _PRIORITY in mounts.controllers:
        place = _below(mounts.controllers[_PRIORITY], own.get(_PRIORITY, "/"))
        # Mounted together with cpuacct it is the same folder.
        if os.access(place, os.W_OK) and place not in (known for _, known in places):
            places.append((_PRIORITY, place))
    return Hierarchy(kind="v1", places=tuple(places))
