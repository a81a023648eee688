"""Which versions are kept warm: what is current, and what may become current next.

A candidate (the newest version above the current one) and what was current until lately each
have one spare sandbox a mode, so that the first execution after a promotion or a roll back
meets a warm one, too.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone

from execapp.executor.demand import Demand
from sandbox.limits import Limits
from sandbox.session.sessions import Session, Tree
from templatemgr import version_runtimes
from templatemgr.errors import TemplateError
from templatemgr.models import HealthState, Promotion, Template, Version

logger = logging.getLogger(__name__)
ESTIMATE_BYTES = 192 * 1024 * 1024  # of a warm Node test runner, until one has been measured
ROLLBACK_WITHIN = timedelta(minutes=10)  # how long the one before stays warm


@dataclass(frozen=True, kw_only=True)
class Key:
    """What a warm sandbox is good for: one version, in one mode, since it was last made whole.

    A runner that was loaded from damaged files is never used once the damage is known.
    """

    version_id: int
    mode: str
    epoch: int = 0


@dataclass(kw_only=True, eq=False)
class WarmSandbox:
    """A warm sandbox, since when it waits, and what it holds."""

    session: Session
    since: float = field(default_factory=time.monotonic)
    memory_bytes: int = ESTIMATE_BYTES


@dataclass(kw_only=True)
class WarmGroup:
    """The warm sandboxes of one key, and how to start more."""

    template: str
    version: int
    mode: str
    tree: Tree
    limits: Limits
    spare: bool
    demand: Demand = field(default_factory=Demand)
    waiting: deque[WarmSandbox] = field(default_factory=deque)
    granted: int = 0
    each_bytes: int = ESTIMATE_BYTES
    surplus_since: float | None = None
    failures: int = 0
    retry_at: float = 0.0

    @property
    def memory_bytes(self) -> int:
        """What those that wait hold."""
        return sum(one.memory_bytes for one in self.waiting)

    def put(self, session: Session, seconds: float) -> None:
        """One more, which took this long to start."""
        self.failures = 0
        self.demand.refilled(seconds)
        held = session.memory_bytes
        new = WarmSandbox(session=session, memory_bytes=held or self.each_bytes)
        self.waiting.append(new)
        # The largest of them: the next may be as large, and the budget is not to be exceeded.
        if held:
            self.each_bytes = max(one.memory_bytes for one in self.waiting)


def desired_groups() -> dict[Key, WarmGroup]:
    """An empty group for each mode of each version that is to be warm, current ones first."""
    rows = Template.objects.filter(current__health__state=HealthState.VERIFIED)
    templates = list(rows.select_related("current__template", "current__health"))
    found: dict[Key, WarmGroup] = {}
    for template in templates:
        if template.current is not None:
            found.update(_groups_of(template.current, spare=False))
    for template in templates:
        for version in _next_ones(template):
            for key, group in _groups_of(version, spare=True):
                found.setdefault(key, group)
    return found


def _next_ones(template: Template) -> Iterator[Version]:
    """What a promotion would most likely make current, and what a roll back would."""
    current = template.current
    if current is None:
        return
    healthy = Version.objects.filter(template=template, health__state=HealthState.VERIFIED)
    healthy = healthy.select_related("template", "health")
    if not template.pinned:
        newer = healthy.filter(number__gt=current.number).order_by("-number").first()
        if newer is not None:
            yield newer
    last = Promotion.objects.filter(template=template).order_by("-id").first()
    if last is None or last.from_version_id is None:
        return
    if timezone.now() - last.created_at < ROLLBACK_WITHIN:
        before = healthy.filter(pk=last.from_version_id).first()
        if before is not None:
            yield before


def _groups_of(version: Version, *, spare: bool) -> Iterator[tuple[Key, WarmGroup]]:
    try:
        runtime = version_runtimes.runtime_of(version)
    except TemplateError as error:
        logger.warning("%s is not warmed: %s", version, error.message)
        return
    for mode in runtime.modes:
        key = Key(version_id=version.pk, mode=mode, epoch=version.health.epoch)
        yield (
            key,
            WarmGroup(
                template=version.template.name,
                version=version.number,
                mode=mode,
                tree=runtime.tree(mode),
                limits=runtime.default,
                spare=spare,
            ),
        )
