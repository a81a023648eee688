"""Test a version over the API: comparison, verification, healing and download of its inputs."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from execapp.api.v1.schemas.versions import DiffOut, InputsOut, VersionOut
from templatemgr import data_paths, version_runtimes
from templatemgr.definitions import source_files
from templatemgr.maintenance import verification
from templatemgr.models import AuditEvent, HealthState, Verification, Version, VersionHealth
from templatemgr.promotion import promotions
from tests.execapp.api.api_clients import changer, last_event, post, reader, refused
from tests.templatemgr.conftest import data_dir, make_sealed_version

__all__ = ["data_dir", "make_sealed_version"]  # fixtures

FAKE = "/templates/fake/versions"


@pytest.fixture
def versions(
    make_sealed_version: Callable[..., Version], settings: Settings, tmp_path: Path
) -> Iterator[list[Version]]:
    """Make two sealed versions of small trees; the first is current."""
    first = make_sealed_version({"a.txt": "one", "b.txt": "same"})
    second = make_sealed_version({"a.txt": "two", "b.txt": "same", "c.txt": "new"})
    promotions.promote(template="fake", version=1, actor="ann", reason="first")
    yield [first, second]
    version_runtimes._kept_runtime.cache_clear()


def keep() -> Verification:
    """Run one queued verification, as the verification worker does."""
    found = verification.claim(worker="w1")
    assert found is not None
    return verification.run(verification=found)


def flip(version: Version, path: str, text: str) -> None:
    file = data_paths.version(version) / path
    file.chmod(0o644)
    file.write_text(text)
    file.chmod(0o444)


def test_diff_as_data_and_as_text(versions: list[Version]) -> None:
    api = reader()
    shown = api.get(f"{FAKE}/2/diff?against=1")
    DiffOut.model_validate(shown)
    assert (shown["before"], shown["after"]) == ("fake@1", "fake@2")
    files = shown["files"]
    assert (files["added"], files["removed"], files["changed"], files["left_out"]) == (1, 0, 1, 0)
    assert [file["path"] for file in files["items"]] == ["a.txt", "c.txt"]
    assert shown["size_bytes"] == {"before": 7, "after": 10}
    assert api.get(f"{FAKE}/1/diff?against=2")["files"]["removed"] == 1
    for how in ({"Accept": "text/plain"}, {}):
        path = f"{FAKE}/2/diff?against=1{'' if how else '&format=text'}"
        response = api.call("GET", path, **how)
        assert response["Content-Type"] == "text/plain; charset=utf-8"
        assert response.getvalue().decode().startswith("fake@1 → fake@2\n")
    assert api.call("GET", f"{FAKE}/2/diff?against=1", Accept="*/*").json() == shown


ODD_QUERIES = (
    "",
    "?against=",
    "?against=x",
    "?against=0",
    f"?against={2**31}",
    "?against=%00",
    "?against=1&against=2",
    "?against=1&format=html",
    "?against=1&with=2",
)
ODD_PATHS = ("nope", "../manifest.json.gz", "..%2fmanifest.json.gz", "%00", "runner", "/etc/passwd")


def test_odd_comparisons_are_refused(versions: list[Version]) -> None:
    api = reader()
    for query in ODD_QUERIES:
        refused(api, "GET", f"{FAKE}/2/diff{query}", None, 422, "invalid_request")
    refused(api, "GET", f"{FAKE}/2/diff?against=9", None, 404, "unknown_version")


def test_verifying_is_asked_for_and_its_result_is_on_the_version(versions: list[Version]) -> None:
    api = changer()
    assert api.get(f"{FAKE}/1")["verification"] is None
    shown = post(api, f"{FAKE}/1/verify", None, 202)
    VersionOut.model_validate(shown)
    assert shown["verification"]["state"] == "queued"
    assert last_event().actor == "token:ci-bot"
    again = post(api, f"{FAKE}/1/verify", None, 202)
    assert again["verification"]["id"] == shown["verification"]["id"]
    keep()
    found = api.get(f"{FAKE}/1")["verification"]
    assert (found["state"], found["problems"]) == ("verified", 0)
    assert found["files_done"] == found["files_total"] == 3
    assert api.get(f"{FAKE}/1")["health"]["checked_by"] == "token:ci-bot"


def test_healing_makes_a_damaged_version_whole(versions: list[Version], settings: Settings) -> None:
    settings.STENCIL_HEAL = False
    api = changer()
    flip(versions[0], "tree/a.txt", "0ne")
    post(api, f"{FAKE}/1/verify", None, 202)
    keep()
    shown = api.get(f"{FAKE}/1")
    assert shown["health"]["state"] == "quarantined"
    assert shown["verification"]["state"] == "quarantined"
    body = {"template": "fake", "mode": "run", "files": [{"path": "main.js", "content": ""}]}
    api.token.scopes = ["admin"]
    api.token.save()
    error = refused(api, "POST", "/executions", body, 503, "template_unavailable")
    assert "POST /api/v1/templates/fake/rollback" in error["message"]
    assert "POST /api/v1/templates/fake/versions/1/heal" in error["message"]
    shown = post(api, f"{FAKE}/1/heal", None, 202)
    assert shown["verification"]["heal"] is True
    keep()
    # The only copy of these bytes was the damaged one: a rebuild of the inputs is to bring them.
    found = api.get(f"{FAKE}/1")["verification"]
    assert found["state"] == "quarantined"
    assert api.get(f"/builds/{found['build']}")["heals"] == 1


def test_a_removed_version_is_not_healed(versions: list[Version]) -> None:
    VersionHealth.objects.filter(version=versions[1]).update(state=HealthState.RETIRED)
    error = refused(changer(), "POST", f"{FAKE}/2/heal", None, 409, "not_healed")
    assert '{"kind": "rebuild", "from": 2}' in error["message"]
    assert not Verification.objects.exists()


def test_verifying_and_healing_need_templates(versions: list[Version]) -> None:
    before = AuditEvent.objects.count()
    for act in ("verify", "heal"):
        refused(reader(), "POST", f"{FAKE}/1/{act}", None, 403, "forbidden")
        refused(changer(), "POST", f"{FAKE}/9/{act}", None, 404, "unknown_version")
        refused(
            changer(), "POST", f"/templates/nope/versions/1/{act}", None, 404, "unknown_template"
        )
    assert not AuditEvent.objects.filter(action="version.verify_request").exists()
    assert AuditEvent.objects.count() > before  # the tokens


def test_inputs_come_home_as_files(versions: list[Version], tmp_path: Path) -> None:
    api = reader()
    shown = api.get(f"{FAKE}/1/inputs")
    InputsOut.model_validate(shown)
    paths = {item["path"]: item for item in shown["items"]}
    assert paths["runner/main.sh"]["executable"] is True
    assert paths["said.txt"] == {"path": "said.txt", "size_bytes": 6, "executable": False}
    response = api.call("GET", f"{FAKE}/1/inputs/said.txt")
    assert response.content == b"hello\n"
    assert response["Content-Disposition"] == 'attachment; filename="said.txt"'
    response = api.call("GET", f"{FAKE}/1/inputs", Accept="application/gzip")
    assert response["Content-Disposition"] == 'attachment; filename="fake-1.tar.gz"'
    assert api.call("GET", f"{FAKE}/1/inputs?format=tar.gz").content != b""
    with tarfile.open(fileobj=io.BytesIO(response.content)) as tar:
        tar.extractall(tmp_path / "home", filter="data")
    assert source_files.digest(tmp_path / "home/fake") == versions[0].definition_digest


def test_odd_inputs_are_not_found(versions: list[Version]) -> None:
    api = reader()
    for path in ODD_PATHS:
        refused(api, "GET", f"{FAKE}/1/inputs/{path}", None, 404, "not_found")


def test_damaged_inputs_are_not_given_out(versions: list[Version]) -> None:
    flip(versions[0], "inputs/said.txt", "evil")
    api = reader()
    for end in ("", "/said.txt", "?format=tar.gz"):
        error = refused(api, "GET", f"{FAKE}/1/inputs{end}", None, 409, "not_exported")
        assert "heal it first" in error["message"]
