"""Test that a build compiles the native parts of a definition, records and heals them."""

import ctypes
import importlib.metadata
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings

from templatemgr import catalog, data_paths, store
from templatemgr.builders import native as native_builder
from templatemgr.builders.pip import pip_report
from templatemgr.integrity import checking
from templatemgr.maintenance import healing
from templatemgr.models import Build, Version
from templatemgr.promotion import comparison
from templatemgr.trees import manifests
from tests.native_definition import with_native
from tests.templatemgr.build.test_pip_builds import CHANGES
from tests.templatemgr.build.test_reproducibility import build_elsewhere
from tests.templatemgr.builders.test_pip import make_wheel
from tests.templatemgr.conftest import log_text, run_build

PART = "part/answer.so"


@pytest.fixture
def native(data_dir: Path, committed: None, settings: Settings) -> Path:
    """Write the tiny definition with a part that adds 2."""
    folder = with_native(settings.STENCIL_DEFINITIONS / "tiny")
    catalog.sync_definitions()
    return folder


def made(template: str = "tiny", **values: object) -> Version:
    build = run_build(template, **values)
    assert build.version is not None, build.message
    return build.version


def part_of(version: Version) -> Path:
    return data_paths.version(version) / "tree" / PART


def answer(version: Version) -> int:
    """Load the part from a copy of its own, because the loader knows a file by its inode."""
    loaded = ctypes.CDLL(str(part_of(version)))
    return int(loaded.answer(40))


def test_a_part_is_compiled_after_the_packages_and_loaded(native: Path) -> None:
    build = run_build()
    assert build.version is not None, build.message
    assert answer(build.version) == 42
    log = log_text(build)
    assert f"installing Compiling {PART} by zig {importlib.metadata.version('ziglang')}" in log
    assert "part/number.h sha256:" in log
    assert f"installing Compiled {PART}: {part_of(build.version).stat().st_size} bytes" in log
    assert log.index("npm ci") < log.index("Compiling")


def test_a_part_of_a_pip_template_is_compiled(
    data_dir: Path,
    committed: None,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for folder in (tmp_path, wheels):
        folder.chmod(0o755)  # under root, the cage has another user
    make_wheel(wheels, "base", "1.0")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(wheels / "pip.conf"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setattr(pip_report, "MACHINES", ())
    place = settings.STENCIL_DEFINITIONS / "snake"
    with_native(place, **{"requirements.in": "base\n", "requirements.lock": ""})
    text = (place / "template.toml").read_text()
    for old, new in CHANGES.items():
        text = text.replace(old, new)
    (place / "template.toml").write_text(text)
    for name in ("package.json", "package-lock.json"):
        (place / name).unlink()
    catalog.sync_definitions()
    version = made("snake", kind="refresh")
    assert answer(version) == 42
    log = log_text(version.build)
    assert log.index("Successfully installed base") < log.index("Compiling part/answer.so")
    assert {row["name"] for row in version.packages} == {"base", "python", "ziglang"}


def test_builds_of_other_users_in_other_places_give_the_same_bytes(
    native: Path, tmp_path: Path
) -> None:
    here = made()
    user, identity, tree = build_elsewhere("tiny", native, tmp_path / "elsewhere")
    assert user == "12345"
    assert (identity, tree) == (here.identity, here.tree_digest)


def test_a_rebuild_reproduces_the_version(native: Path) -> None:
    made()
    assert run_build().state == "reproduced"


def test_another_compiler_is_shown_by_the_comparison_of_versions(
    native: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made()
    [row] = [row for row in first.packages if row["name"] == "ziglang"]
    now = importlib.metadata.version("ziglang")
    assert (row["version"], row["path"]) == (now, PART)
    monkeypatch.setattr(native_builder, "version", lambda: "9.0.0")
    made(kind="edit", from_version=1, files={"part/number.h": "#define NUMBER 3L\n"})
    found = comparison.compare(template="tiny", old=1, new=2)
    [change] = [change for change in found.packages if change.name == "ziglang"]
    assert (change.before, change.after) == ((now,), ("9.0.0",))
    assert [text.path for text in found.texts] == ["part/number.h"]


def test_a_failing_compiler_fails_the_build_with_its_first_lines(native: Path) -> None:
    made()
    build = run_build(kind="edit", from_version=1, files={"part/number.h": "#define NUMBER x\n"})
    assert (build.state, build.step) == ("failed", "installing")
    assert "part/answer.c:3:42: error: use of undeclared identifier 'x'" in build.message
    assert build.message.endswith(
        "Correct the C source: warnings are errors (-Wall -Wextra -Werror)."
    )
    assert "error: use of undeclared identifier" in log_text(build)
    assert Version.objects.count() == 1


def test_a_damaged_part_is_healed_from_the_store(native: Path) -> None:
    version = made()
    part = part_of(version)
    part.parent.chmod(0o755)
    part.unlink()
    part.write_bytes(b"\x7fELF no more")
    assert checking.verify(template="tiny", version=1, actor="ann").state == "quarantined"
    before = Build.objects.count()
    health = healing.heal(template="tiny", version=1, actor="ann", worker="w1")
    assert (health.state, Build.objects.count()) == ("verified", before)
    assert answer(version) == 42


def test_a_part_whose_stored_copy_is_damaged_too_is_healed_by_a_rebuild(native: Path) -> None:
    version = made()
    part = part_of(version)
    manifest = manifests.load((data_paths.version(version) / "manifest.json.gz").read_bytes())
    [entry] = [entry for entry in manifest.files if entry.path == PART]
    stored = store.object_path(data_paths.objects(), entry)
    assert stored.samefile(part)
    stored.chmod(0o644)
    stored.write_bytes(b"\x7fELF no more")
    before = Build.objects.count()
    health = healing.heal(template="tiny", version=1, actor="ann", worker="w1")
    assert (health.state, Build.objects.count()) == ("verified", before + 1)
    assert Version.objects.count() == 1
    assert manifests.compare(manifest, data_paths.version(version) / "tree") == []
    assert answer(version) == 42


def test_doctor_names_the_compiler_and_says_when_it_is_missing_or_broken(
    data_dir: Path, committed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def doctor() -> str:
        out = StringIO()
        call_command("doctor", stdout=out)
        return out.getvalue()

    assert f"ok      compiler of native parts: zig {native_builder.version()}" in doctor()
    broken = tmp_path / "compiler"
    broken.mkdir()
    for folder in (tmp_path, broken):
        folder.chmod(0o755)  # under root, the cage has another user
    (broken / "zig").write_text("#!/bin/sh\necho worn out >&2\nexit 3\n")
    (broken / "zig").chmod(0o755)
    monkeypatch.setattr(native_builder, "_folder", lambda: broken)
    said = doctor()
    assert "weaker  compiler of native parts: needed only to build: zig" in said
    assert "status 3. worn out" in said
    monkeypatch.undo()
    monkeypatch.setattr(native_builder, "PACKAGE", "ziglang-of-nobody")
    assert "weaker  compiler of native parts: needed only to build: The compiler of" in doctor()
