from pathlib import Path

import pytest

from templatemgr import catalog, data_paths, version_runtimes
from templatemgr.errors import (
    DefinitionError,
    NotBuiltError,
    TemplateError,
    UnavailableError,
    UnknownTemplateError,
    UnknownVersionError,
)
from templatemgr.models import Template, VersionHealth
from templatemgr.promotion import promotions
from tests.templatemgr.conftest import MakeSealedVersion
from tests.tiny_definition import write_definition


def test_definitions_become_rows_and_new_titles_are_taken(tiny: Path) -> None:
    text = (tiny / "template.toml").read_text().replace('"Tiny"', '"Tinier"')
    (tiny / "template.toml").write_text(text)
    assert [(row.name, row.title) for row in catalog.sync_definitions()] == [("tiny", "Tinier")]
    assert Template.objects.count() == 1


def test_a_broken_definition_changes_no_row(tiny: Path) -> None:
    write_definition(tiny.parent / "wrong")
    with pytest.raises(DefinitionError, match="must be the folder's name"):
        catalog.sync_definitions()
    assert Template.objects.count() == 1


def test_a_reference_is_a_name_a_number_or_a_digest(make_sealed_version: MakeSealedVersion) -> None:
    one, two = make_sealed_version({"a": "1"}), make_sealed_version({"a": "2"})
    promotions.promote(template="fake", version=1, actor="ann", reason="r")
    assert catalog.resolve(reference="fake") == one
    assert catalog.resolve(reference="fake@2") == two
    assert catalog.resolve(reference=f"fake@sha256:{two.identity}") == two
    assert catalog.resolve(reference=f"fake@sha256:{one.tree_digest}") == one


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("none", UnknownTemplateError),
        ("none@1", UnknownTemplateError),
        ("fake", NotBuiltError),
        ("fake@2", UnknownVersionError),
        ("fake@0", UnknownVersionError),
        ("fake@latest", UnknownVersionError),
        ("fake@sha256:abc", UnknownVersionError),
        ("fake@sha256:" + "0" * 64, UnknownVersionError),
        ("fake@99999999999999999999", UnknownVersionError),
        ("fake@1\n", UnknownVersionError),
        ("", UnknownVersionError),
    ],
)
def test_a_wrong_reference_is_refused_with_the_reason(
    make_sealed_version: MakeSealedVersion, reference: str, error: type[TemplateError]
) -> None:
    make_sealed_version({"a": "1"})
    with pytest.raises(error):
        catalog.resolve(reference=reference)


def test_a_tree_digest_means_a_healthy_version_that_has_it(
    make_sealed_version: MakeSealedVersion,
) -> None:
    one = make_sealed_version({"a": "1"})
    VersionHealth.objects.filter(version=one).update(state="quarantined")
    with pytest.raises(UnavailableError):
        catalog.resolve(reference=f"fake@sha256:{one.tree_digest}")


def test_a_version_without_its_inputs_is_unavailable(
    make_sealed_version: MakeSealedVersion,
) -> None:
    version = make_sealed_version({"a": "1"})
    home = data_paths.version(version)
    home.chmod(0o755)
    (home / "inputs").chmod(0o755)
    (home / "inputs").rename(home / "elsewhere")
    with pytest.raises(UnavailableError, match="cannot be run"):
        version_runtimes.runtime_of(version)


def test_a_runtime_holds_trees_and_limits(make_sealed_version: MakeSealedVersion) -> None:
    version = make_sealed_version({"a": "1"})
    runtime = version_runtimes.runtime_of(version)
    tree = runtime.tree("test")
    assert (runtime.name, runtime.modes, runtime.pattern) == ("fake", ("run", "test"), "*.test.js")
    assert runtime.default.wall_ms == 5000
    assert (tree.command, tree.links) == (("runner/main.sh", "test"), ("node_modules",))
    assert (tree.env, tree.cache_writable) == ({"GREETING": "hello"}, False)
    assert version_runtimes.runtime_of(version) is runtime
    with pytest.raises(KeyError):
        runtime.tree("walk")
