"""Test how the page of an execution shows files that came back, and that none is active content."""

import hashlib
from typing import Any

import pytest
from django.test import Client

from execapp.models import CollectedFile, Execution
from execapp.services import collected_files
from tests import factories

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
WEBP = b"RIFF\0\0\0\0WEBPVP8 "
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
FILES = {
    "out/plot.png": PNG,
    "evil.png": SVG,
    "evil.svg": SVG,
    "page.html": b"<script>alert(2)</script>",
    "table.csv": b'name,"<b>value</b>"\na,1\n"b,c",2\n',
    "long.csv": b"".join(b"%d,%d\n" % (n, n) for n in range(500)),
    "broken.csv": b'"' + b"x" * 60_000,
    "notes.txt": b"first\n<i>second</i>\n",
    "raw.bin": b"\xff\0",
    "empty.csv": b"",
}


def keep(data: bytes) -> str:
    writer, sha256 = collected_files.Writer(), hashlib.sha256(data).hexdigest()
    writer.write(data)
    writer.keep(sha256)
    return sha256


@pytest.fixture
def execution(admin: Client) -> Execution:
    """Return an execution that gave all files back."""
    version = factories.make_version_row(factories.make_template_row())
    factories.make_promotion_row(version)
    made = factories.make_execution_row(version, "succeeded", client="ada")
    made.collect = {"patterns": ["**"], "most_files": 64, "most_bytes": 10**7}
    made.save()
    for path, data in FILES.items():
        CollectedFile.objects.create(
            execution=made, path=path, size_bytes=len(data), sha256=keep(data)
        )
    return made


def shown(client: Client, execution: Execution) -> dict[str, Any]:
    context = client.get(f"/executions/{execution.pk}").context
    return {back.file.path: back for back in context["result"].files_back}


def test_each_kind_of_file_is_shown_in_its_way(admin: Client, execution: Execution) -> None:
    backs = shown(admin, execution)
    assert [path for path, back in backs.items() if back.picture] == ["out/plot.png"]
    table = backs["table.csv"]
    assert (table.header, table.rows) == (("name", "<b>value</b>"), (("a", "1"), ("b,c", "2")))
    assert len(backs["long.csv"].rows) == 50
    assert backs["long.csv"].note.startswith("The page shows the beginning")
    assert [line.text for line in backs["notes.txt"].lines] == ["first", "<i>second</i>"]
    assert backs["raw.bin"].note == "Not text: download it."
    for path in ("evil.png", "evil.svg", "page.html"):
        assert backs[path].lines, path


def test_no_content_becomes_markup_of_the_page(admin: Client, execution: Execution) -> None:
    page = admin.get(f"/executions/{execution.pk}").content.decode()
    for raw in ("<b>value", "<i>second", "alert(1)</script>", "<svg xmlns"):
        assert raw not in page
    assert "&lt;b&gt;value" in page


@pytest.mark.parametrize("path", FILES)
def test_a_download_is_an_attachment_of_no_type(
    admin: Client, execution: Execution, path: str
) -> None:
    sha256 = hashlib.sha256(FILES[path]).hexdigest()
    reply = admin.get(f"/executions/{execution.pk}/files/{sha256}")
    assert (reply.status_code, reply.content) == (200, FILES[path])
    assert reply["Content-Type"] == "application/octet-stream"
    assert reply["Content-Disposition"].startswith("attachment")
    assert reply["X-Content-Type-Options"] == "nosniff"
    assert reply["Content-Security-Policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize(("data", "media"), [(PNG, "image/png"), (WEBP, "image/webp")])
def test_pictures_are_known_by_their_first_bytes(
    admin: Client, execution: Execution, data: bytes, media: str
) -> None:
    row = CollectedFile(execution=execution, path="x", size_bytes=len(data), sha256=keep(data))
    row.save()
    reply = admin.get(f"/executions/{execution.pk}/pictures/{row.sha256}")
    assert (reply.status_code, reply["Content-Type"]) == (200, media)
    assert reply["X-Content-Type-Options"] == "nosniff"
    assert reply["Content-Security-Policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize("path", ["evil.png", "evil.svg", "page.html", "notes.txt"])
def test_what_is_no_safe_picture_is_never_served_as_one(
    admin: Client, execution: Execution, path: str
) -> None:
    sha256 = hashlib.sha256(FILES[path]).hexdigest()
    assert admin.get(f"/executions/{execution.pk}/pictures/{sha256}").status_code == 404


def test_files_have_the_reading_rights_of_their_execution(
    student: Client, execution: Execution
) -> None:
    sha256 = hashlib.sha256(PNG).hexdigest()
    for folder in ("files", "pictures"):
        address = f"/executions/{execution.pk}/{folder}/{sha256}"
        assert student.get(address).status_code == 404
        assert Client().get(address).status_code == 302


def test_a_lost_content_is_said_on_the_page(admin: Client, execution: Execution) -> None:
    row = CollectedFile(execution=execution, path="zz", size_bytes=1, sha256="0" * 64)
    row.save()
    assert "its content is lost" in admin.get(f"/executions/{execution.pk}").content.decode()
    assert admin.get(f"/executions/{execution.pk}/files/{'0' * 64}").status_code == 404
