"""Test the compiler of native parts in its cage, without a build around it."""

import ctypes
import platform
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from sandbox import cage
from templatemgr.builders import native
from templatemgr.builders.base import Job
from templatemgr.definitions import definition_file, source_files
from templatemgr.errors import BuildError
from tests.native_definition import SOURCE, TABLE, with_native

DEFINITIONS = Path(__file__).resolve().parents[3] / "templates_runtime"
MACHINES = {"x86_64": 62, "aarch64": 183}  # in the header of an ELF file
TWO = "long two(void);\nlong two(void) { return 2; }\n"


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """Return a function that makes a job with an empty tree; it takes the files that differ."""

    def make(table: str = TABLE, **changed: str) -> Job:
        definition = definition_file.read(with_native(tmp_path / "tiny", table, **changed))
        workspace = tmp_path / "work"
        (workspace / "tree").mkdir(parents=True)
        return Job(definition=definition, workspace=workspace, log=lambda *_line: None)

    return make


def test_sources_of_a_list_make_one_part(job: Callable[..., Job]) -> None:
    table = '[native]\n"part/sum.so" = ["part/answer.c", "part/two.c"]\n'
    given = job(table, **{"part/two.c": TWO})
    native.compile_parts(given)
    loaded = ctypes.CDLL(str(given.tree / "part/sum.so"))
    assert (loaded.answer(1), loaded.two()) == (3, 2)
    assert [path.name for path in given.workspace.iterdir()] == ["tree"]


def test_the_bytes_are_the_same_twice_and_name_no_path(job: Callable[..., Job]) -> None:
    given = job(**{"part/answer.c": SOURCE + "const char *where(void);\n"
                   "const char *where(void) { return __FILE__; }\n"})  # fmt: skip
    digests = set()
    for _ in range(2):
        native.compile_parts(given)
        data = (given.tree / "part/answer.so").read_bytes()
        digests.add(sha256(data).hexdigest())
        (given.tree / "part/answer.so").unlink()
    assert len(digests) == 1
    assert b"part/answer.c\0" in data
    for name in (b"/source", b"/build", b"/tmp", str(given.workspace).encode()):
        assert name not in data


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_each_processor_has_its_target(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    given = job()
    monkeypatch.setattr(platform, "machine", lambda: machine)
    native.compile_parts(given)
    data = (given.tree / "part/answer.so").read_bytes()
    assert int.from_bytes(data[18:20], "little") == MACHINES[machine]


def test_another_processor_is_refused(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = job()
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(BuildError, match="cannot be compiled for riscv64") as caught:
        native.compile_parts(given)
    assert caught.value.remedy == "Build on one of: x86_64, aarch64; or leave `native` out."


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ('#include "../other/number.h"', "'../other/number.h' file not found"),
        ('#include "/build/../template/x.h"', "file not found"),
        ("#include <stdio.h>", "'stdio.h' file not found"),
        ("static int unused;", "unused variable"),
        ("long bad(int given) { return 1; }", "unused parameter"),
        ("const char *when = __DATE__;", "expansion of date or time macro"),
    ],
)
def test_what_a_source_may_not_do_is_an_error_of_the_compiler(
    job: Callable[..., Job], added: str, said: str
) -> None:
    given = job(**{"part/answer.c": SOURCE + added + "\n", "other/number.h": ""})
    with pytest.raises(BuildError) as caught:
        native.compile_parts(given)
    assert said in caught.value.message
    assert caught.value.message.splitlines()[0].startswith("The compiler of native parts ended")
    assert caught.value.remedy
    assert not (given.tree / "part").exists()


def test_the_error_has_the_first_lines_of_the_compiler(job: Callable[..., Job]) -> None:
    wrong = "".join(f"int wrong{number}(void) {{ return no{number}; }}\n" for number in range(9))
    with pytest.raises(BuildError) as caught:
        native.compile_parts(job(**{"part/answer.c": wrong}))
    assert "/source/part/answer.c:1:27: error" in caught.value.message.splitlines()[0]
    assert "no8" not in caught.value.message


def test_the_cage_of_the_compiler_shows_neither_the_tree_nor_a_network(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[cage.Cage] = []
    original = cage.run

    def watched(jail: cage.Cage, *args: object, **named: object) -> int:
        seen.append(jail)
        return original(jail, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(cage, "run", watched)
    given = job(**{"other/number.h": ""})
    native.compile_parts(given)
    [jail] = seen
    assert not jail.network
    assert [inside for _, inside in jail.read_only] == ["/compiler"]
    assert sorted(jail.files) == ["/source/part/answer.c", "/source/part/number.h"]
    assert jail.writable.parent == given.workspace
    assert jail.writable != given.tree


def test_a_part_replaces_nothing_that_packages_put_there(job: Callable[..., Job]) -> None:
    given = job()
    (given.tree / "part").mkdir()
    (given.tree / "part/answer.so").write_text("a package's")
    with pytest.raises(BuildError, match=r"part/answer\.so cannot be written: a package") as caught:
        native.compile_parts(given)
    assert caught.value.remedy
    assert (given.tree / "part/answer.so").read_text() == "a package's"


@pytest.mark.parametrize("dangling", [True, False])
def test_a_part_follows_no_link(job: Callable[..., Job], tmp_path: Path, dangling: bool) -> None:
    given = job()
    outside = tmp_path / "outside"
    outside.mkdir()
    if dangling:
        (given.tree / "part").mkdir()
        (given.tree / "part/answer.so").symlink_to(outside / "answer.so")
    else:
        (given.tree / "part").symlink_to(outside)
    with pytest.raises(BuildError, match=r"cannot be written|outside of the tree"):
        native.compile_parts(given)
    assert list(outside.iterdir()) == []


def test_a_missing_compiler_fails_with_a_remedy(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = job()
    monkeypatch.setattr(native, "PACKAGE", "ziglang-of-nobody")
    with pytest.raises(BuildError, match="compiler of native parts is missing") as caught:
        native.compile_parts(given)
    assert caught.value.remedy == native.REINSTALL


def test_an_output_that_is_no_shared_object_is_refused(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = job()
    write = ("/bin/sh", "-c", "echo no > /build/part.so")
    monkeypatch.setattr(native, "_argv", lambda _sources: write)
    with pytest.raises(BuildError, match="made no shared object"):
        native.compile_parts(given)
    link = ("/bin/sh", "-c", "cp -s /etc/passwd /build/part.so")
    monkeypatch.setattr(native, "_argv", lambda _sources: link)
    with pytest.raises(BuildError, match="cannot be read: ValueError: it is not a regular file"):
        native.compile_parts(given)


@pytest.mark.parametrize("machine", list(native.TARGETS))
@pytest.mark.parametrize("name", source_files.list_definitions(DEFINITIONS))
def test_the_parts_of_our_definitions_compile_for_each_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, machine: str
) -> None:
    (tmp_path / "tree").mkdir()
    definition = definition_file.read(DEFINITIONS / name)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    native.compile_parts(Job(definition=definition, workspace=tmp_path, log=lambda *_line: None))
    for target in definition.native:
        data = (tmp_path / "tree" / target).read_bytes()
        assert int.from_bytes(data[18:20], "little") == MACHINES[machine]
