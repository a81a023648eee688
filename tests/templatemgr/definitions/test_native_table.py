"""Test the reader of `[native]`: what it accepts, and the error for everything else."""

from pathlib import Path

import pytest

from templatemgr.definitions import definition_file, screening
from templatemgr.errors import LONGEST_KEY, DefinitionError, shown
from tests.native_definition import HEADER, SOURCE, TABLE, with_native

KEY = "native.part/answer.so"
KNOWN = {"part/b.c": "", "other/c.c": "", "part/data.txt": "", "part/-d.c": "", "part/ü.c": ""}


def test_a_source_or_a_list_of_sources_is_read(tmp_path: Path) -> None:
    table = '[native]\n"one.so" = "part/answer.c"\n"part/two.so" = ["part/answer.c", "part/b.c"]\n'
    definition = definition_file.read(with_native(tmp_path / "tiny", table, **KNOWN))
    assert definition.native == {
        "one.so": ("part/answer.c",),
        "part/two.so": ("part/answer.c", "part/b.c"),
    }


def test_sources_of_an_included_folder_are_known(tmp_path: Path) -> None:
    table = '[native]\n"_fork/answer.so" = "_fork/answer.c"\n'
    folder = with_native(tmp_path / "tiny", table)
    text = (folder / "template.toml").read_text()
    shared = tmp_path / "_fork"
    shared.mkdir()
    (shared / "answer.c").write_text(SOURCE)
    (shared / "number.h").write_text(HEADER)
    (folder / "template.toml").write_text(f'include = ["_fork"]\n{text}')
    definition = definition_file.read(folder)
    assert definition.native == {"_fork/answer.so": ("_fork/answer.c",)}


@pytest.mark.parametrize(
    ("table", "key", "reason"),
    [
        ('native = "x"\n', "native", "must be a table"),
        ('[native]\n"part/answer.so" = 7\n', KEY, "must be a list of strings"),
        ('[native]\n"part/answer.so" = ""\n', KEY, "must not be empty"),
        ('[native]\n"part/answer.so" = []\n', KEY, "has no source: name a file"),
        ('[native]\n"part/answer.so" = "part/none.c"\n', KEY, "'part/none.c' is not among `files`"),
        ('[native]\n"part/answer.so" = "../x.c"\n', KEY, "'../x.c' leaves the folder"),
        ('[native]\n"part/answer.so" = "/etc/x.c"\n', KEY, "'/etc/x.c' is absolute"),
        ('[native]\n"part/answer.so" = ["part/b.c", "part/b.c"]\n', KEY, "'part/b.c' is listed"),
        ('[native]\n"../x.so" = "part/b.c"\n', "native.../x.so", "'../x.so' leaves the folder"),
        ('[native]\n"/x.so" = "part/b.c"\n', "native./x.so", "'/x.so' is absolute"),
        ('[native]\n"a//x.so" = "part/b.c"\n', "native.a//x.so", "is not a plain relative path"),
    ],
)
def test_a_malformed_table_is_refused_by_every_reader(
    tmp_path: Path, table: str, key: str, reason: str
) -> None:
    folder = with_native(tmp_path / "tiny", **KNOWN)
    text = (folder / "template.toml").read_text().replace(TABLE, "")
    top = not table.startswith("[")
    (folder / "template.toml").write_text(table + text if top else text + table)
    for read in (definition_file.read, definition_file.read_kept):
        with pytest.raises(DefinitionError) as caught:
            read(folder)
        assert (caught.value.file, caught.value.key) == ("tiny/template.toml", key)
        assert reason in caught.value.reason
        assert caught.value.line is not None


@pytest.mark.parametrize(
    ("target", "sources", "reason"),
    [
        ("part/answer", '"part/b.c"', "is no name of a shared object"),
        ("part/-a.so", '"part/b.c"', "has a name that is not allowed"),
        ("part/a b.so", '"part/b.c"', "has a name that is not allowed"),
        ("part/ü.so", '"part/b.c"', "has a name that is not allowed"),
        (f"part/{'a' * 250}/{'b' * 250}.so", '"part/b.c"', "has a name that is not allowed"),
        ("node_modules/a.so", '"part/b.c"', "may not write to 'node_modules/a.so'"),
        ("Node_Modules/a.so", '"part/b.c"', "may not write to 'Node_Modules/a.so'"),
        ("bin/number.js/a.so", '"part/b.c"', "would replace 'bin/number.js'"),
        ("said.txt/a.so", '"part/b.c"', "would replace 'said.txt'"),
        ("part/answer.so", '"part/-d.c"', "has a name that is not allowed"),
        ("part/answer.so", '"part/ü.c"', "has a name that is not allowed"),
        ("part/answer.so", '"part/number.h"', "'part/number.h' is no source in C"),
        ("part/answer.so", '"part/data.txt"', "'part/data.txt' is no source in C"),
        ("part/answer.so", '["part/b.c", "other/c.c"]', "has sources of several folders"),
    ],
)
def test_a_part_that_is_not_allowed_is_refused_with_field_and_remedy(
    tmp_path: Path, target: str, sources: str, reason: str
) -> None:
    folder = with_native(tmp_path / "tiny", f'[native]\n"{target}" = {sources}\n', **KNOWN)
    definition_file.read_kept(folder)  # well-formed: existing versions run
    with pytest.raises(DefinitionError) as caught:
        definition_file.read(folder)
    assert caught.value.file == "tiny/template.toml"
    assert caught.value.key == shown(f"native.{target}", LONGEST_KEY)
    assert reason in caught.value.reason
    assert caught.value.remedy
    assert caught.value.excerpt.startswith(f'"{target[:20]}')


def test_a_part_may_not_replace_a_listed_file_or_another_part(tmp_path: Path) -> None:
    listed = with_native(tmp_path / "a/tiny", **{"part/answer.so": "a file"})
    with pytest.raises(DefinitionError, match=r"would replace 'part/answer\.so'"):
        definition_file.read(listed)
    table = '[native]\n"a.so" = "part/answer.c"\n"a.so/b.so" = "part/answer.c"\n'
    with pytest.raises(DefinitionError, match=r"would replace 'a\.so/b\.so'"):
        definition_file.read(with_native(tmp_path / "b/tiny", table))


def test_numbers_and_sizes_are_limited(tmp_path: Path) -> None:
    many = (f'"p{number}.so" = "part/answer.c"' for number in range(screening.MAX_PARTS + 1))
    table = "[native]\n" + "\n".join(many) + "\n"
    with pytest.raises(DefinitionError, match="holds more than 16 parts"):
        definition_file.read(with_native(tmp_path / "a/tiny", table))
    headers = {f"part/h{number}.h": "" for number in range(screening.MAX_SOURCES)}
    with pytest.raises(DefinitionError, match="more than 64 C files in its folder"):
        definition_file.read(with_native(tmp_path / "b/tiny", **headers))
    large = {"part/large.h": "/" * (screening.MAX_SOURCE_BYTES + 1)}
    with pytest.raises(DefinitionError, match="or 1048576 bytes"):
        definition_file.read(with_native(tmp_path / "c/tiny", **large))


@pytest.mark.parametrize("folder", ["bin", "lib", "include"])
def test_folders_of_python_are_reserved_with_pip(tmp_path: Path, folder: str) -> None:
    table = f'[native]\n"{folder}/a.so" = "part/answer.c"\n'
    place = with_native(
        tmp_path / "tiny", table, **{"requirements.in": "", "requirements.lock": ""}
    )
    text = (place / "template.toml").read_text()
    (place / "template.toml").write_text(text.replace('builder = "npm"', 'builder = "pip"'))
    with pytest.raises(DefinitionError, match=f"may not write to '{folder}/a.so'"):
        definition_file.read(place)
