"""Do rows, links and folders agree? What `doctor` says of the templates."""

from dataclasses import dataclass
from typing import Literal

from django.db import connection

from templatemgr import audit, triggers
from templatemgr.models import HealthState, Template, Version
from templatemgr.services import places, promotions


@dataclass(frozen=True, kw_only=True)
class Note:
    """One finding, as `sandbox.probe.Finding` gives them for the machine."""

    level: Literal["ok", "weaker", "missing"]
    title: str
    detail: str
    remedy: str | None = None


def notes() -> list[Note]:
    """Reconcile the links, then return what is in order and what is not.

    Quick: folders are looked at, not hashed; `verify_templates` does that.
    """
    found = [_triggers(), _chain()]
    templates = list(Template.objects.select_related("current__template", "current__health"))
    if not templates:
        remedy = "run `manage.py build_template <name> --promote`"
        found.append(Note(level="weaker", title="templates", detail="none yet", remedy=remedy))
    for template in templates:
        found += [_link(template), _current(template), *_versions(template)]
    return found


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
    remedy = "compare with a backup: somebody changed the trail"
    return Note(level="missing", title="audit trail", detail=detail, remedy=remedy)


def _link(template: Template) -> Note:
    link = places.template(template.name) / "current"
    before = str(link.readlink()) if link.is_symlink() else None
    promotions.reconcile(template=template.name)
    after = str(link.readlink()) if link.is_symlink() else None
    title = f"{template.name} link"
    if before == after:
        return Note(level="ok", title=title, detail=after or "none, as nothing is current")
    return Note(level="ok", title=title, detail=f"was {before}, now {after}")


def _current(template: Template) -> Note:
    title, current = f"{template.name} current", template.current
    if current is None:
        remedy = f"run `manage.py build_template {template.name} --promote`"
        return Note(level="weaker", title=title, detail="nothing is current", remedy=remedy)
    if not current.healthy:
        remedy = f"run `manage.py rollback_template {template.name}` or promote another version"
        detail = f"{current} is {current.health.state}"
        return Note(level="missing", title=title, detail=detail, remedy=remedy)
    pinned = ", pinned" if template.pinned else ""
    return Note(level="ok", title=title, detail=f"{current} ({current.health.state}{pinned})")


def _versions(template: Template) -> list[Note]:
    rows = list(Version.objects.select_related("template", "health").filter(template=template))
    title = f"{template.name} versions"
    gone = [row for row in rows if not (places.version(row) / "tree").is_dir()]
    bad = [row for row in rows if row.health.state == HealthState.QUARANTINED]
    found: list[Note] = []
    if gone:
        detail = f"not on disk: {', '.join(map(str, gone))}"
        remedy = f"run `manage.py verify_templates {template.name}`, restore them from a backup"
        found.append(Note(level="missing", title=title, detail=detail, remedy=remedy))
    if bad:
        detail = f"quarantined: {', '.join(map(str, bad))}"
        remedy = "never served; `verify_templates` says what differs"
        found.append(Note(level="weaker", title=title, detail=detail, remedy=remedy))
    return found or [Note(level="ok", title=title, detail=f"{len(rows)} on disk")]
