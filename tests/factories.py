"""Make the rows and the versions on disk that tests use.

The names say how much is made:

- `make_…_row` writes database rows only. Pages and the API show them; there is nothing on disk.
- `make_sealed_version` also lays out a small tree and seals it in the store, as a build does. It
  can be verified, damaged and healed, but not usefully executed.
- `make_runnable_version` lays out a tree with Node and a small runner. It executes submissions. Its
  digests are invented, so that it cannot be verified.

`tests.templatemgr.conftest.run_build` makes a version with a real build.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.utils import timezone

from execapp.limits import limits_to_json
from execapp.models import (
    ApiToken,
    Delivery,
    DeliveryAttempt,
    Execution,
    ExecutionLabel,
    ExecutorHeartbeat,
)
from sandbox.limits import Limits
from templatemgr import data_paths, store
from templatemgr.build import publishing
from templatemgr.definitions import source_files
from templatemgr.models import (
    Build,
    BuildLogLine,
    Lookup,
    Promotion,
    Template,
    Version,
    VersionHealth,
)
from templatemgr.promotion import promotions
from templatemgr.trees import manifests
from tests import minimal_template, tiny_definition

PACKAGES = {"typescript": "7.0.2", "vitest": "5.1.0", "zod": "4.6.7"}

CODE = (
    "import { expect, it } from 'vitest'\nit('keeps cents', () => {\n  expect(0.3).toBe(0.4)\n})\n"
)
FAILING_TESTS: dict[str, Any] = {
    "passed": 1,
    "failed": 1,
    "skipped": 0,
    "total": 2,
    "cases": [
        {
            "name": "adds",
            "file": "sum.test.ts",
            "state": "passed",
            "duration_ms": 1.9,
            "message": None,
            "location": None,
            "stdout": "",
            "stderr": "",
            "truncated": False,
        },
        {
            "name": "keeps cents",
            "file": "sum.test.ts",
            "state": "failed",
            "duration_ms": 5.8,
            "message": "expected 0.3 to be 0.4\n\n- 0.4\n+ 0.3",
            "location": {"line": 3, "column": 15},
            "stdout": "",
            "stderr": "",
            "truncated": False,
        },
    ],
    "errors": [],
}
TIMINGS = {"queued_ms": 0.6, "setup_ms": 0.2, "run_ms": 28.9, "total_ms": 34.2, "warm": True}
SMOKE = {"case": "run", "state": "succeeded", "ok": True, "ms": 1.0}


def make_user(name: str, role: str = "") -> User:
    """Make a user with this role; without a role if it is empty."""
    user = User.objects.create_user(name, password="x")
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


def package_list(direct: Sequence[str] = ("typescript", "vitest"), **moved: str) -> list[Any]:
    """Return the usual packages of a version row; `moved` names the packages at other versions."""
    return [
        {"name": name, "version": version, "direct": name in direct}
        for name, version in (PACKAGES | moved).items()
    ]


def make_template_row(name: str = "typescript", **values: Any) -> Template:
    """Return the row of the template `name`; make it if it does not exist."""
    template, _ = Template.objects.get_or_create(
        name=name, defaults={"title": values.pop("title", "TypeScript"), **values}
    )
    return template


def make_build_row(
    template: Template, state: str = "ready", *, lines: int = 0, **values: Any
) -> Build:
    """Make a build that started ten minutes ago and took 19 seconds, or has not ended.

    Its log has `lines` lines: "line 1." and so on.
    """
    started = values.pop("started_at", timezone.now() - timedelta(minutes=10))
    ended = state in {"ready", "reproduced", "failed", "cancelled", "interrupted"}
    fields: dict[str, Any] = {
        "kind": "rebuild",
        "requested_by": "ada",
        "created_at": started,
        "started_at": None if state == "queued" else started,
        "finished_at": started + timedelta(seconds=19) if ended else None,
    }
    build = Build.objects.create(template=template, state=state, **(fields | values))
    make_build_log_rows(build, *(f"line {number}." for number in range(1, lines + 1)))
    return build


def make_build_log_rows(
    build: Build, *texts: str, time: datetime | None = None
) -> list[BuildLogLine]:
    """Append lines to the log of a build, numbered after its last line."""
    first = build.lines.count() + 1
    return BuildLogLine.objects.bulk_create(
        BuildLogLine(
            build=build,
            sequence=number,
            time=time or timezone.now(),
            step="fetching",
            stream="stdout",
            text=text,
        )
        for number, text in enumerate(texts, start=first)
    )


def make_lookup_row(template: Template, **values: Any) -> Lookup:
    """Make a queued lookup of the packages that could be updated; `digest` names no definition."""
    fields: dict[str, Any] = {"digest": "d", "requested_by": "ada"}
    return Lookup.objects.create(template=template, **(fields | values))


def make_version_row(template: Template, number: int = 0, **values: Any) -> Version:
    """Make a ready version with its health, numbered after the last version. It has no folder."""
    number = number or template.versions.count() + 1
    digest = sha256(f"{template.name} {number}".encode()).hexdigest()
    health = values.pop("health", "verified")
    problems = values.pop("problems", [])
    fields: dict[str, Any] = {
        "identity": digest,
        "tree_digest": digest[::-1],
        "definition_digest": sha256(b"definition").hexdigest(),
        "cache_digest": sha256(b"cache").hexdigest(),
        "platform": "linux-x64-glibc",
        "size_bytes": 262_000_000,
        "own_bytes": 5_100_000,
        "file_count": 3914,
        "packages": package_list(),
        "toolchain": "Node 24.19.0, vitest 5.1.1",
        "smoke": [SMOKE | {"ms": 412.0}],
        "created_by": "ada",
        "created_at": timezone.now() - timedelta(minutes=10),
    }
    version = Version.objects.create(
        template=template,
        number=number,
        directory=f"versions/{number:04d}-{digest[:12]}",
        build=values.pop("build", None) or make_build_row(template),
        **(fields | values),
    )
    VersionHealth.objects.create(
        version=version,
        state=health,
        problems=problems,
        checked_at=timezone.now() - timedelta(minutes=6),
        checked_by="ada",
    )
    return version


def make_promotion_row(version: Version, reason: str = "first one", **values: Any) -> Promotion:
    """Make a version current as a promotion does, without its gates."""
    template = Template.objects.get(pk=version.template_id)
    promotion = Promotion.objects.create(
        template=template,
        from_version=template.current,
        to_version=version,
        actor="ada",
        reason=reason,
        kind="promote",
        **values,
    )
    template.current = version
    template.save()
    return promotion


def make_execution_row(version: Version, state: str = "succeeded", **values: Any) -> Execution:
    """Make an execution of two seconds ago; it has no end while it is queued or running."""
    ended = state not in {"queued", "running"}
    created = values.pop("created_at", timezone.now() - timedelta(seconds=2))
    tests = values.pop("tests", None)
    fields: dict[str, Any] = {
        "client": "ada",
        "template_name": version.template.name,
        "mode": "test" if tests else "run",
        "attempt": 0 if state == "queued" else 1,
        "files": [{"path": "sum.test.ts", "content": CODE, "encoding": "utf8"}],
        "limits": limits_to_json(Limits()),
        "timings": TIMINGS if ended else {},
        "usage": {"cpu_ms": 41.0, "memory_peak_bytes": 151_000_000} if ended else {},
        "finished_at": created + timedelta(milliseconds=34) if ended else None,
        "tests": tests,
        "test_counts": {k: tests[k] for k in ("passed", "failed", "skipped", "total")}
        if tests
        else None,
    }
    made = Execution.objects.create(
        version=version, state=state, created_at=created, **(fields | values)
    )
    ExecutionLabel.objects.bulk_create(
        ExecutionLabel(execution=made, key=key, value=value) for key, value in made.labels.items()
    )
    return made


def make_delivery_row(
    execution: Execution,
    state: str = "delivered",
    *,
    statuses: Sequence[int] = (200,),
    **values: Any,
) -> Delivery:
    """Make a delivery of an execution, with an attempt for each status."""
    ended = state in {"delivered", "given_up"}
    fields: dict[str, Any] = {
        "event": "execution.finished",
        "url": "https://example.org/hook",
        "signer": f"token:{execution.token_id}",
        "attempt": len(statuses),
        "finished_at": timezone.now() if ended else None,
        "next_at": timezone.now() + timedelta(minutes=5) if state == "queued" else None,
    }
    made = Delivery.objects.create(execution=execution, state=state, **(fields | values))
    DeliveryAttempt.objects.bulk_create(
        DeliveryAttempt(
            delivery=made, number=number, status=status, duration_ms=31.0, answer=f"answer {number}"
        )
        for number, status in enumerate(statuses, start=1)
    )
    return made


def make_token_row(name: str = "ci", **values: Any) -> ApiToken:
    """Make a token without scopes or a known secret; `tokens.create` makes usable tokens."""
    digest = sha256(name.encode()).hexdigest()
    fields: dict[str, Any] = {"prefix": f"stn_{digest[:6]}", "token_hash": digest}
    return ApiToken.objects.create(name=name, **(fields | values))


def make_heartbeat_row(**values: Any) -> ExecutorHeartbeat:
    """Make a heartbeat without an executor: the API accepts submissions, and they stay queued."""
    fields: dict[str, Any] = {"worker": "exec-1", "host": "here", "pid": 1, "slots": 2}
    return ExecutorHeartbeat.objects.create(**(fields | values))


def make_sealed_version(
    files: Mapping[str, str],
    *,
    name: str = "fake",
    lay_out: Callable[[Path, str], None] | None = None,
    smoke_ok: bool = True,
    links: Mapping[str, str] | None = None,
    executable: Collection[str] = (),
    cache: Mapping[str, str] | None = None,
    definition: Path | None = None,
) -> Version:
    """Make a version whose tree, cache and manifests lie on disk, sealed in the store.

    `files` and `links` map paths of the tree to contents and targets. The files of the folder
    `definition` become its inputs; the default is the tiny definition under this name. Otherwise
    `lay_out` writes all three into a folder, given the name of the template.
    """
    template = make_template_row(name, title=name.title())
    build = Build.objects.create(
        template=template, kind="rebuild", state="ready", requested_by="ann"
    )
    home = data_paths.staging(name, build.pk)
    _lay_out(home / "tree", files, links or {}, executable)
    _lay_out(home / "cache", cache or {"warm": "warm"}, {}, ())
    if lay_out is not None:
        lay_out(home, name)
    elif definition is None:
        tiny_definition.write_definition(home / "inputs", **tiny_definition.renamed(name))
    else:
        store.copy(source_files.locate(definition), home / "inputs")
    version = Version(
        template=template,
        number=Version.objects.filter(template=template).count() + 1,
        platform="linux-test",
        smoke=[SMOKE | {"ok": smoke_ok}],
        created_by="ann",
        build=build,
        **_sealed(home),
    )
    version.directory = f"versions/{version.number:04d}-{version.identity[:12]}"
    store.publish(home, data_paths.version(version))
    version.save()
    VersionHealth.objects.create(version=version, checked_at=timezone.now(), checked_by="ann")
    return version


def _lay_out(
    folder: Path, files: Mapping[str, str], links: Mapping[str, str], executable: Collection[str]
) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    for path, target in links.items():
        (folder / path).symlink_to(target)
    for path in executable:
        (folder / path).chmod(0o755)


def _sealed(home: Path) -> dict[str, Any]:
    """Seal a staged version as a build does; return the digests and sizes of its row."""
    sealed = store.seal(home / "tree", data_paths.objects())
    store.close(home / "cache")
    cache = manifests.scan(home / "cache")
    (home / "manifest.json.gz").write_bytes(manifests.dump(sealed.manifest))
    (home / "cache-manifest.json.gz").write_bytes(manifests.dump(cache))
    tree, definition = sealed.manifest.digest(), source_files.digest(home / "inputs")
    return {
        "identity": publishing.make_identity(tree, definition, "linux-test"),
        "tree_digest": tree,
        "definition_digest": definition,
        "cache_digest": cache.digest(),
        "size_bytes": sealed.manifest.size,
        "own_bytes": sealed.own_bytes,
        "file_count": len(sealed.manifest.files),
    }


def make_runnable_version(name: str = "tiny", number: int = 1) -> Version:
    """Make a version that executes submissions: a row, and a folder where the catalog looks.

    Its tree is that of `tests.minimal_template`. It is not current: promote it.
    """
    template = make_template_row(name, title="Tiny")
    build = Build.objects.create(
        template=template, kind="rebuild", state="ready", requested_by="ann"
    )
    identity = f"{number:064x}"
    directory = f"versions/{number:04d}-{identity[:12]}"
    minimal_template.lay_out(Path(settings.STENCIL_DATA) / "templates" / name / directory, name)
    version = Version.objects.create(
        template=template,
        number=number,
        identity=identity,
        tree_digest=f"{number + 100:064x}",
        definition_digest="d" * 64,
        platform="linux-test",
        size_bytes=10,
        own_bytes=10,
        file_count=2,
        packages=[{"name": "left-pad", "version": "1.0.0", "direct": True}],
        toolchain="Node",
        smoke=[SMOKE],
        directory=directory,
        created_by="ann",
        build=build,
    )
    VersionHealth.objects.create(
        version=version, checked_at=timezone.now(), checked_by="ann", cache_digest="c" * 64
    )
    return version


def promote_runnable_version(name: str = "tiny", number: int = 1) -> Version:
    """Make a version that executes submissions, and promote it."""
    version = make_runnable_version(name, number)
    promotions.promote(template=name, version=number, actor="ann", reason="for a test")
    return version
