"""Select the versions to keep warm: the current ones, and the next candidates.

The newest version above the current one, and a version that was current until recently, have one
spare sandbox for each mode. Thus the first execution after a promotion or a roll back is also warm.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone

from execapp.executor.demand import Demand
from execapp.executor.fork_servers import TriedServer
from sandbox.forkserver.server import Tier, tiers
from sandbox.limits import Limits
from sandbox.session.sessions import Session, Tree
from templatemgr import version_runtimes
from templatemgr.definitions.smoke import SmokeCase
from templatemgr.errors import TemplateError
from templatemgr.models import HealthState, Promotion, Template, Version

logger = logging.getLogger(__name__)
ESTIMATE_BYTES = 192 * 1024 * 1024  # of a warm Node test runner, until a measurement
FORKED_BYTES = 8 * 1024 * 1024  # of a forked sandbox, until a measurement
LONGEST_PAUSE = 60.0  # seconds before another try after a failure
LONGEST_SERVER_PAUSE = 3600.0  # a machine that refuses what a fork server needs seldom changes
ROLLBACK_WITHIN = timedelta(minutes=10)  # how long the previous version stays warm


@dataclass(frozen=True, kw_only=True)
class Key:
    """The key of a warm sandbox: a version, a mode, and the version's epoch.

    A quarantine changes the epoch, so that a runner loaded from damaged files is never used. `tier`
    is that of the fork server which makes these sandboxes; None: each one loads its own runner.
    """

    version_id: int
    mode: str
    epoch: int = 0
    tier: Tier | None = None


@dataclass(kw_only=True, eq=False)
class WarmSandbox:
    """A warm sandbox, the start of its wait (monotonic seconds), and its memory in bytes."""

    session: Session
    since: float = field(default_factory=time.monotonic)
    memory_bytes: int = ESTIMATE_BYTES


@dataclass(kw_only=True)
class WarmGroup:
    """The warm sandboxes of one key, and the data for the start of another one."""

    template: str
    version: int
    mode: str
    tree: Tree
    limits: Limits
    spare: bool
    smoke: tuple[SmokeCase, ...] = ()
    tier: Tier | None = None
    server: TriedServer | None = None
    reason: str = ""  # why there is no server
    demand: Demand = field(default_factory=Demand)
    waiting: deque[WarmSandbox] = field(default_factory=deque)
    granted: int = 0
    each_bytes: int = ESTIMATE_BYTES
    surplus_since: float | None = None
    failures: int = 0
    retry_at: float = 0.0

    @property
    def memory_bytes(self) -> int:
        """Return the memory of the waiting sandboxes and of their server in bytes."""
        server = self.server.memory_bytes if self.server is not None else 0
        return server + sum(one.memory_bytes for one in self.waiting)

    def put(self, session: Session, seconds: float) -> None:
        """Add a sandbox that took `seconds` to start."""
        self.failures = 0
        self.demand.refilled(seconds)
        held = session.memory_bytes
        new = WarmSandbox(session=session, memory_bytes=held or self.each_bytes)
        self.waiting.append(new)
        # Use the largest, because the next sandbox can be as large and must fit into the budget.
        if held:
            self.each_bytes = max(one.memory_bytes for one in self.waiting)

    def postpone(self, error: Exception) -> None:
        """Note why a server or a sandbox could not be started, and wait before a retry."""
        self.failures += 1
        longest = LONGEST_SERVER_PAUSE if self.tier else LONGEST_PAUSE
        self.retry_at = time.monotonic() + min(longest, 2.0 ** min(self.failures, 12))
        self.reason = " ".join(str(error).split())[:300]


def desired_groups() -> dict[Key, WarmGroup]:
    """Return an empty group for each mode of each version to keep warm, current ones first."""
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
    """Yield the version that a promotion would make current, and the one of a roll back."""
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
        tree = runtime.tree(mode)
        for tier in (*tiers(tree), None):
            key = Key(version_id=version.pk, mode=mode, epoch=version.health.epoch, tier=tier)
            yield (
                key,
                WarmGroup(
                    template=version.template.name,
                    version=version.number,
                    mode=mode,
                    tree=tree,
                    limits=runtime.default,
                    spare=spare,
                    smoke=runtime.smoke_of(mode),
                    tier=tier,
                    each_bytes=FORKED_BYTES if tier else ESTIMATE_BYTES,
                ),
            )
