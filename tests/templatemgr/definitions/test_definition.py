from pathlib import Path

import pytest

from sandbox.limits import Limits
from sandbox.session.outcome import Outcome, State, Stream, Usage
from sandbox.session.runner_messages import TestCase, TestReport
from templatemgr.definitions import definition_file, source_files
from templatemgr.definitions.smoke import Expectation
from templatemgr.errors import DefinitionError
from tests.tiny_definition import DEFINITION, RUN_CASE, write_definition


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_definition(tmp_path / "tiny")


def test_a_whole_definition_is_read(folder: Path) -> None:
    found = definition_file.read(folder)
    assert found.name == "tiny"
    assert found.title == "Tiny"
    assert found.links == ("node_modules",)
    assert found.toolchain == {"bin/number.js": "node_modules/is-number/index.js"}
    assert found.modes["run"].command == ("runner/main.sh", "run")
    assert found.modes["run"].entry == "main.js"
    assert found.modes["test"].pattern == "*.test.js"
    assert found.default == Limits(
        wall_ms=5000,
        cpu_ms=5000,
        memory_bytes=134217728,
        disk_bytes=8388608,
        output_bytes=65536,
        processes=16,
    )
    assert found.cache_submissions == ("run",)
    assert [case.name for case in found.smoke] == ["run", "test"]
    assert found.smoke[0].submission.files[0].path == "main.js"


TOML = "tiny/template.toml"


LONG = "has a path of more than 1024 bytes, or a name of more than 255"


@pytest.mark.parametrize(
    ("old", "new", "file", "key", "reason"),
    [
        ("format = 1", "format = 2", TOML, "format", "this release reads format 1"),
        ("format = 1\n", "", TOML, "format", "is missing"),
        ('name = "tiny"', 'name = "Tiny"', TOML, "name", None),
        (
            'name = "tiny"',
            'name = "other"',
            TOML,
            "name",
            "must be the folder's name, 'tiny'",
        ),
        ('title = "Tiny"', "title = 7", TOML, "title", "must be a string"),
        ('builder = "npm"', 'builder = "gem"', TOML, "builder", "'gem' is not one of npm, pip"),
        ('title = "Tiny"', 'title = "Tiny"\ncolour = "red"', TOML, "colour", "is not a known key"),
        ('["node_modules"]', '["../x"]', TOML, "links", "'../x' leaves the folder"),
        ('["node_modules"]', '["/x"]', TOML, "links", "'/x' is absolute"),
        ('["node_modules"]', f'["{"x" * 256}"]', TOML, "links", LONG),
        ('["node_modules"]', f'["{"x/" * 600}x"]', TOML, "links", LONG),
        ('["node_modules"]', '["a//b"]', TOML, "links", "'a//b' is not a plain relative path"),
        ('["node_modules"]', '["a", "a"]', TOML, "links", "'a' is listed twice"),
        ('"said.txt"]', '"gone.txt"]', TOML, "files", "'gone.txt' is missing"),
        ('"said.txt"]', '"../said.txt"]', TOML, "files", "'../said.txt' leaves the folder"),
        ('"bin/number.js" = "', '"bin/n" = "../', TOML, "toolchain", None),
        ('GREETING = "hello"', "GREETING = 1", TOML, "env.GREETING", "must be a string"),
        (
            'command = ["runner/main.sh", "run"]',
            'command = ["runner/main.sh"]',
            TOML,
            "run.command",
            "must end with the mode, 'run'",
        ),
        ('command = ["runner/main.sh", "run"]', "command = []", TOML, "run.command", None),
        ('command = ["runner/main.sh", "run"]', 'command = "x"', TOML, "run.command", None),
        ('entry = "main.js"', 'entri = "main.js"', TOML, "run.entri", "is not a known key"),
        ("[limits.default]", "[limits.usual]", TOML, "limits.default", "is missing"),
        ("wall_ms = 5000", "wall_ms = 0", TOML, "limits.default.wall_ms", "must be 1 or more"),
        ("wall_ms = 5000", 'wall_ms = "5s"', TOML, "limits.default.wall_ms", None),
        (
            "wall_ms = 5000",
            "wall_ms = 5001",
            TOML,
            "limits.default.wall_ms",
            "5001 is over the maximum, 5000",
        ),
        *(
            ("[limits.default]", f"[variables]\n{said}\n[limits.default]", TOML, key, reason)
            for said, key, reason in (
                ('start = ["A=B"]', "variables.start", None),
                ('start = ["*"]', "variables.start", None),
                ('start = ["A", "A"]', "variables.start", "'A' is listed twice"),
                ("late = []", "variables.late", "is not a known key"),
                ('refused = {A = ""}', "variables.refused.A", "say why: a client reads it"),
                (
                    'start = ["A"]\nrefused = {A = "no"}',
                    "variables.refused",
                    "'A' is in another list, too",
                ),
            )
        ),
        (
            'submissions = ["run"]',
            'submissions = ["jump"]',
            TOML,
            "cache.submissions",
            "there is no smoke case 'jump'",
        ),
    ],
)
def test_an_error_names_file_key_and_reason(
    folder: Path, old: str, new: str, file: str, key: str, reason: str | None
) -> None:
    assert old in DEFINITION
    (folder / "template.toml").write_text(DEFINITION.replace(old, new, 1))
    with pytest.raises(DefinitionError) as caught:
        definition_file.read(folder)
    assert caught.value.file == file
    assert caught.value.key == key
    if reason is not None:
        assert caught.value.reason == reason
        assert caught.value.message == f"{file}: {key}: {reason}"


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('mode = "run"', 'mode = "walk"', "mode"),
        ('state = "succeeded"', 'state = "fine"', "expect.state"),
        ("exit_code = 0", "exit = 0", "expect.exit"),
        ('mode = "run"', 'mode = "run"\nspeed = 9', "speed"),
    ],
)
def test_an_error_in_a_smoke_case_names_its_file(
    folder: Path, old: str, new: str, key: str
) -> None:
    (folder / "smoke/run/case.toml").write_text(RUN_CASE.replace(old, new, 1))
    with pytest.raises(DefinitionError) as caught:
        definition_file.read(folder)
    assert (caught.value.file, caught.value.key) == ("tiny/smoke/run/case.toml", key)


def test_toml_that_does_not_parse_is_an_error_with_its_place(folder: Path) -> None:
    (folder / "template.toml").write_text("format = [")
    with pytest.raises(DefinitionError, match=r"tiny/template\.toml: is not valid TOML"):
        definition_file.read(folder)


def test_the_error_names_a_missing_file_of_a_definition(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"nothing/template\.toml: is missing"):
        definition_file.read(tmp_path / "nothing")


def test_links_in_the_folder_are_refused_not_followed(folder: Path) -> None:
    (folder / "sneaky").symlink_to("/etc/passwd")
    with pytest.raises(DefinitionError, match="sneaky: only plain files and folders"):
        source_files.digest(folder)


def test_the_digest_covers_every_file_by_path_and_content(folder: Path, tmp_path: Path) -> None:
    before = source_files.digest(folder)
    assert before == source_files.digest(write_definition(tmp_path / "elsewhere" / "tiny"))
    (folder / "smoke/run/src/main.js").write_text("// something\n")
    changed = source_files.digest(folder)
    (folder / "smoke/run/src/main.js").rename(folder / "smoke/run/src/other.js")
    assert len({before, changed, source_files.digest(folder)}) == 3


def test_names_lists_folders_with_a_definition(folder: Path) -> None:
    (folder.parent / "notes").mkdir()
    assert source_files.list_definitions(folder.parent) == ["tiny"]
    assert source_files.list_definitions(folder.parent / "absent") == []


def outcome(state: State, stdout: bytes = b"", report: TestReport | None = None) -> Outcome:
    return Outcome(
        state=state,
        exit_code=0,
        signal=None,
        message=None,
        stdout=Stream(data=stdout, truncated=False),
        stderr=Stream(data=b"", truncated=False),
        report=report,
        usage=Usage(cpu_ms=1, memory_peak_bytes=None),
        setup_ms=1,
        run_ms=1,
        start="cold",
    )


def test_an_expectation_checks_only_the_fields_that_it_names() -> None:
    assert Expectation(state="succeeded").mismatches(outcome(State.SUCCEEDED, b"any")) == []


def test_an_unmet_expectation_lists_each_difference() -> None:
    case = TestCase(name="a", file="a.js", state="failed")
    report = TestReport(cases=(case,), errors=(), complete=True)
    wanted = Expectation(state="succeeded", passed=1, failed=0, stdout="hi")
    assert wanted.mismatches(outcome(State.FAILED, b"ho", report)) == [
        "state: expected 'succeeded', got 'failed'",
        "passed: expected 1, got 0",
        "failed: expected 0, got 1",
        "stdout: expected 'hi', got 'ho'",
    ]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("template_toml", "a = " + "9" * 5_000, "is not valid TOML"),
        ("template_toml", "a = " + "[" * 5_000, "is nested too deeply"),
        ("template_toml", DEFINITION.replace("= 5000", f"= {2**63}"), "or less"),
        ("template_toml", DEFINITION.replace('["node_modules"]', '["src/x"]'), "own files go"),
        ("template_toml", DEFINITION.replace("GREETING", '"A=B"'), "name of a variable"),
        ("template_toml", DEFINITION.replace('"hello"', '"\\u0000"'), "NUL"),
        ("smoke__run__case_toml", f'entry = "../x"\n{RUN_CASE}', "leaves the folder"),
        ("smoke__run__case_toml", f'args = ["\\u0000"]\n{RUN_CASE}', "NUL"),
    ],
)
def test_inputs_found_by_fuzzing_are_refused(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    folder = write_definition(tmp_path / "tiny")
    (folder / name.replace("__", "/").replace("_toml", ".toml")).write_text(text)
    with pytest.raises(DefinitionError, match=reason):
        definition_file.read(folder)


def test_a_folder_in_place_of_a_case_is_named(folder: Path) -> None:
    (folder / "smoke/loose.txt").write_text("")
    with pytest.raises(DefinitionError, match=r"smoke/loose\.txt/case\.toml: cannot be read"):
        definition_file.read(folder)


@pytest.mark.parametrize(
    "line",
    [
        '"\\u001b[2J\\nFAKE" = 1',
        '"\\u202efdp.exe" = 1',
        '[env]\n"\\u001b[31m=" = "1"',
        f'"{"k" * 30_000}" = 1',
        f'title = "t"\nbuilder = "{"b" * 30_000}"',
        f'files = ["/{"f" * 30_000}"]',
        '"\\u0085\\u2028" = 1',
        '[toolchain]\n"\\u0007/../x" = "y"',
        f'[smoke."{"s" * 30_000}\\u001b"]\nmode = 1',
        '"\x1b" = 1',
    ],
    ids=ascii,
)
def test_an_error_shows_keys_and_values_escaped_and_cut(folder: Path, line: str) -> None:
    file = folder / "template.toml"
    file.write_text(f"{line}\n{DEFINITION}")
    with pytest.raises(DefinitionError) as refused:
        definition_file.read(folder)
    error = refused.value
    assert error.message.isprintable()
    assert len(error.message) < 4_000
    assert all(text.isprintable() for text in (error.key, error.reason, error.remedy))
    again = error.with_remedy("Edit it.")
    assert (again.key, again.reason) == (error.key, error.reason)


def test_a_long_value_loses_its_middle() -> None:
    error = DefinitionError("f", "k", f"{'x' * 60_000!r} is not one of a, b")
    assert error.reason.startswith("'xxx")
    assert error.reason.endswith("is not one of a, b")
    assert len(error.reason) <= 1_000
