from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from templatemgr import catalog, data_paths, store
from templatemgr.build import builds, pipeline
from templatemgr.build.workspace import BuildWorkspace
from templatemgr.errors import NotHealedError
from templatemgr.integrity import checking
from templatemgr.maintenance import healing
from templatemgr.models import AuditEvent, Build, Version, VersionHealth
from templatemgr.trees import hashing, manifests
from tests.templatemgr.conftest import MakeSealedVersion, run_build
from tests.tiny_definition import write_definition

pytestmark = pytest.mark.usefixtures("data_dir", "committed")


def tree_of(version: Version) -> Path:
    return data_paths.version(version) / "tree"


def opened(folder: Path) -> Path:
    folder.chmod(0o755)
    return folder


def spoil(file: Path, text: str = "evil") -> int:
    """Write into a file in place, and return its inode."""
    mode = file.stat().st_mode
    file.chmod(0o644)
    file.write_text(text)
    file.chmod(mode)
    return file.stat().st_ino


def replace(tree: Path) -> None:
    opened(tree / "lib")
    (tree / "lib/a.js").unlink()
    (tree / "lib/a.js").write_text("evil")


def relink(tree: Path) -> None:
    (opened(tree) / "link").unlink()
    (tree / "link").symlink_to("own")


def fold(tree: Path) -> None:
    store.remove(opened(tree) / "lib")
    (tree / "lib").symlink_to("/")


def heal(version: int = 1, template: str = "tiny") -> VersionHealth:
    return healing.heal(template=template, version=version, actor="ann", worker="w1")


def actions(action: str) -> list[str]:
    rows = AuditEvent.objects.filter(action=action).order_by("sequence")
    return list(rows.values_list("object", flat=True))


def unfile(tree: Path) -> None:
    (opened(tree) / "own").unlink()
    (tree / "own").mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "changed": replace,
    "missing": lambda tree: (opened(tree) / "own").unlink(),
    "added": lambda tree: (opened(tree) / "new").write_text("x"),
    "mode": lambda tree: (tree / "own").chmod(0o755),
    "folder mode": lambda tree: (tree / "lib").chmod(0o700),
    "link": relink,
    "a folder became a link": fold,
    "a file became a folder": unfile,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_of_the_store_are_restored_without_a_build(
    make_sealed_version: MakeSealedVersion, damage: str
) -> None:
    version = make_sealed_version({"lib/a.js": "a", "own": "1"}, links={"link": "lib/a.js"})
    DAMAGES[damage](tree_of(version))
    assert checking.verify(template="fake", version=1, actor="ann").state == "quarantined"
    health = heal(template="fake")
    assert (health.state, health.problems) == ("verified", [])
    manifest = manifests.load((data_paths.version(version) / "manifest.json.gz").read_bytes())
    assert manifests.compare(manifest, tree_of(version)) == []
    assert manifest.digest() == version.tree_digest
    stored = store.object_path(data_paths.objects(), manifest.files[0])
    assert (tree_of(version) / "lib/a.js").stat().st_ino == stored.stat().st_ino
    assert not tree_of(version).stat().st_mode & 0o222
    assert Build.objects.exclude(state="ready").count() == 0
    assert actions("version.heal") == ["fake@1"]


def test_a_byte_flipped_in_a_shared_file_is_healed_for_all_by_a_new_inode(tiny: Path) -> None:
    one = run_build().version
    write_definition(tiny, **{"smoke/run/src/extra.js": "// more\n"})
    two = run_build().version
    assert one is not None
    assert two is not None
    name = "node_modules/is-number/index.js"
    damaged = spoil(tree_of(one) / name)
    health = heal(2)
    assert health.state == "verified"
    assert actions("version.quarantine") == ["tiny@2", "tiny@1"]
    assert sorted(actions("version.heal")) == ["tiny@1", "tiny@2"]
    inodes = {(tree_of(version) / name).stat().st_ino for version in (one, two)}
    assert len(inodes) == 1
    assert damaged not in inodes
    assert Version.objects.count() == 2
    for number in (1, 2):
        assert catalog.resolve(reference=f"tiny@{number}").healthy
        assert checking.verify(template="tiny", version=number, actor="ann").problems == []
    for stored in data_paths.objects().glob("*/*"):
        assert hashing.hash_file(stored) == stored.name.removesuffix(".x")


@pytest.mark.parametrize("path", ["cache/filled", "inputs/said.txt", "manifest.json.gz"])
def test_a_bad_cache_bad_inputs_and_a_bad_manifest_are_restored_without_a_registry(
    tiny: Path, path: str
) -> None:
    version = run_build().version
    assert version is not None
    checking.verify(template="tiny", version=1, actor="ann")
    spoil(data_paths.version(version) / path)
    health = checking.verify(template="tiny", version=1, actor="ann")
    assert (health.state, health.severity) == ("verified", "not_provable")
    assert heal().severity == "none"
    health = checking.verify(template="tiny", version=1, actor="ann")
    assert (health.problems, health.doubts) == ([], [])
    assert Build.objects.count() == 1
    assert (data_paths.version(version) / "cache/filled").read_text() == "filled\n"


def test_a_version_that_cannot_be_rebuilt_stays_quarantined_with_a_reason(tiny: Path) -> None:
    version = run_build().version
    assert version is not None
    spoil(tree_of(version) / "said.txt")
    spoil(data_paths.version(version) / "inputs/said.txt")
    (tiny / "said.txt").write_text("other\n")
    with pytest.raises(NotHealedError, match=r"tiny@1 stays quarantined: .* kept inputs"):
        heal()
    health = VersionHealth.objects.get(version=version)
    assert health.state == "quarantined"
    assert "restore them from a backup" in health.message
    assert actions("version.heal_failed") == ["tiny@1"]
    with pytest.raises(CommandError, match="stays quarantined"):
        call_command("heal_template", "tiny", "1")


def test_a_rebuild_with_other_bytes_heals_nothing_and_makes_no_version(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = run_build().version
    assert version is not None
    spoil(tree_of(version) / "said.txt")
    original = pipeline._install

    def differently(workspace: BuildWorkspace) -> None:
        original(workspace)
        (workspace.tree / "more").write_text("moved on")

    monkeypatch.setattr(pipeline, "_install", differently)
    with pytest.raises(NotHealedError, match="did not reproduce version 1"):
        heal()
    assert Version.objects.count() == 1
    assert VersionHealth.objects.get(version=version).state == "quarantined"


def test_a_kill_between_the_renames_leaves_a_version_that_can_be_healed(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = run_build().version
    assert version is not None
    spoil(tree_of(version) / "said.txt")
    place = data_paths.version(version)

    def die(staged: Path, final: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "publish", die)
        with pytest.raises(KeyboardInterrupt):
            heal()
    assert not place.exists()
    builds.reap()
    assert place.exists()
    assert list((place.parents[1] / "staging").iterdir()) == []
    assert VersionHealth.objects.get(version=version).state == "quarantined"
    assert heal().state == "verified"


def test_heal_template_reports_its_steps(tiny: Path) -> None:
    version = run_build().version
    assert version is not None
    spoil(tree_of(version) / "said.txt")
    out = StringIO()
    call_command("heal_template", "tiny", "1", stdout=out)
    assert "tiny@1 was quarantined and is healed" in out.getvalue()
    assert "tiny@1 is verified" in out.getvalue()
    out = StringIO()
    call_command("heal_template", "tiny", "1", stdout=out)
    assert out.getvalue() == "tiny@1 is verified\n"
