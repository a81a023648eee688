from pathlib import Path

import pytest

from templatemgr import catalog, data_paths
from templatemgr.errors import GateError, UnavailableError, UnknownVersionError
from templatemgr.integrity import checking
from templatemgr.models import AuditEvent, Version, VersionHealth
from templatemgr.promotion import promotions
from tests.templatemgr.conftest import MakeSealedVersion

pytestmark = pytest.mark.usefixtures("data_dir", "committed")


@pytest.fixture
def versions(make_sealed_version: MakeSealedVersion) -> list[Version]:
    """Make fake@1, fake@2 and other@1, which share a file, and fake@3, which shares none."""
    return [
        make_sealed_version({"lib/shared.js": "shared", "own": "1"}),
        make_sealed_version({"lib/shared.js": "shared", "own": "2"}),
        make_sealed_version({"own": "3"}),
        make_sealed_version({"elsewhere": "shared"}, name="other"),
    ]


def flip_a_byte(path: Path) -> None:
    """Change the file in place, as a failing disk or an intruder would."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"S")
    path.chmod(mode)


def states() -> dict[str, str]:
    rows = VersionHealth.objects.select_related("version__template")
    return {str(health.version): health.state for health in rows}


def verify(version: int = 1, template: str = "fake") -> VersionHealth:
    return checking.verify(template=template, version=version, actor="ann")


def test_a_whole_version_stays_verified(versions: list[Version]) -> None:
    health = verify()
    assert (health.state, health.problems, health.checked_by) == ("verified", [], "ann")
    event = AuditEvent.objects.get()
    assert (event.action, event.object) == ("version.verify", "fake@1")
    assert event.details == {"state": "verified", "problems": 0}


def test_a_flipped_byte_quarantines_every_version_that_shares_it(versions: list[Version]) -> None:
    promotions.promote(template="fake", version=2, actor="ann", reason="r")
    flip_a_byte(data_paths.version(versions[0]) / "tree/lib/shared.js")
    health = verify()
    assert health.problems == [{"path": "lib/shared.js", "problem": "changed"}]
    assert states() == {
        "fake@1": "quarantined",
        "fake@2": "quarantined",
        "fake@3": "verified",
        "other@1": "quarantined",
    }
    other = VersionHealth.objects.get(version=versions[3])
    assert other.problems == [{"path": "elsewhere", "problem": "changed"}]
    events = AuditEvent.objects.order_by("sequence").values_list("action", "object")
    assert list(events)[1:] == [
        ("version.quarantine", "fake@1"),
        ("version.verify", "fake@1"),
        ("version.quarantine", "fake@2"),
        ("version.quarantine", "other@1"),
    ]
    for reference in ("fake", "fake@1", "fake@2", f"other@sha256:{versions[3].identity}"):
        with pytest.raises(UnavailableError, match="quarantined"):
            catalog.resolve(reference=reference)
    with pytest.raises(GateError, match="healthy"):
        promotions.promote(template="fake", version=1, actor="ann", reason="r")
    promotions.promote(template="fake", version=3, actor="ann", reason="r")


def test_a_file_replaced_in_one_tree_quarantines_only_this_version(versions: list[Version]) -> None:
    tree = data_paths.version(versions[0]) / "tree"
    (tree / "lib").chmod(0o755)
    (tree / "lib/shared.js").unlink()
    (tree / "lib/shared.js").write_text("Shared")
    (tree / "lib/shared.js").chmod(0o444)
    (tree / "lib").chmod(0o555)
    assert verify().problems == [{"path": "lib/shared.js", "problem": "changed"}]
    assert states()["fake@2"] == "verified"


def test_added_and_missing_paths_and_changed_modes_are_found(versions: list[Version]) -> None:
    tree = data_paths.version(versions[2]) / "tree"
    tree.chmod(0o755)
    (tree / "new").write_text("")
    (tree / "own").unlink()
    assert verify(3).problems == [
        {"path": ".", "problem": "mode"},
        {"path": "new", "problem": "added"},
        {"path": "own", "problem": "missing"},
    ]


@pytest.mark.parametrize(
    ("path", "part", "named"),
    [
        ("cache/warm", "cache", "cache/warm"),
        ("inputs/template.toml", "inputs", "inputs"),
        ("manifest.json.gz", "manifest", "manifest.json.gz"),
    ],
)
def test_damaged_cache_inputs_or_manifest_do_not_stop_the_version(
    versions: list[Version], path: str, part: str, named: str
) -> None:
    flip_a_byte(data_paths.version(versions[0]) / path)
    health = verify()
    assert (health.state, health.problems, health.severity) == ("verified", [], "not_provable")
    assert [(doubt["part"], doubt["path"]) for doubt in health.doubts] == [(part, named)]
    assert catalog.resolve(reference="fake@1").healthy
    assert AuditEvent.objects.get().details == {"state": "verified", "problems": 0, "doubts": 1}


def test_a_damaged_cache_is_removed_before_the_next_execution(
    versions: list[Version],
) -> None:
    flip_a_byte(data_paths.version(versions[0]) / "cache/warm")
    before = VersionHealth.objects.get(version=versions[0])
    health = verify()
    assert list((data_paths.version(versions[0]) / "cache").iterdir()) == []
    fresh = VersionHealth.objects.get(version=versions[0])
    assert fresh.epoch > before.epoch  # a warm sandbox that loaded the damaged cache is not used
    assert health.doubts[0]["problem"] == "changed"
    # A removed cache is not repaired: verification reports it until it is filled again.
    again = verify()
    assert again.doubts[0]["path"] == "cache"
    assert "without it" in again.doubts[0]["detail"]


def test_a_manifest_rewritten_to_fit_the_damage_is_found(
    versions: list[Version], make_sealed_version: MakeSealedVersion
) -> None:
    home, forged = data_paths.version(versions[0]), data_paths.version(versions[2])
    (home / "manifest.json.gz").chmod(0o644)
    (home / "manifest.json.gz").write_bytes((forged / "manifest.json.gz").read_bytes())
    health = verify()
    assert health.doubts[0]["path"] == "manifest.json.gz"
    assert "not the one that was sealed" in health.doubts[0]["detail"]
    tree = home / "tree"
    tree.chmod(0o755)
    (tree / "own").write_text("3")
    tree.chmod(0o555)
    assert verify().state == "quarantined"


def test_a_repaired_version_is_verified_again(versions: list[Version]) -> None:
    file = data_paths.version(versions[0]) / "tree/lib/shared.js"
    flip_a_byte(file)
    assert verify().state == "quarantined"
    file.chmod(0o644)
    file.write_text("shared")
    file.chmod(0o444)
    assert verify().state == "verified"
    assert verify(2).state == "verified"


def test_a_retired_version_that_is_whole_stays_retired(versions: list[Version]) -> None:
    VersionHealth.objects.filter(version=versions[0]).update(state="retired")
    assert verify().state == "retired"
    with pytest.raises(UnavailableError, match="retired"):
        catalog.resolve(reference="fake@1")


def test_all_versions_are_verified_in_order(versions: list[Version]) -> None:
    found = checking.verify_all(actor="ann")
    assert [str(health.version) for health in found] == ["fake@1", "fake@2", "fake@3", "other@1"]
    assert len(checking.verify_all(actor="ann", template="other")) == 1


def test_an_unknown_version_cannot_be_verified(versions: list[Version]) -> None:
    with pytest.raises(UnknownVersionError):
        verify(9)
