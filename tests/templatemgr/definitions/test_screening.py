"""Test the screening of definitions, and versions that were built before a rule existed."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from templatemgr import catalog, data_paths, version_runtimes
from templatemgr.build import builds, lookups
from templatemgr.builders.npm import npm_builder
from templatemgr.definitions import definition_file, screening, toml
from templatemgr.definitions.readers.rules import Ceilings, Rules
from templatemgr.errors import DefinitionError, InvalidOptionsError
from templatemgr.models import Build, Version
from templatemgr.promotion import promotions
from tests.templatemgr.conftest import log_text, run_build
from tests.tiny_definition import DEFINITION, RUN_CASE, write_definition


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_definition(tmp_path / "tiny")


def change(folder: Path, old: str, new: str) -> None:
    text = (folder / "template.toml").read_text()
    assert old in text
    (folder / "template.toml").write_text(text.replace(old, new, 1))


MAXIMUM = DEFINITION.partition("[limits.maximum]")[2]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('GREETING = "hello"', 'LD_PRELOAD = "/template/x.so"', "env.LD_PRELOAD"),
        ('GREETING = "hello"', 'NODE_OPTIONS = "--require=/x"', "env.NODE_OPTIONS"),
        ('GREETING = "hello"', 'PATH = "/template/bin"', "env.PATH"),
        ('GREETING = "hello"', 'GREETING = "' + "x" * 5000 + '"', "env.GREETING"),
        ('"said.txt"]', '"-said.txt"]', "files"),
        ('["node_modules"]', '["-x"]', "links"),
        ('["node_modules"]', '["a\\u202eb"]', "links"),
        ("install_scripts = []", 'install_scripts = ["--prefix=/x"]', "install_scripts"),
        ("install_scripts = []", 'install_scripts = ["../x"]', "install_scripts"),
        ("install_scripts = []", 'install_scripts = ["a b"]', "install_scripts"),
        ('"node_modules/is-number/LICENSE"', '"**/**/**/x"', "prune"),
        ('"node_modules/is-number/LICENSE"', '"*a*a*a*a*a*b"', "prune"),
        ('"node_modules/is-number/LICENSE"', '"-x"', "prune"),
        ('"node_modules/is-number/index.js"', '"node_modules/{site}/x"', "toolchain"),
        ('"bin/number.js" =', '"-bin/number.js" =', "toolchain"),
        ('["runner/main.sh", "run"]', '["-c", "run"]', "run.command"),
        ('["runner/main.sh", "run"]', '["runner/main.sh", "a\\nb", "run"]', "run.command"),
        ('entry = "main.js"', 'entry = "-main.js"', "run.entry"),
        ('pattern = "*.test.js"', 'pattern = "' + "*" * 600 + '"', "test.pattern"),
        ('title = "Tiny"', 'title = "' + "x" * 600 + '"', "title"),
        ('title = "Tiny"', 'title = "a\\u001b[0m"', "title"),
        (MAXIMUM, MAXIMUM.replace("5000", "86400000"), "limits.maximum.wall_ms"),
        (MAXIMUM, MAXIMUM.replace("134217728", "55000000000000"), "limits.maximum.memory_bytes"),
        (MAXIMUM, MAXIMUM.replace("8388608", "55000000000000"), "limits.maximum.disk_bytes"),
        (MAXIMUM, MAXIMUM.replace("65536", "55000000000000"), "limits.maximum.output_bytes"),
        (MAXIMUM, MAXIMUM.replace("= 16", "= 900000"), "limits.maximum.processes"),
        ("[env]", '[variables]\nstart = ["LD_PRELOAD"]\n[env]', "variables.start"),
        ("[env]", '[variables]\nstart = ["L*"]\n[env]', "variables.start"),
        ("[env]", '[variables]\nanew = ["STENCIL_MODE"]\n[env]', "variables.anew"),
    ],
)
def test_a_refused_value_names_its_line(folder: Path, old: str, new: str, key: str) -> None:
    (folder / "-said.txt").write_text("")
    change(folder, old, new)
    definition_file.read_kept(folder)  # well-formed: existing versions run
    with pytest.raises(DefinitionError) as caught:
        definition_file.read(folder)
    assert (caught.value.file, caught.value.key) == ("tiny/template.toml", key)
    line = caught.value.line
    assert line is not None
    name = key.rpartition(".")[2]
    assert name in (folder / "template.toml").read_text().split("\n")[line - 1]
    assert caught.value.details["line"] == line


@pytest.mark.parametrize(
    ("builder", "path"),
    [
        ("npm", "npm-shrinkwrap.json"),
        ("npm", "yarn.lock"),
        ("npm", "binding.gyp"),
        ("npm", "Binding.gyp"),
        ("pip", "pip.conf"),
        ("pip", "pyvenv.cfg"),
        ("pip", "bin/pyvenv.cfg"),
        ("pip", "lib/python313.zip"),
        ("pip", "lib/python3.13/sitecustomize.py"),
        ("pip", "setup.py"),
    ],
)
def test_files_that_tools_read_by_themselves_are_refused(
    folder: Path, builder: str, path: str
) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text("")
    change(folder, '"said.txt"]', f'"said.txt", "{path}"]')
    change(folder, 'builder = "npm"', f'builder = "{builder}"')
    with pytest.raises(DefinitionError, match="a definition may not contain"):
        definition_file.read(folder)


def test_a_ceiling_is_named_with_its_setting(folder: Path) -> None:
    rules = Rules(ceilings=Ceilings(wall_ms=4999))
    with pytest.raises(DefinitionError) as caught:
        definition_file.read(folder, rules)
    assert "5000 is over the ceiling of this machine, 4999" in caught.value.message
    assert "STENCIL_CEILING_WALL_MS" in caught.value.message
    definition_file.read(folder, Rules(ceilings=Ceilings(wall_ms=5000)))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".npmrc", "registry=https://h.example/\n"),
        ("package.json", '{"dependencies": {"is-number": "u/r"}}'),
        ("package-lock.json", "{}"),
    ],
)
def test_every_file_that_npm_reads_is_read_first(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(text)
    definition_file.read_kept(folder)
    with pytest.raises(DefinitionError) as caught:
        definition_file.read(folder)
    assert caught.value.file == f"tiny/{file}"
    assert caught.value.remedy
    locks = {"package-lock.json"}
    if file in locks:
        definition_file.read(folder, without=locks)


def test_sizes_are_checked_before_contents(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("tomllib.loads", no)
    (folder / "template.toml").write_text("x = 1\n" * 20_000)
    with pytest.raises(DefinitionError, match="is larger than 65536 bytes"):
        definition_file.read(folder)
    dotted = "a" + ".a" * 5_000 + " = 1\n"
    (folder / "template.toml").write_text("x = 1\n" + dotted)
    with pytest.raises(DefinitionError, match="more than 100 dots") as caught:
        definition_file.read(folder)
    assert caught.value.line == 2
    (folder / "template.toml").write_bytes(b"")
    with (folder / "large").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    with pytest.raises(DefinitionError, match="is larger than"):
        definition_file.read(folder)


def test_a_smoke_case_is_bounded(folder: Path) -> None:
    case = folder / "smoke/run/case.toml"
    for text in (
        RUN_CASE.replace('mode = "run"', 'mode = "run"\nargs = ["' + "x" * 600 + '"]'),
        RUN_CASE.replace('mode = "run"', 'mode = "run"\ntitle = "' + "x" * 600 + '"'),
        RUN_CASE.replace('mode = "run"', 'mode = "run"\nargs = [' + '"x",' * 70 + "]"),
        RUN_CASE.replace('mode = "run"', 'mode = "run"\nstdin = "' + "x" * 70_000 + '"'),
    ):
        case.write_text(text)
        with pytest.raises(DefinitionError) as caught:
            definition_file.read(folder)
        assert caught.value.file == "tiny/smoke/run/case.toml"
    case.write_text(RUN_CASE)
    for number in range(screening.MAX_CASES):
        place = folder / f"smoke/more-{number}"
        (place / "src").mkdir(parents=True)
        (place / "src/main.js").write_text("")
        (place / "case.toml").write_text(RUN_CASE)
    with pytest.raises(DefinitionError, match="more than 100 smoke cases"):
        definition_file.read(folder)


def test_the_line_of_a_key_is_found(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('a = 1\n[b]\n"c" = 2\n[b.d]\n e = [\n 1,\n]\n')
    for key, line in {"a": 1, "b.c": 3, "b.d.e": 5, "b.x": 2, "x": None, "b.d.x.y": 4}.items():
        assert toml.line_of(file, key) == line
    assert toml.line_of(tmp_path / "gone.toml", "a") is None


# Edits


@pytest.mark.parametrize(
    ("file", "text", "key", "line"),
    [
        ("package.json", '{\n"dependencies": {"is-number": "u/r"}}', "dependencies.is-number", 2),
        ("template.toml", DEFINITION.replace("[env]", '[env]\nLD_AUDIT = "x"'), "env.LD_AUDIT", 13),
        ("package-lock.json", '{"lockfileVersion": 1}', "lockfileVersion", 1),
    ],
)
def test_an_edit_is_refused_when_it_is_requested(
    tiny: Path, file: str, text: str, key: str, line: int
) -> None:
    with pytest.raises(InvalidOptionsError) as caught:
        builds.request(template="tiny", kind="edit", actor="ann", files={file: text})
    details = caught.value.details
    assert (details["field"], details["file"]) == (f"files.{file}", f"tiny/{file}")
    assert (details["key"], details["line"]) == (key, line)
    assert details["remedy"]
    assert not Build.objects.exists()


def test_a_lock_written_by_npm_is_screened_before_it_is_used(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def relock(job: Any) -> None:
        lock = json.loads((tiny / "package-lock.json").read_text())
        lock["packages"]["node_modules/is-number"]["resolved"] = "git+ssh://git@h.example/r.git"
        (job.tree / "package-lock.json").write_text(json.dumps(lock))

    def fetch(job: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(npm_builder, "relock", relock)
    monkeypatch.setattr(npm_builder, "fetch", fetch)
    build = run_build(kind="refresh")
    assert (build.state, build.step) == ("failed", "fetching")
    assert "names an address: 'git+ssh://git@h.example/r.git'" in build.message
    assert "Leave `resolved` out" in build.message


def test_a_refresh_ignores_errors_in_the_lock_that_it_replaces(tiny: Path) -> None:
    (tiny / "package-lock.json").write_text("{}")
    with pytest.raises(DefinitionError, match="Refresh it first"):
        run_build()
    assert run_build(kind="refresh").state == "ready"


# Existing versions


@pytest.fixture
def old(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Version:
    """Build a version from a definition that the screening would refuse today."""
    before = (tiny / "template.toml").read_text()
    change(tiny, 'GREETING = "hello"', 'GREETING = "hello"\nLD_PRELOAD = "/x.so"')
    change(tiny, MAXIMUM, MAXIMUM.replace("= 5000", "= 86400000").replace("= 16", "= 900000"))
    (tiny / ".npmrc").write_text("git=/template/x.sh\n")
    with monkeypatch.context() as earlier:
        earlier.setattr(screening, "check", lambda *_, **__: None)
        build = run_build()
    assert build.version is not None, build.message
    (tiny / "template.toml").write_text(before)
    (tiny / ".npmrc").unlink()
    return build.version


def test_an_old_version_runs_within_the_ceilings_and_without_loader_variables(old: Version) -> None:
    runtime = version_runtimes.runtime_of(old)
    assert runtime.maximum.wall_ms == Ceilings().wall_ms
    assert runtime.maximum.processes == Ceilings().processes
    assert runtime.default.wall_ms == 5000
    assert runtime.trees["run"].env == {"GREETING": "hello"}
    assert runtime.limits({"wall_ms": 86_400_000}).wall_ms == Ceilings().wall_ms


def test_a_lower_ceiling_applies_to_an_old_version(old: Version, settings: Settings) -> None:
    settings.STENCIL_CEILING_WALL_MS = 1000
    runtime = version_runtimes.runtime_of(old)
    assert (runtime.default.wall_ms, runtime.maximum.wall_ms) == (1000, 1000)


def test_an_old_version_can_be_promoted_and_rolled_back_to(old: Version, tiny: Path) -> None:
    promotions.promote(template="tiny", version=1, actor="ann", reason="it runs")
    change(tiny, 'title = "Tiny"', 'title = "Tinier"')
    assert run_build().version is not None
    promotions.promote(template="tiny", version=2, actor="ann", reason="newer")
    promotions.roll_back(template="tiny", actor="ann", reason="back")
    assert catalog.get(name="tiny").current == old


@pytest.mark.parametrize("kind", ["rebuild", "refresh", "update"])
def test_only_new_builds_from_an_old_version_are_refused(old: Version, kind: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        run_build(kind=kind, from_version=1)
    assert caught.value.file == "inputs/template.toml"
    assert "a build of kind edit changes that" in caught.value.message
    text = (data_paths.version(old) / "inputs/template.toml").read_text()
    clean = text.replace('LD_PRELOAD = "/x.so"\n', "").replace("86400000", "5000")
    files = {"template.toml": clean.replace("900000", "16")}
    with pytest.raises(DefinitionError, match="Edit this file, too") as caught:
        run_build(kind="edit", files=files, from_version=1)
    assert caught.value.file == "inputs/.npmrc"
    build = run_build(kind="edit", files={**files, ".npmrc": ""}, from_version=1)
    assert build.state in {"ready", "reproduced"}, log_text(build)


def test_no_registry_is_queried_about_an_old_version(old: Version) -> None:
    lookups.request(template="tiny", from_version=1, actor="ann")
    lookup = lookups.claim(worker="w1")
    assert lookup is not None
    ended = lookups.run(lookup=lookup, cancel=threading.Event())
    assert ended.state == "failed"
    assert "LD_PRELOAD" in ended.message
