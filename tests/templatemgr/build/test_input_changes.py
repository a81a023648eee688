import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from templatemgr import data_paths
from templatemgr.build import builds, input_changes
from templatemgr.definitions import source_files
from templatemgr.errors import InvalidBuildError, InvalidOptionsError
from templatemgr.models import AuditEvent, Build, Version
from tests.templatemgr.conftest import log_text, run_build
from tests.tiny_definition import package_files, write_definition


def made(build: Build) -> Version:
    assert build.version is not None, build.message
    return build.version


def kept(version: Version, name: str) -> str:
    return (data_paths.version(version) / "inputs" / name).read_text()


def test_an_update_to_a_named_version_pins_it_in_the_kept_inputs(tiny: Path) -> None:
    write_definition(tiny, pin="6.0.0")
    run_build()
    version = made(run_build(kind="update", packages=["is-number@7.0.0"], from_version=1))
    assert version.packages[0]["version"] == "7.0.0"
    assert json.loads(kept(version, "package.json"))["dependencies"] == {"is-number": "7.0.0"}
    assert "resolved" not in kept(version, "package-lock.json")
    assert '"6.0.0"' in (tiny / "package.json").read_text()  # the definition does not change
    event = AuditEvent.objects.filter(action="build.request").latest("sequence")
    assert event.details["packages"] == ["is-number@7.0.0"]
    again = run_build(from_version=version.number)
    assert (again.state, again.reproduces) == ("reproduced", version)


@pytest.mark.parametrize("packages", [[], ["is-number"]])
def test_an_update_stays_within_the_range(tiny: Path, packages: list[str]) -> None:
    ranged = package_files("6.0.0")
    wanted = json.loads(ranged["package.json"])
    wanted["dependencies"]["is-number"] = ">=6.0.0 <=7.0.0"
    lock = json.loads(ranged["package-lock.json"])
    lock["packages"][""]["dependencies"] = wanted["dependencies"]
    write_definition(
        tiny, **{"package.json": json.dumps(wanted), "package-lock.json": json.dumps(lock)}
    )
    version = made(run_build(kind="update", packages=packages))
    assert version.packages[0]["version"] == "7.0.0"
    assert json.loads(kept(version, "package.json")) == wanted


@pytest.mark.parametrize("package", ["left-pad", "left-pad@1.0.0"])
def test_an_update_of_an_unknown_package_fails_with_a_remedy(tiny: Path, package: str) -> None:
    build = run_build(kind="update", packages=[package])
    assert (build.state, build.step) == ("failed", "fetching")
    assert "Not in package-lock.json: left-pad." in build.message
    assert "package.json" in build.message


def test_an_edit_of_package_json_replaces_the_file_and_makes_a_new_lock(tiny: Path) -> None:
    run_build()
    text = package_files("6.0.0")["package.json"]
    version = made(run_build(kind="edit", files={"package.json": text}, from_version=1))
    assert version.packages[0]["version"] == "6.0.0"
    assert kept(version, "package.json") == text
    assert (data_paths.version(version) / "inputs/runner/main.sh").stat().st_mode & 0o100
    event = AuditEvent.objects.filter(action="build.request").latest("sequence")
    assert event.details["files"] == ["package.json"]


def test_an_edit_of_a_config_file_does_not_touch_the_lock(tiny: Path) -> None:
    case = (tiny / "smoke/run/case.toml").read_text().replace("hello", "moin")
    build = run_build(kind="edit", files={"said.txt": "moin\n", "smoke/run/case.toml": case})
    assert kept(made(build), "said.txt") == "moin\n"
    assert "package-lock-only" not in log_text(build)


def test_an_edit_that_breaks_or_renames_the_definition_is_refused(tiny: Path) -> None:
    toml = (tiny / "template.toml").read_text()
    with pytest.raises(InvalidOptionsError, match="this release reads format") as caught:
        run_build(kind="edit", files={"template.toml": "# mine\nformat = 9\n"})
    assert caught.value.details["field"] == "files.template.toml"
    assert (caught.value.details["line"], caught.value.details["key"]) == (2, "format")
    renamed = toml.replace('name = "tiny"', 'name = "other"')
    with pytest.raises(InvalidOptionsError, match="must be the folder's name, 'tiny'"):
        run_build(kind="edit", files={"template.toml": renamed})
    assert not Build.objects.exists()
    run_build()
    build = run_build(kind="edit", files={"template.toml": renamed}, from_version=1)
    assert "names cannot change" in build.message


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("rebuild", {"packages": ["is-number"]}),
        ("refresh", {"files": {"said.txt": "x"}}),
        ("update", {"packages": ["--registry=x"]}),
        ("update", {"packages": ["is-number@latest"]}),
        ("update", {"packages": ["is-number@^7.0.0"]}),
        ("update", {"packages": ["../is-number"]}),
        ("update", {"packages": ["a", "a@1.0.0"]}),
        ("update", {"packages": ["a"] * (input_changes.MAX_PACKAGES + 1)}),
        ("update", {"files": {"said.txt": "x"}}),
        ("edit", {}),
        ("edit", {"files": {"../said.txt": "x"}}),
        ("edit", {"files": {"new.txt": "x"}}),
        ("edit", {"files": {"said.txt": "\0"}}),
        ("edit", {"files": {"said.txt": "\ud800"}}),
        ("edit", {"files": {"said.txt": "x" * (input_changes.MAX_BYTES + 1)}}),
    ],
)
def test_wrong_options_are_refused_before_the_build_is_queued(
    tiny: Path, kind: str, options: dict[str, object]
) -> None:
    with pytest.raises(InvalidOptionsError) as caught:
        builds.request(template="tiny", kind=kind, actor="ann", **options)  # type: ignore[arg-type]
    assert caught.value.code == "invalid_request"
    assert "field" in caught.value.details
    assert isinstance(caught.value, InvalidBuildError)
    assert not Build.objects.exists()


def test_build_template_updates_and_edits(tiny: Path, tmp_path: Path) -> None:
    write_definition(tiny, pin="6.0.0")
    out = StringIO()
    call_command(
        "build_template", "tiny", "--kind", "update", "--package", "is-number@7.0.0", stdout=out
    )
    assert "made tiny@1" in out.getvalue()
    (tmp_path / "new.json").write_text(package_files("6.0.0")["package.json"])
    file = f"package.json={tmp_path / 'new.json'}"
    call_command("build_template", "tiny", "--kind", "edit", "--file", file, stdout=out)
    assert "made tiny@2" in out.getvalue()
    with pytest.raises(CommandError, match="No such file"):
        call_command("build_template", "tiny", "--kind", "edit", "--file", "said.txt=nowhere")


def test_exported_inputs_are_the_definition_again(tiny: Path, tmp_path: Path) -> None:
    version = made(run_build())
    target = tmp_path / "tiny-copy"
    out = StringIO()
    call_command("export_inputs", "tiny", "1", str(target), stdout=out)
    assert "9 files in" in out.getvalue()
    assert source_files.digest(target) == version.definition_digest
    assert (target / "runner/main.sh").stat().st_mode & 0o777 == 0o755
    with pytest.raises(CommandError, match="not an empty folder"):
        call_command("export_inputs", "tiny", "1", str(target))
    (target / "said.txt").write_text("mine")
    call_command("export_inputs", "tiny", "1", str(target), "--overwrite", stdout=out)
    assert (target / "said.txt").read_text() == "hello\n"
    (data_paths.version(version) / "inputs/said.txt").chmod(0o644)
    (data_paths.version(version) / "inputs/said.txt").write_text("evil")
    with pytest.raises(CommandError, match="damaged: heal it first"):
        call_command("export_inputs", "tiny", "1", str(tmp_path / "other"))
