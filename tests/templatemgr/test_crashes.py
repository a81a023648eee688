"""Kill a process at each step of a build, promotion, healing or removal; then check the state."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from templatemgr import audit, data_paths
from templatemgr.build import builds
from templatemgr.integrity import checking, inspection
from templatemgr.maintenance import healing, verification
from templatemgr.models import (
    ACTIVE_STATES,
    AuditEvent,
    Build,
    HealthState,
    Template,
    Verification,
    Version,
    VersionHealth,
)
from templatemgr.promotion import promotions, removal
from tests.templatemgr.conftest import MakeSealedVersion, link_of, run_build
from tests.templatemgr.maintenance.test_healing import replace, spoil
from tests.timeouts import HANGS_SECONDS
from tests.tiny_definition import write_definition

ROOT = Path(__file__).resolve().parents[2]


def kill_at(verb: str, place: str, when: str, count: int = 1, *, name: str = "fake") -> None:
    """Start work in another process, and kill it when it reports that it has reached `place`."""
    connection.close()
    victim = subprocess.Popen(
        [sys.executable, "-m", "tests.templatemgr.pausing_process", verb, place, when, str(count)],
        cwd=ROOT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "webui.settings",
            "STENCIL_DATA": str(data_paths.data()),
            "STENCIL_DEFINITIONS": str(data_paths.definition("x").parent),
            "VICTIM_DATABASE": str(connection.settings_dict["NAME"]),
            "VICTIM_TEMPLATE": name,
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    assert victim.stdout is not None
    with victim.stdout:
        said = victim.stdout.readline()
        victim.send_signal(signal.SIGKILL)
        victim.wait(HANGS_SECONDS)
    assert said == "stalled\n", f"it never came there: {messages()}"


def messages() -> list[str]:
    """Return the messages of all builds."""
    with sqlite3.connect(str(connection.settings_dict["NAME"])) as database:
        return [row[0] for row in database.execute("SELECT message FROM templatemgr_build")]


def start_again(*undetected: Version) -> str:
    """Expire all leases, repair the installation with `doctor` and return its output."""
    database = sqlite3.connect(str(connection.settings_dict["NAME"]))
    with database:
        for table in ("build", "verification"):
            database.execute(
                f"UPDATE templatemgr_{table} SET lease_until = '2020-01-01 00:00:00'"  # noqa: S608
                " WHERE lease_until IS NOT NULL"
            )
    database.close()
    out = StringIO()
    with suppress(CommandError):  # doctor fails if a current version is quarantined
        call_command("doctor", stdout=out)
    agree(*undetected)
    return out.getvalue()


def agree(*undetected: Version) -> None:
    """Assert that rows, links and folders agree, and that no partial version is left.

    `undetected` are damaged versions that no verification has read yet.
    """
    data = data_paths.data()
    assert list(data.glob("templates/*/staging/*")) == []
    assert list(data.rglob(".link-*")) + list(data.rglob(".copy-*")) == []
    assert not Build.objects.filter(state__in=ACTIVE_STATES).exists()
    assert not Verification.objects.filter(state="running").exists()
    rows = list(Version.objects.select_related("template", "health"))
    on_disk = set(data.glob("templates/*/versions/*"))
    assert on_disk == {data_paths.version(row) for row in rows}
    for row in rows:
        if row.health.state == HealthState.RETIRED:
            assert not (data_paths.version(row) / "tree").exists()
        if row.health.state == HealthState.VERIFIED and row not in undetected:
            assert inspection.inspect(row).problems == (), row
    for template in Template.objects.select_related("current"):
        assert link_of(template.name) == (template.current.directory if template.current else None)
    lonely = {path.name for path in data.glob("objects/*/*") if path.stat().st_nlink == 1}
    assert lonely <= checking.needed_objects()
    assert audit.verify_chain().ok


def audited(actor: str = "victim") -> list[str]:
    events = AuditEvent.objects.filter(actor=actor).order_by("sequence")
    return list(events.values_list("action", flat=True))


@pytest.mark.parametrize(
    ("place", "when", "count"),
    [
        ("build.pipeline._copy_inputs", "after", 1),
        ("build.pipeline._fetch", "after", 1),
        ("build.pipeline._install", "after", 1),
        ("store._store", "after", 3),
        ("store.seal", "after", 1),
        ("store.close", "after", 1),
        ("build.pipeline._fill_cache", "after", 1),
        ("build.pipeline._smoke", "after", 1),
        ("store.publish", "before", 1),
        ("build.publishing._record", "before", 1),
        ("audit.append", "after", 1),
    ],
)
def test_a_killed_build_leaves_no_half_version(
    tiny: Path, place: str, when: str, count: int
) -> None:
    build = builds.request(template="tiny", kind="rebuild", actor="ann")
    kill_at("build", place, when, count, name="tiny")
    assert Version.objects.count() == 0
    said = start_again()
    build.refresh_from_db()
    assert (build.state, build.version) == ("interrupted", None)
    assert "1 builds of dead processes marked interrupted" in said
    assert audited("ann") == ["build.request"]
    assert run_build().state == "ready"
    agree()


def test_a_build_killed_after_it_is_recorded_has_made_its_version(tiny: Path) -> None:
    build = builds.request(template="tiny", kind="rebuild", actor="ann")
    kill_at("build", "build.publishing._record", "after", name="tiny")
    start_again()
    build.refresh_from_db()
    assert build.state == "ready"
    assert build.version is not None
    assert audited("ann") == ["build.request", "version.create"]


@pytest.fixture
def two(make_sealed_version: MakeSealedVersion) -> list[Version]:
    """Make two versions that share a file; the first is current."""
    made = [
        make_sealed_version({"lib/a.js": "a", "own": str(n)}, links={"l": "own"}) for n in (1, 2)
    ]
    promotions.promote(template="fake", version=1, actor="ann", reason="r")
    return made


@pytest.mark.parametrize(
    ("place", "when", "moved"),
    [
        ("promotion.promotions._move", "before", False),
        ("promotion.promotions._move", "after", False),  # the transaction is rolled back
        ("promotion.promotions.reconcile", "before", True),
        ("promotion.promotions.reconcile", "after", True),
    ],
)
def test_a_killed_promotion_has_happened_or_has_not(
    two: list[Version], place: str, when: str, moved: bool
) -> None:
    kill_at("promote", place, when)
    said = start_again()
    template = Template.objects.get()
    assert template.current == (two[1] if moved else two[0])
    assert audited() == (["version.promote"] if moved else [])
    if place.endswith("reconcile") and when == "before":
        assert f"was {two[0].directory}, now {two[1].directory}" in said
    if not moved:
        promotions.promote(template="fake", version=2, actor="ann", reason="r")
        agree()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_roll_back_has_happened_or_has_not(two: list[Version], when: str) -> None:
    promotions.promote(template="fake", version=2, actor="ann", reason="r")
    kill_at("roll back", "promotion.promotions.reconcile", when)
    start_again()
    assert Template.objects.get().current == two[0]
    assert audited() == ["version.rollback"]


@pytest.mark.parametrize(
    ("place", "when"),
    [
        ("integrity.inspection.inspect", "after"),
        ("integrity.checking.quarantine", "after"),  # after the first version
    ],
)
def test_a_killed_verification_has_recorded_all_or_nothing(
    two: list[Version], place: str, when: str
) -> None:
    spoil(data_paths.version(two[0]) / "tree/lib/a.js")
    kill_at("verify", place, when)
    assert audited() == []
    assert set(VersionHealth.objects.values_list("state", flat=True)) == {"verified"}
    checking.verify(template="fake", version=1, actor="ann")
    assert set(VersionHealth.objects.values_list("state", flat=True)) == {"quarantined"}
    start_again()


@pytest.mark.parametrize(
    ("place", "when"),
    [
        ("integrity.inspection.inspect", "after"),
        ("integrity.checking.verify", "after"),
        ("maintenance.healing.heal_or_queue_rebuild", "after"),
    ],
)
def test_a_killed_verification_job_is_done_by_the_next_worker(
    two: list[Version], place: str, when: str
) -> None:
    replace(data_paths.version(two[0]) / "tree")
    verification.request(template="fake", version=1, actor="ann", heal=True)
    kill_at("verification", place, when)
    assert "1 verifications of dead processes queued again" in start_again(two[0])
    claimed = verification.claim(worker="next")
    assert claimed is not None
    ended = verification.run(verification=claimed)
    assert ended.state == ("verified" if place.endswith("heal_or_queue_rebuild") else "healed")
    agree()
    assert AuditEvent.objects.filter(action="version.heal").count() == 1


@pytest.mark.parametrize(
    ("place", "when"),
    [
        ("trees.restoring.restore", "before"),
        ("store.remove", "after"),  # folder removed, file not yet restored
        ("trees.restoring.restore", "after"),
        ("integrity.checking.mark_whole", "before"),
        ("integrity.checking.mark_whole", "after"),
    ],
)
def test_a_killed_healing_from_the_store_is_done_again(
    two: list[Version], place: str, when: str
) -> None:
    tree = data_paths.version(two[0]) / "tree"
    tree.chmod(0o755)
    (tree / "own").unlink()
    (tree / "own").mkdir()
    tree.chmod(0o555)
    kill_at("heal", place, when)
    assert VersionHealth.objects.get(version=two[0]).state == "quarantined"
    start_again()
    health = healing.heal(template="fake", version=1, actor="ann", worker="w")
    assert health.state == "verified"
    agree()
    last = AuditEvent.objects.order_by("sequence").last()
    assert last is not None
    assert last.action == "version.heal" or last.details == {"state": "verified", "problems": 0}
    assert audited() == ["version.quarantine", "version.verify"]


@pytest.mark.parametrize(
    ("place", "when"),
    [
        ("store.publish", "before"),  # the damaged version is already removed
        ("store.publish", "after"),
        ("build.publishing._record_healed", "before"),
        ("build.publishing._record_healed", "after"),
        ("integrity.repair.repair_all", "after"),
    ],
)
def test_a_killed_healing_by_a_rebuild_is_done_again(tiny: Path, place: str, when: str) -> None:
    first = run_build().version
    assert first is not None
    write_definition(tiny, **{"smoke/run/src/extra.js": "// more\n"})
    run_build()
    damaged = spoil(data_paths.version(first) / "tree/said.txt")
    # Pause at the second call: the first only finds that the store cannot repair the version.
    kill_at("heal", place, when, 2 if place.endswith("repair_all") else 1, name="tiny")
    start_again()
    for number in (1, 2):
        healing.heal(template="tiny", version=number, actor="ann", worker="w")
    agree()
    assert set(VersionHealth.objects.values_list("state", flat=True)) == {"verified"}
    assert (data_paths.version(first) / "tree/said.txt").stat().st_ino != damaged
    # The last event of each version says that it is healthy: from the healing or a verification.
    for name in ("tiny@1", "tiny@2"):
        last = AuditEvent.objects.filter(object=name).order_by("sequence").last()
        assert last is not None
        assert last.action == "version.heal" or last.details.get("state") == "verified"


@pytest.mark.parametrize(
    ("place", "when", "gone"),
    [
        ("promotion.removal._retire", "after", False),  # the transaction is rolled back
        ("store.take_away", "before", True),
        ("store.take_away", "after", True),
        ("store.unshared", "after", True),
        ("store.remove", "after", True),
        ("store.collect", "before", True),
        ("store.collect", "after", True),
    ],
)
def test_a_killed_removal_has_not_begun_or_is_finished(
    make_sealed_version: MakeSealedVersion, place: str, when: str, gone: bool
) -> None:
    made = [make_sealed_version({"lib/a.js": "a", "own": str(n)}) for n in (1, 2, 3)]
    for number in (2, 3):
        promotions.promote(template="fake", version=number, actor="ann", reason="r")
    kill_at("remove", place, when)
    start_again()
    assert VersionHealth.objects.get(version=made[0]).state == ("retired" if gone else "verified")
    assert audited() == (["version.remove"] if gone else [])
    removal.remove(template="fake", version=1, actor="ann", reason="r", in_use=lambda _: [])
    agree()
