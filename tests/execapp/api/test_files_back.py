"""`collect`: files that the program left come back in the answer, and as downloads."""

import base64
import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from django import conf
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from execapp.api.v1.schemas.executions import ExecutionOut
from execapp.models import CollectedFile, Execution, StoredBytes
from execapp.services import collected_files
from tests.execapp.conftest import Api, make_api
from tests.minimal_template import Program

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
WRITES = """
import fs from "node:fs";
fs.mkdirSync("src/out");
fs.writeFileSync("src/out/plot.png", Buffer.from("%s", "hex"));
fs.writeFileSync("src/out/same.png", fs.readFileSync("src/out/plot.png"));
fs.writeFileSync("src/report.json", '{"mean": "½"}');
fs.writeFileSync("src/big.txt", "ä".repeat(200_000));
fs.symlinkSync("/etc/passwd", "src/out/link.png");
"""
WRITING = Program(files={"main.mjs": WRITES % PNG.hex()})
PATTERNS = ["out/*.png", "report.json", "big.txt"]


@pytest.fixture(autouse=True)
def _no_files_of_other_tests(settings: Settings) -> None:
    shutil.rmtree(Path(settings.STENCIL_DATA) / "collected", ignore_errors=True)


def stored() -> list[str]:
    """Return the names of all kept files."""
    folder = Path(conf.settings.STENCIL_DATA) / "collected"
    return sorted(at.name for at in folder.glob("??/*"))


def collected(api: Api, program: Program = WRITING, **more: object) -> Any:
    given: dict[str, Any] = {"collect": PATTERNS, "wait": True, **more}
    made = api.submit(program, **given)
    ExecutionOut.model_validate(made)
    return made


@pytest.fixture
def done(api: Api, executor: object) -> Any:
    return collected(api)


def test_files_come_back_with_size_digest_and_content(done: Any) -> None:
    assert done["state"] == "succeeded", done
    files = {file["path"]: file for file in done["files"]}
    assert list(files) == ["big.txt", "out/plot.png", "out/same.png", "report.json"]
    plot = files["out/plot.png"]
    assert base64.b64decode(plot["content"]) == PNG
    assert plot["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert (plot["size_bytes"], plot["encoding"], plot["truncated"]) == (len(PNG), "base64", False)
    report = files["report.json"]
    assert (report["content"], report["encoding"]) == ('{"mean": "½"}', "utf8")


def test_a_large_file_is_cut_in_the_answer_and_whole_at_its_address(api: Api, done: Any) -> None:
    big = done["files"][0]
    assert (big["size_bytes"], big["truncated"], big["encoding"]) == (400_000, True, "utf8")
    assert big["content"] == "ä" * (256 * 1024 // 2)
    whole = api.call("GET", big["url"].removeprefix("/api/v1"))
    assert hashlib.sha256(whole.content).hexdigest() == big["sha256"]


def test_a_download_is_never_a_page(api: Api, done: Any) -> None:
    reply = api.call("GET", done["files"][1]["url"].removeprefix("/api/v1"))
    assert (reply.status_code, reply.content) == (200, PNG)
    assert reply["Content-Type"] == "application/octet-stream"
    assert reply["Content-Disposition"] == 'attachment; filename="plot.png"'
    assert reply["X-Content-Type-Options"] == "nosniff"
    assert reply["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_what_did_not_come_back_is_in_the_message(done: Any) -> None:
    assert done["message"] == (
        "Not all matching files were collected: 'out/link.png': it is a symbolic link."
    )


def test_equal_files_are_kept_once_and_a_rerun_collects_again(api: Api, done: Any) -> None:
    assert len(stored()) == 3
    again = api.call("POST", f"/executions/{done['id']}/rerun").json()
    again = api.get(f"/executions/{again['id']}?wait=true")
    assert [file["sha256"] for file in again["files"]] == [f["sha256"] for f in done["files"]]
    assert len(stored()) == 3
    assert api.get(f"/executions/{again['id']}/files")["collect"] == PATTERNS


def test_the_submitted_files_are_still_the_answer_without_a_digest(api: Api, done: Any) -> None:
    assert [f["path"] for f in api.get(f"/executions/{done['id']}/files")["files"]] == ["main.mjs"]


def test_files_have_the_reading_rights_of_their_execution(api: Api, done: Any) -> None:
    path = done["files"][0]["url"].removeprefix("/api/v1")
    assert make_api("stranger").call("GET", path).status_code == 404
    assert make_api("writer", "execute").call("GET", path).status_code == 403
    assert make_api("root", "admin").call("GET", path).status_code == 200
    other = collected(api, collect=["report.json"])
    wrong = path.replace(done["id"], other["id"])
    assert api.call("GET", wrong).json()["error"]["code"] == "unknown_file"
    for digest in ("x", "0" * 64, "..%2f..%2fdb.sqlite3"):
        assert api.call("GET", f"/executions/{done['id']}/files/{digest}").status_code == 404


def test_tests_and_failing_programs_give_files_back(api: Api, executor: object) -> None:
    failing = Program(files={"main.mjs": WRITES % PNG.hex() + "process.exit(3);"})
    made = collected(api, failing)
    assert (made["state"], len(made["files"])) == ("failed", 4)
    slow = Program(files={"main.mjs": WRITES % PNG.hex() + "for (;;);"})
    made = collected(api, slow, limits={"wall_ms": 3000})
    assert (made["state"], len(made["files"])) == ("timed_out", 4)
    assert made["message"].startswith("Stopped after")
    suite = Program(files={"a.test.mjs": WRITES % PNG.hex() + "export default { a() {} };"})
    made = api.submit(suite, "test", collect=PATTERNS, wait=True)
    assert (made["state"], len(made["files"])) == ("succeeded", 4)


def test_without_collect_nothing_is_read_or_asked(api: Api, executor: object) -> None:
    plain = api.submit(WRITING, wait=True)
    assert plain["files"] is None
    assert stored() == []
    with CaptureQueriesContext(
        connection,
    ) as found:
        api.get(f"/executions/{plain['id']}")
    assert not [each for each in found.captured_queries if "collectedfile" in each["sql"]]


def test_an_open_execution_has_no_files_yet(api: Api, alive: object) -> None:
    assert api.submit(WRITING, collect=PATTERNS)["files"] == []


BAD: dict[str, list[tuple[Any, str]]] = {
    "collect": [("x", "list"), ([1], "collect.0"), ({}, "list"), (["a"] * 33, "32")],
    "collect.0": [(["/etc/passwd"], "absolute"), (["../x"], "climbs"), ([""], "empty"),
                  (["a**"], "part of its own"), (["a\nb"], "control")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "given"), [(path, given) for path, many in BAD.items() for given, _ in many]
)
def test_wrong_patterns_are_refused_by_name(
    api: Api, alive: object, path: str, given: object
) -> None:
    reply = api.call("POST", "/executions", WRITING.body("run", collect=given))
    assert reply.status_code == 422
    fields = reply.json()["error"]["details"]["fields"]
    assert any(field["path"].startswith(path.partition(".")[0]) for field in fields), fields
    assert Execution.objects.count() == 0


def test_cases_with_collect_are_refused(api: Api, alive: object) -> None:
    reply = api.call("POST", "/executions", WRITING.body("run", collect=["a"], cases=[{}]))
    assert reply.json()["error"]["details"]["fields"] == [
        {
            "path": "collect",
            "message": "Files are not collected from cases yet: leave out collect or cases.",
        }
    ]


def test_bytes_of_files_count_in_the_quota(api: Api, executor: object) -> None:
    def charged() -> int:
        return sum(StoredBytes.objects.values_list("bytes", flat=True))

    api.submit(WRITING, wait=True)
    plain = charged()
    collected(api)
    sizes = 400_000 + 2 * len(PNG)
    assert sizes <= charged() - 2 * plain <= sizes + 1000


def test_a_batch_collects_for_each_of_its_submissions(api: Api, executor: object) -> None:
    bodies = [WRITING.body("run", collect=["report.json"], wait=True), WRITING.body("run")]
    reply = api.call("POST", "/executions/batch", {"submissions": bodies, "wait": True})
    items = json.loads(b"".join(reply))["items"]
    first, second = (item["execution"]["files"] for item in items)
    assert [file["path"] for file in first] == ["report.json"]
    assert second is None


def test_unnamed_files_are_swept_when_they_are_old(done: Any, settings: Settings) -> None:
    """A file whose executor died before it could write the row."""
    writer = collected_files.Writer()
    writer.write(b"orphan")
    writer.keep(orphan := hashlib.sha256(b"orphan").hexdigest())
    torn = collected_files.Writer()
    torn.write(b"torn")
    parts = Path(settings.STENCIL_DATA) / "collected/parts"
    assert collected_files.sweep() == 0
    long_ago = time.time() - 2 * collected_files.GRACE_SECONDS
    for at in (Path(settings.STENCIL_DATA) / "collected").glob("*/*"):
        os.utime(at, (long_ago, long_ago))
    assert collected_files.sweep() == 1
    assert orphan not in stored()
    assert len(stored()) == 3
    assert list(parts.iterdir()) == []
    torn.drop()


def test_a_file_that_is_given_again_counts_as_new(done: Any, settings: Settings) -> None:
    """Between its sight by one executor and its row, `sweep` of another must not remove it."""
    CollectedFile.objects.all().delete()
    long_ago = time.time() - 2 * collected_files.GRACE_SECONDS
    for at in (Path(settings.STENCIL_DATA) / "collected").glob("??/*"):
        os.utime(at, (long_ago, long_ago))
    writer = collected_files.Writer()
    writer.write(PNG)
    writer.keep(hashlib.sha256(PNG).hexdigest())
    assert collected_files.sweep() == 2
    assert stored() == [hashlib.sha256(PNG).hexdigest()]


def test_a_lost_content_is_said(api: Api, done: Any, settings: Settings) -> None:
    for at in (Path(settings.STENCIL_DATA) / "collected").glob("??/*"):
        at.unlink()
    shown = api.get(f"/executions/{done['id']}")["files"][0]
    assert (shown["content"], shown["truncated"]) == (None, True)
    reply = api.call("GET", shown["url"].removeprefix("/api/v1"))
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_file")
