from io import StringIO
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from pytest_django.fixtures import Settings

from core.database import triggers
from templatemgr import data_paths
from templatemgr.models import AuditEvent, Build, Template, VersionHealth
from templatemgr.promotion import promotions
from tests.templatemgr.conftest import MakeSealedVersion, link_of
from tests.tiny_definition import write_definition


def run(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


def test_build_template_streams_the_log_and_promotes(tiny: Path) -> None:
    said = run("build_template", "tiny", "--promote")
    assert "fetching   $ npm ci" in said
    assert "made tiny@1 in" in said
    assert "tiny@1 is current" in said
    assert link_of("tiny") is not None
    assert run("build_template", "tiny", "--if-missing", "--promote") == "tiny@1 is current.\n"
    assert Build.objects.count() == 1


def test_build_template_if_missing_promotes_an_existing_version(
    make_sealed_version: MakeSealedVersion,
) -> None:
    make_sealed_version({"a": "1"}, name="tiny")
    assert "no version is current" in run("build_template", "tiny", "--if-missing")
    assert "tiny@1 is current" in run("build_template", "tiny", "--if-missing", "--promote")
    assert not Build.objects.filter(state="queued").exists()


def test_build_template_fails_with_the_step_and_the_reason(tiny: Path) -> None:
    (tiny / "said.txt").write_text("no\n")
    with pytest.raises(CommandError, match="failed in step smoke: Smoke submissions"):
        run("build_template", "tiny")


def test_build_template_reports_the_error_of_a_definition(tiny: Path) -> None:
    (tiny / "template.toml").write_text("format = 9\n")
    with pytest.raises(CommandError, match=r"tiny/template\.toml: format: this release reads"):
        run("build_template", "tiny")


def test_promote_pin_and_roll_back(make_sealed_version: MakeSealedVersion) -> None:
    for number in ("1", "2"):
        make_sealed_version({"a": number})
        assert "is current" in run("promote_template", "fake", number, "--reason", "r")
    assert "pinned on fake@2" in run("pin_template", "fake", "--reason", "exam")
    with pytest.raises(CommandError, match="pinned by cli: exam"):
        run("rollback_template", "fake", "--reason", "r")
    assert "not pinned" in run("pin_template", "fake", "--unpin", "--reason", "over")
    assert "fake@1 is current" in run("rollback_template", "fake", "--reason", "r")
    with pytest.raises(CommandError, match="on version 1, not 2"):
        run("promote_template", "fake", "2", "--reason", "r", "--expected-current", "2")


def test_verify_templates_reports_and_fails_if_a_version_is_damaged(
    make_sealed_version: MakeSealedVersion,
) -> None:
    version = make_sealed_version({"a": "1"})
    assert "1 versions are whole" in run("verify_templates")
    (data_paths.version(version) / "tree/a").chmod(0o755)
    with pytest.raises(CommandError, match="1 of 1 versions are quarantined"):
        run("verify_templates", "fake")
    with pytest.raises(CommandError, match="no template 'none'"):
        run("verify_templates", "none")


def test_audit_lists_and_verifies(make_sealed_version: MakeSealedVersion) -> None:
    make_sealed_version({"a": "1"})
    promotions.promote(template="fake", version=1, actor="ann", reason="r")
    assert "ann version.promote fake@1" in run("audit", "list")
    assert run("audit", "verify") == "1 events, unbroken.\n"
    with triggers.lifted(connection), connection.cursor() as cursor:
        cursor.execute("UPDATE templatemgr_auditevent SET actor = 'eve'")
    with pytest.raises(CommandError, match="breaks at event 1"):
        run("audit", "verify")


def test_doctor_lists_each_check_and_repairs_links(make_sealed_version: MakeSealedVersion) -> None:
    make_sealed_version({"a": "1"})
    said = run("doctor")
    assert "weaker  fake current: no version is current" in said
    promotions.promote(template="fake", version=1, actor="ann", reason="r")
    (data_paths.template("fake") / "current").unlink()
    said = run("doctor")
    assert "ok      append-only tables: guarded by triggers" in said
    assert "fake link: was None, now versions/0001-" in said
    assert "ok      fake current: fake@1 (verified)" in said


def test_doctor_fails_if_a_current_version_is_missing(
    make_sealed_version: MakeSealedVersion,
) -> None:
    version = make_sealed_version({"a": "1"})
    promotions.promote(template="fake", version=1, actor="ann", reason="r")
    home = data_paths.version(version)
    home.chmod(0o755)
    (home / "tree").chmod(0o755)
    (home / "tree").rename(home / "gone")
    out = StringIO()
    with pytest.raises(CommandError, match="1 requirement is missing"):
        call_command("doctor", stdout=out)
    assert "fake lost: fake@1 is not on disk, now quarantined" in out.getvalue()
    assert "missing fake current: fake@1 is quarantined" in out.getvalue()
    assert VersionHealth.objects.get(version=version).state == "quarantined"


@pytest.mark.parametrize(
    ("networks", "line"),
    [
        ((), "ok      callbacks: reach public addresses alone"),
        (("10.1.0.0/16",), "ok      callbacks: may also reach 10.1.0.0/16"),
        (("10.1.0.0/16", "0.0.0.0/0"), "weaker  callbacks: may reach 10.1.0.0/16, 0.0.0.0/0: serv"),
        (("::1/128",), "weaker  callbacks: may reach ::1/128: services of this machine"),
    ],
)
def test_doctor_tells_which_networks_callbacks_reach(
    make_sealed_version: MakeSealedVersion,
    settings: Settings,
    networks: tuple[str, ...],
    line: str,
) -> None:
    settings.STENCIL_CALLBACK_NETWORKS = tuple(map(ip_network, networks))
    make_sealed_version({"a": "1"})
    assert line in run("doctor")


def test_doctor_removes_folders_without_a_row_and_reports_them(
    make_sealed_version: MakeSealedVersion,
) -> None:
    version = make_sealed_version({"a": "1"})
    home = data_paths.template("fake")
    (home / "staging" / "dead").mkdir(parents=True)
    (home / "versions" / "0009-unknown").mkdir()
    orphan = data_paths.objects() / "ab" / f"ab{'0' * 62}"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_text("12345")
    said = run("doctor")
    assert "staging/dead removed; versions/0009-unknown removed" in said
    assert "1 files that no version uses removed, 5 bytes" in said
    assert not orphan.exists()
    assert sorted(path.name for path in home.glob("*/*")) == [data_paths.version(version).name]
    assert "disk: nothing left over" in run("doctor")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_definition(tmp_path / "source" / "tiny")
    return tmp_path / "source"


def collect(source: Path, target: Path, *flags: str) -> str:
    return run("collecttemplates", *flags, source=source, target=target)


def test_collecttemplates_copies_checked_and_read_only(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "dist" / "templates"
    with pytest.raises(CommandError, match="not up to date"):
        collect(source, target, "--check")
    assert "would copy tiny/template.toml" in collect(source, target, "--dry-run")
    assert not target.exists()
    assert "9 files in templates-" in collect(source, target)
    assert "up to date" in collect(source, target, "--check")
    copied = target / "tiny" / "runner" / "main.sh"
    assert copied.stat().st_mode & 0o777 == 0o555
    assert {path.name for path in target.iterdir()} == {
        "tiny",
        "manifest.json",
    }


def test_collecttemplates_replaces_by_rename_and_clears_on_request(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "dist" / "templates"
    collect(source, target)
    first = target.resolve()
    (source / "tiny" / "said.txt").write_text("other\n")
    collect(source, target)
    assert target.resolve() != first
    assert (first / "tiny/said.txt").read_text() == "hello\n"
    assert f"removed {first.name}" in collect(source, target, "--clear")
    assert not first.exists()
    assert "up to date" in collect(source, target, "--check")


def test_collecttemplates_finds_and_repairs_a_changed_copy(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "dist" / "templates"
    collect(source, target)
    copied = target / "tiny" / "said.txt"
    copied.chmod(0o644)
    copied.write_text("evil\n")
    with pytest.raises(CommandError, match=r"tiny/said\.txt differs"):
        collect(source, target, "--check")
    collect(source, target)
    assert (target / "tiny" / "said.txt").read_text() == "hello\n"


def test_collecttemplates_refuses_wrong_arguments(source: Path, tmp_path: Path) -> None:
    (tmp_path / "dist" / "templates").mkdir(parents=True)
    with pytest.raises(CommandError, match="move it away first"):
        collect(source, tmp_path / "dist" / "templates")
    (source / "tiny" / "package.json").unlink()
    with pytest.raises(CommandError, match=r"'package\.json' is missing"):
        collect(source, tmp_path / "other")
    with pytest.raises(CommandError, match="There is no definition"):
        collect(tmp_path / "nothing", tmp_path / "other")


def test_read_only_commands_record_no_audit_event(
    make_sealed_version: MakeSealedVersion,
) -> None:
    make_sealed_version({"a": "1"})
    run("doctor")
    run("audit", "list")
    assert AuditEvent.objects.count() == 0
    assert Template.objects.get().current is None
