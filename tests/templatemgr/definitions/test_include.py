"""Test shared folders that definitions include: inputs, digest, tree, errors and versions."""

from pathlib import Path

import pytest
from django.conf import settings

from templatemgr import data_paths, store
from templatemgr.build import export
from templatemgr.definitions import collection, definition_file, source_files
from templatemgr.errors import DefinitionError
from templatemgr.models import BuildState
from templatemgr.promotion import comparison
from tests.templatemgr.conftest import log_text, run_build
from tests.tiny_definition import DEFINITION, RUNNER, write_definition

INCLUDING = (
    DEFINITION.replace('"runner/main.sh", "said.txt"', '"said.txt"', 1)
    .replace("runner/main.sh", "_shell/main.sh")
    .replace("install_scripts", 'include = ["_shell"]\ninstall_scripts', 1)
)


def including(folder: Path) -> Path:
    """Write the tiny definition with its runner in a shared folder beside it."""
    write_definition(folder, **{"template.toml": INCLUDING})
    shared = folder.parent / "_shell"
    shared.mkdir(exist_ok=True)
    (folder / "runner/main.sh").rename(shared / "main.sh")
    (folder / "runner").rmdir()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return including(tmp_path / "tiny")


def test_shared_files_are_inputs_and_get_into_the_tree(folder: Path, tmp_path: Path) -> None:
    assert definition_file.read(folder).files[-1] == "_shell/main.sh"
    assert source_files.locate(folder)["_shell/main.sh"] == tmp_path / "_shell/main.sh"


def test_the_digest_covers_shared_files(folder: Path, tmp_path: Path) -> None:
    before = source_files.digest(folder)
    (tmp_path / "_shell/main.sh").write_text(RUNNER + "# changed\n")
    assert source_files.digest(folder) != before


def test_a_copy_is_a_definition_by_itself_with_the_same_digest(
    folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere/tiny"
    store.copy(source_files.locate(folder), copy)
    assert (copy / "_shell/main.sh").stat().st_mode & 0o100
    assert source_files.digest(copy) == source_files.digest(folder)
    definition_file.read(copy)


def test_a_folder_inside_wins_over_the_one_beside(folder: Path) -> None:
    own = folder / "_shell/main.sh"
    own.parent.mkdir()
    own.write_text("own")
    assert source_files.locate(folder)["_shell/main.sh"] == own


def test_a_shared_folder_is_no_template(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "_shell/template.toml").write_text(DEFINITION)
    assert source_files.list_definitions(tmp_path) == ["tiny"]


@pytest.mark.parametrize(
    ("include", "reason"),
    [
        ('["_nothing"]', "there is no folder '_nothing' beside the definition"),
        ('["_shell", "_shell"]', "'_shell' is listed twice"),
        ('["shell"]', "'shell' is not the name of a shared folder"),
        ('["_../_shell"]', "'_../_shell' is not the name of a shared folder"),
        ('["/etc"]', "'/etc' is not the name of a shared folder"),
        ('"_shell"', "must be a list of strings"),
        ('["_link"]', "'_link' is a link"),
        ('["_empty"]', "'_empty' is empty"),
    ],
)
def test_an_error_names_key_and_reason(
    folder: Path, tmp_path: Path, include: str, reason: str
) -> None:
    (tmp_path / "_empty").mkdir()
    (tmp_path / "_link").symlink_to("_shell")
    text = INCLUDING.replace('["_shell"]', include)
    (folder / "template.toml").write_text(text)
    with pytest.raises(DefinitionError) as caught:
        definition_file.read(folder)
    assert (caught.value.file, caught.value.key) == ("tiny/template.toml", "include")
    assert caught.value.reason.startswith(reason)


def test_a_shared_file_is_not_listed_again(folder: Path) -> None:
    text = INCLUDING.replace('"said.txt"]', '"said.txt", "_shell/main.sh"]')
    (folder / "_shell").mkdir()
    (folder / "_shell/main.sh").write_text(RUNNER)
    (folder / "template.toml").write_text(text)
    with pytest.raises(DefinitionError, match=r"files: '_shell/main.sh' is included already"):
        definition_file.read(folder)


def test_a_link_in_a_shared_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "_shell/sneaky").symlink_to("/etc/passwd")
    with pytest.raises(DefinitionError, match="_shell/sneaky: only plain files and folders"):
        source_files.digest(folder)
    with pytest.raises(DefinitionError, match="_shell/sneaky: only plain files and folders"):
        definition_file.read(folder)


def test_a_collected_definition_needs_no_shared_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "_unused").mkdir()
    (tmp_path / "_unused/file").write_text("")
    found = collection.collect(tmp_path)
    assert "tiny/_shell/main.sh" in found.files
    assert not [path for path in found.files if "_unused" in path]
    target = tmp_path / "dist/templates"
    collection.publish(found, tmp_path, target)
    assert not collection.differences(found, target)
    assert source_files.digest(target / "tiny") == source_files.digest(folder)
    (tmp_path / "_shell/main.sh").write_text("other")
    assert collection.differences(collection.collect(tmp_path), target)


def test_a_version_keeps_its_included_files(tiny: Path, tmp_path: Path) -> None:
    """Remove the shared folder; then rebuild, edit, compare and export the version."""
    including(tiny)
    first = run_build()
    assert first.state == BuildState.READY, log_text(first)
    assert first.version is not None
    kept = data_paths.version(first.version)
    assert (kept / "inputs/_shell/main.sh").is_file()
    assert (kept / "tree/_shell/main.sh").is_file()
    (Path(settings.STENCIL_DEFINITIONS) / "_shell").rename(tmp_path / "away")

    again = run_build(from_version=1)
    assert again.reproduces == first.version, log_text(again)
    edited = RUNNER.replace("filled >", "filled  >")
    other = run_build(kind="edit", from_version=1, files={"_shell/main.sh": edited})
    assert other.version is not None, log_text(other)
    assert (data_paths.version(other.version) / "tree/_shell/main.sh").read_text() == edited
    found = comparison.compare(template="tiny", old=1, new=2)
    assert "_shell/main.sh" in [text.path for text in found.texts]

    export.export(template="tiny", version=1, target=tmp_path / "out")
    assert source_files.digest(tmp_path / "out") == first.version.definition_digest
