"""Sample rows in the numbers of a year of use, to measure pages with; no build, no sandbox.

The same sizes give the same rows, apart from their times. The versions have no files, so nothing
can run on them. Therefore a data directory in use is refused.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

from django.db import transaction

from execapp.models import ApiToken, Execution, ExecutionLabel, ExecutionState, Scope
from templatemgr import audit
from templatemgr.models import Build, BuildState, Promotion, Template, Version, VersionHealth

BATCH = 1000
TEMPLATES = {"javascript": "JavaScript", "python": "Python", "typescript": "TypeScript"}
CLIENTS = 40
SPAN = timedelta(days=30)
STATES = (
    *((ExecutionState.SUCCEEDED,) * 14),
    *((ExecutionState.FAILED,) * 4),
    ExecutionState.TIMED_OUT,
    ExecutionState.ERROR,
)
PACKAGES = 60


@dataclass(frozen=True, kw_only=True)
class Size:
    """The number of rows of each kind. Executions spread over thirty days."""

    executions: int = 100_000
    versions: int = 200
    tokens: int = 500
    events: int = 2_000


class InUseError(Exception):
    """The database has executions, which may be needed."""


def seed(size: Size, *, now: datetime, force: bool = False) -> None:
    """Insert the rows. Raises InUseError unless the database has no executions, or `force`."""
    if not force and Execution.objects.exists():
        message = "This data directory has executions already."
        raise InUseError(message)
    chance = random.Random(7)  # noqa: S311 - made-up rows, no secret
    with transaction.atomic():
        tokens = _tokens(size, now)
        versions = _versions(size, now)
        _events(size, versions)
        for rows in batched(_executions(size, now, tokens, versions, chance), BATCH):
            Execution.objects.bulk_create(rows)
            labels = [
                ExecutionLabel(execution=row, key=key, value=value)
                for row in rows
                for key, value in row.labels.items()
            ]
            ExecutionLabel.objects.bulk_create(labels)


def _tokens(size: Size, now: datetime) -> list[ApiToken]:
    rows = [
        ApiToken(
            name=f"client-{number:03}",
            prefix=f"stn_{number:06}",
            token_hash=_digest(f"token {number}"),
            scopes=[Scope.EXECUTE, Scope.READ],
            created_by="admin",
            created_at=now - SPAN + timedelta(minutes=number),
            last_used_at=now - timedelta(minutes=number) if number % 3 else None,
            revoked_at=now if number % 11 == 0 else None,
        )
        for number in range(size.tokens)
    ]
    return ApiToken.objects.bulk_create(rows)


def _versions(size: Size, now: datetime) -> list[Version]:
    """Make versions of each template in turn; the third newest of each is current."""
    templates = [
        Template.objects.get_or_create(name=name, defaults={"title": title})[0]
        for name, title in TEMPLATES.items()
    ]
    made: list[Version] = []
    for index in range(size.versions):
        template = templates[index % len(templates)]
        at = now - SPAN + SPAN * index / size.versions
        made.append(_version(template, 1 + index // len(templates), at))
    for template in templates:
        _promote([version for version in made if version.template_id == template.pk][:-2])
    return made


def _version(template: Template, number: int, at: datetime) -> Version:
    build = Build.objects.create(
        template=template,
        kind="refresh",
        state=BuildState.READY,
        requested_by="admin",
        created_at=at,
        started_at=at,
        finished_at=at + timedelta(seconds=20),
    )
    identity = _digest(f"{template.name} {number}")
    version = Version.objects.create(
        template=template,
        number=number,
        identity=identity,
        tree_digest=_digest(f"tree {identity}"),
        definition_digest=_digest(f"definition {identity}"),
        cache_digest=_digest(f"cache {identity}"),
        platform="linux-x64-glibc",
        size_bytes=262_000_000,
        own_bytes=5_000_000 + number,
        file_count=4_000,
        packages=[
            {"name": f"package-{index}", "version": f"1.{number}.{index}", "direct": index < 5}
            for index in range(PACKAGES)
        ],
        toolchain="Node 24, vitest 5",
        smoke=[{"case": "run", "state": "succeeded", "ok": True, "ms": 80.0}],
        directory=f"versions/{number:04}-{identity[:12]}",
        created_at=at,
        created_by="admin",
        build=build,
    )
    VersionHealth.objects.create(version=version, checked_at=at, checked_by="admin")
    Build.objects.filter(pk=build.pk).update(version=version)
    return version


def _promote(versions: Sequence[Version]) -> None:
    last: Version | None = None
    for version in versions:
        Promotion.objects.create(
            template=version.template,
            from_version=last,
            to_version=version,
            actor="admin",
            reason="monthly update",
            created_at=version.created_at,
        )
        last = version
    if last is not None:
        Template.objects.filter(pk=last.template_id).update(current=last)


def _events(size: Size, versions: Sequence[Version]) -> None:
    for number in range(size.events if versions else 0):
        version = versions[number % len(versions)]
        action = ("version.create", "version.promote", "version.verify")[number % 3]
        details = {"to": version.number, "reason": "monthly update", "state": "verified"}
        audit.append(actor="admin", action=action, object=str(version), details=details)


def _executions(
    size: Size,
    now: datetime,
    tokens: Sequence[ApiToken],
    versions: Sequence[Version],
    chance: random.Random,
) -> Iterator[Execution]:
    """Yield executions, newest last. A few clients make most of them."""
    for number in range(size.executions if tokens and versions else 0):
        at = now - SPAN * (size.executions - number) / size.executions
        token = tokens[int(chance.paretovariate(0.8)) % min(CLIENTS, len(tokens))]
        # Newer executions use newer versions.
        share = number / size.executions
        version = versions[int(share * (len(versions) - 1))]
        yield _execution(at, token, version, chance)


def _execution(at: datetime, token: ApiToken, version: Version, chance: random.Random) -> Execution:
    state = chance.choice(STATES)
    total = round(chance.lognormvariate(3.4, 0.5), 1)
    passed = state == ExecutionState.SUCCEEDED
    counts = {"passed": 2 if passed else 1, "failed": 0 if passed else 1, "skipped": 0, "total": 2}
    return Execution(
        client=token.name,
        token=token,
        template_name=version.template.name,
        version=version,
        mode="test" if chance.random() < 0.7 else "run",
        state=state,
        attempt=1,
        exit_code=0 if passed else 1,
        created_at=at,
        started_at=at,
        finished_at=at + timedelta(milliseconds=total),
        limits={"wall_ms": 10_000, "memory_bytes": 536_870_912},
        labels={"course": f"cs{chance.randrange(100, 120)}"},
        timings=_timings(total),
        usage={"cpu_ms": total, "memory_peak_bytes": 120_000_000},
        files=[{"path": "sum.test.ts", "content": "// a submission\n" * 30, "encoding": "utf8"}],
        stdout=b"a line of output\n" * 5,
        test_counts=counts,
    )


def _timings(total: float) -> dict[str, Any]:
    return {"queued_ms": 0.5, "setup_ms": 0.3, "run_ms": total - 2, "total_ms": total, "warm": True}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
