"""The findings of `doctor` on templates: whether rows, links and folders agree."""

import logging
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from django.conf import settings
from django.db import DatabaseError, connection

from core.database import integrity, triggers
from sandbox.errors import SandboxError
from templatemgr import audit, data_paths, store
from templatemgr.build import builds
from templatemgr.builders import native
from templatemgr.errors import BuildError
from templatemgr.integrity import checking, data_directory
from templatemgr.maintenance import verification
from templatemgr.models import HealthState, Severity, Template, Version
from templatemgr.promotion import promotions
from templatemgr.trees import foreign, listing, modes

logger = logging.getLogger(__name__)
# Loopback and link-local: this machine's services, and the metadata of clouds.
OWN = tuple(map(ip_network, ("127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10")))


@dataclass(frozen=True, kw_only=True)
class Note:
    """One finding, like `sandbox.probe.Finding` for the machine."""

    level: Literal["ok", "weaker", "missing"]
    title: str
    detail: str
    remedy: str | None = None

    def __post_init__(self) -> None:
        """Escape what is not UTF-8: a note may quote any name that is on the disk."""
        for name in ("title", "detail", "remedy"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, foreign.printable(value))


def notes() -> list[Note]:
    """Make disk, rows and links agree, then return the findings.

    This is quick: folders are listed, not hashed; `verify_templates` hashes. A folder without a
    row is removed, a row without its tree is quarantined, and each of these is a finding.
    """
    found = [*_places(), _modes(), _triggers(), _chain(), _disk(), *_aside(), _compiler()]
    found.append(_callbacks())
    checking.keep_health_rows()
    templates = list(Template.objects.select_related("current__template", "current__health"))
    if not templates:
        remedy = "run `manage.py build_template <name> --promote`"
        found.append(Note(level="weaker", title="templates", detail="none yet", remedy=remedy))
    for template in templates:
        found += _isolated(template)
    return found


def _places() -> list[Note]:
    """Repair the folders and locks of the data directory; report those that stay wrong."""
    troubles = data_directory.repair()
    if not troubles:
        return []
    detail = "; ".join(f"{place} cannot be repaired: {why}" for place, why in troubles.items())
    remedy = "unmount what is mounted there, or become its owner (chown)"
    return [Note(level="weaker", title="data directory", detail=detail, remedy=remedy)]


def _callbacks() -> Note:
    """Say which networks callbacks may reach besides public addresses."""
    networks = settings.STENCIL_CALLBACK_NETWORKS
    listed = ", ".join(map(str, networks))
    if any(each.version == own.version and each.overlaps(own) for each in networks for own in OWN):
        detail = f"may reach {listed}: services of this machine, or the metadata of a cloud"
        remedy = "name only the networks of the receivers in STENCIL_CALLBACK_NETWORKS"
        return Note(level="weaker", title="callbacks", detail=detail, remedy=remedy)
    detail = f"may also reach {listed}" if listed else "reach public addresses alone"
    return Note(level="ok", title="callbacks", detail=detail)


def _modes() -> Note:
    """Close and report entries that other users of this machine could read."""
    title, opened = "private files", modes.close_to_others(Path(settings.STENCIL_DATA))
    failed = [one for one in opened if not one.repaired]
    if failed:
        shown = "; ".join(f"{one.path} has mode {one.mode:04o}: {one.trouble}" for one in failed)
        remedy = "become its owner (chown), then chmod go-rwx; or start Stencil as its owner"
        return Note(level="missing", title=title, detail=shown, remedy=remedy)
    if opened:
        shown = ", ".join(f"{one.path.name} was {one.mode:04o}" for one in opened)
        return Note(level="ok", title=title, detail=f"closed to other users: {shown}")
    return Note(level="ok", title=title, detail="no other user can read the data directory")


def _isolated(template: Template) -> list[Note]:
    """Return the findings on one template. An error with it does not stop the others."""
    try:
        lost = _quarantine_lost(template)
        template.refresh_from_db()
        return [*lost, _link(template), _current(template), *_versions(template)]
    except DatabaseError:
        raise
    except Exception as error:
        logger.exception("%s could not be examined", template)
        detail = f"could not be examined: {foreign.reason(error)}"
        remedy = f"examine {data_paths.template(template.name)}"
        return [Note(level="missing", title=template.name, detail=detail, remedy=remedy)]


def _triggers() -> Note:
    names = triggers.missing(connection)
    if names:
        detail = f"unguarded: {', '.join(names)}"
        remedy = "run `manage.py migrate`"
        return Note(level="missing", title="append-only tables", detail=detail, remedy=remedy)
    return Note(level="ok", title="append-only tables", detail="guarded by triggers")


def _chain() -> Note:
    result = audit.verify_chain()
    if result.ok:
        return Note(level="ok", title="audit trail", detail=f"{result.count} events, unbroken")
    detail = f"breaks at event {result.first_broken}: {result.reason}"
    remedy = "compare with a backup: the trail was changed"
    return Note(level="missing", title="audit trail", detail=detail, remedy=remedy)


def _disk() -> Note:
    """Remove and report folders that no row and no build knows."""
    try:
        return _tidied()
    except OSError as error:
        detail = f"cannot be cleaned up: {error}"
        remedy = f"examine {error.filename or data_paths.data()}"
        return Note(level="weaker", title="disk", detail=detail, remedy=remedy)


def _tidied() -> Note:
    again = verification.reap()
    tidied = builds.tidy()
    with store.locked(data_paths.store_lock()):
        freed = tidied.freed + store.collect(data_paths.objects(), checking.needed_objects)
    did = [f"{path.parent.name}/{path.name} removed" for path in tidied.removed]
    if tidied.interrupted:
        did.insert(0, f"{tidied.interrupted} builds of dead processes marked interrupted")
    if again:
        did.append(f"{again} verifications of dead processes queued again")
    if freed.files:
        did.append(f"{freed.files} files that no version uses removed, {freed.bytes:,} bytes")
    if tidied.failed:
        stuck = (f"{path} cannot be removed: {why}" for path, why in tidied.failed.items())
        remedy = "unmount what is mounted there, or delete it as its owner"
        detail = "; ".join([*stuck, *did])
        return Note(level="weaker", title="disk", detail=detail, remedy=remedy)
    return Note(level="ok", title="disk", detail="; ".join(did) or "nothing left over")


def _link(template: Template) -> Note:
    link, title = data_paths.template(template.name) / "current", f"{template.name} link"
    before = _shape(link)
    trouble = promotions.derive_link(template=template.name)
    after = _shape(link)
    if trouble:
        remedy = f"examine {link.parent}; executions do not need the link"
        detail = f"cannot be set: {trouble}"
        return Note(level="weaker", title=title, detail=detail, remedy=remedy)
    if before == after:
        return Note(level="ok", title=title, detail=after or "none, as no version is current")
    return Note(level="ok", title=title, detail=f"was {before}, now {after}")


def _shape(link: Path) -> str | None:
    """Return the target of a link, or the kind of entry in its place; None if it is missing."""
    seen = listing.look(link)
    if seen is None:
        return None
    if seen.trouble:
        return f"unreadable ({seen.trouble})"
    return seen.target if seen.kind == "link" else f"a {seen.kind}"


def _aside() -> list[Note]:
    """Report unexpected entries that were moved aside for an admin."""
    kept = sorted(path.name for path in data_paths.aside().glob("*"))
    if not kept:
        return []
    shown = ", ".join(kept[:5]) + (f" and {len(kept) - 5} more" if len(kept) > 5 else "")
    remedy = "check the entries, then delete those that you do not need"
    return [
        Note(
            level="weaker",
            title="set aside",
            detail=f"{data_paths.aside()}: {shown}",
            remedy=remedy,
        )
    ]


def _compiler() -> Note:
    """Compile one line as a build does. Versions run without the compiler."""
    title = "compiler of native parts"
    try:
        return Note(level="ok", title=title, detail=f"zig {native.try_compiler()}")
    except (BuildError, SandboxError, OSError) as error:
        remedy = getattr(error, "remedy", None) or native.REINSTALL
        detail = f"needed only to build: {error}"
        return Note(level="weaker", title=title, detail=detail, remedy=remedy)


def _current(template: Template) -> Note:
    title, current = f"{template.name} current", template.current
    if current is None:
        remedy = f"run `manage.py build_template {template.name} --promote`"
        return Note(level="weaker", title=title, detail="no version is current", remedy=remedy)
    if not current.healthy:
        remedy = f"run `manage.py rollback_template {template.name}` or promote another version"
        detail = f"{current} is {current.health.state}: unsafe, not served{_next(current)}"
        return Note(level="missing", title=title, detail=detail, remedy=remedy)
    if current.health.doubts:
        detail = f"{current} is served, but not provable: {_doubted(current)}{_next(current)}"
        remedy = f"run `manage.py heal_template {template.name} {current.number}`"
        return Note(level="weaker", title=title, detail=detail, remedy=remedy)
    pinned = ", pinned" if template.pinned else ""
    return Note(level="ok", title=title, detail=f"{current} ({current.health.state}{pinned})")


def _next(version: Version) -> str:
    """Return when healing is tried next, and why it was not done."""
    health = version.health
    said = f"; {health.message}" if health.message else ""
    if health.retry_at is None:
        return said
    return f"{said}; tried again at {health.retry_at:%Y-%m-%d %H:%M:%S} UTC"


def _doubted(version: Version) -> str:
    """Return the parts in doubt, each with its first finding."""
    firsts = {doubt["part"]: doubt for doubt in reversed(version.health.doubts)}
    return ", ".join(f"{d['path']} is {d['problem']}" for _part, d in sorted(firsts.items()))


def _quarantine_lost(template: Template) -> list[Note]:
    """Report versions that count as whole but are missing on disk."""
    served = Version.objects.select_related("template").filter(
        template=template, health__state=HealthState.VERIFIED
    )
    lost = [row for row in served if not _there(row)]
    for row in lost:
        checking.verify_one(version=row, actor="doctor")
    return [
        Note(
            level="weaker",
            title=f"{template.name} lost",
            detail=f"{row} is not on disk, now quarantined",
            remedy=f"run `manage.py heal_template {template.name} {row.number}`",
        )
        for row in lost
    ]


def _there(row: Version) -> bool:
    """Return whether a version's folder and its tree are folders, and neither is a link."""
    home = data_paths.version(row)
    seen = [listing.look(place) for place in (home, home / "tree")]
    return all(found and not found.trouble and found.kind == "folder" for found in seen)


def _versions(template: Template) -> list[Note]:
    rows = list(Version.objects.select_related("template", "health").filter(template=template))
    title = f"{template.name} versions"
    bad = [row for row in rows if row.health.state == HealthState.QUARANTINED]
    kept = [row for row in rows if row.health.state != HealthState.RETIRED]
    doubted = [row for row in kept if row.health.severity == Severity.NOT_PROVABLE]
    found = []
    if bad:
        detail = f"quarantined: {', '.join(map(str, bad))}"
        remedy = f"never served; run `manage.py heal_template {template.name} <version>`"
        found.append(Note(level="weaker", title=title, detail=detail, remedy=remedy))
    if doubted:
        detail = f"not provable: {'; '.join(f'{row}: {_doubted(row)}' for row in doubted)}"
        remedy = "they are served; the parts in doubt are repaired in the background"
        found.append(Note(level="weaker", title=title, detail=detail, remedy=remedy))
    removed = f", {len(rows) - len(kept)} removed" if len(kept) < len(rows) else ""
    return found or [Note(level="ok", title=title, detail=f"{len(kept)} on disk{removed}")]


def database_notes() -> list[Note]:
    """Read every page of the database and check it, its indexes and its references."""
    title = "database integrity"
    remedy = "stop Stencil, keep a copy of the file, and restore a backup"
    try:
        problems = integrity.problems()
    except DatabaseError as error:
        return [Note(level="missing", title=title, detail=str(error), remedy=remedy)]
    if problems is None:
        detail = f"{integrity.vendor_name()} checks itself: use its own tools"
        return [Note(level="ok", title=title, detail=detail)]
    if problems:
        detail = "; ".join(problems)[:1000]
        return [Note(level="missing", title=title, detail=detail, remedy=remedy)]
    return [Note(level="ok", title=title, detail="every page, index and reference is in order")]
