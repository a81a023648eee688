"""Test the forms that request a build: its kinds, the packages to update, edits of the inputs."""

import io
import json
import shutil
import tarfile
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from templatemgr import data_paths, store
from templatemgr.builders import native, registry
from templatemgr.builders.base import Candidate
from templatemgr.definitions import source_files
from templatemgr.models import Build, Lookup, Template, Version
from tests import factories
from tests.factories import make_build_row, make_promotion_row, make_template_row, make_version_row
from webui.builds import update_offers

PAGE = "/templates/typescript/new"
EDIT = "/templates/typescript/edit"


@pytest.fixture
def definition(tmp_path: Path, settings: Settings) -> Path:
    """Return the real definition in a temporary folder, with its template row."""
    folder = tmp_path / "definitions" / "typescript"
    shutil.copytree(settings.STENCIL_DEFINITIONS, folder.parent)
    settings.STENCIL_DEFINITIONS = folder.parent
    make_template_row()
    return folder


def keep_inputs(version: Version, source: Path) -> Path:
    """Copy a definition to where a build stores the inputs of this version; return the folder."""
    folder = data_paths.version(version) / "inputs"
    store.copy(source_files.locate(source), folder)
    return folder


def answer(**moved: tuple[str, str]) -> Lookup:
    """Make a finished lookup: name → (wanted, latest); 1.0.0 is installed."""
    digest = source_files.digest(Path(settings.STENCIL_DEFINITIONS) / "typescript")
    rows = [
        Candidate(
            name=name,
            installed="1.0.0",
            wanted=wanted,
            latest=latest,
            direct=name != "deep",
        )
        for name, (wanted, latest) in moved.items()
    ]
    return factories.make_lookup_row(
        Template.objects.get(),
        digest=digest,
        state="done",
        candidates=[asdict(row) for row in rows],
        finished_at=timezone.now(),
    )


def files(**texts: str) -> dict[str, str]:
    """Return the fields of an edit; each keyword is the short name of a file."""
    names = {"package": "package.json", "toml": "template.toml", "ts": "tsconfig.json"}
    return {f"file:{names[key]}": text for key, text in texts.items()}


def digest_of(folder: Path) -> str:
    return source_files.digest(folder)


@pytest.mark.parametrize("kind", ["rebuild", "refresh", "update", "edit", "nonsense", ""])
def test_every_kind_is_offered_from_the_definition_and_from_versions(
    admin: Client, definition: Path, kind: str
) -> None:
    make_promotion_row(make_version_row(Template.objects.get()))
    text = admin.get(f"{PAGE}?kind={kind}").text
    for title in ("Rebuild", "Refresh", "Update", "Edit", "the definition folder"):
        assert title in text
    assert "version 1, current" in text
    shown = kind if kind in {"refresh", "update", "edit"} else "rebuild"
    assert text.count('aria-current="page"') == 2  # the rail's, and the kind's
    assert f'?kind={shown}" aria-current="page"' in text


def test_viewers_neither_see_the_page_nor_build(viewer: Client, definition: Path) -> None:
    assert viewer.get(PAGE).status_code == 403
    assert f'href="{PAGE}' not in viewer.get("/templates/typescript").text
    assert viewer.post("/templates/typescript/builds", {"kind": "rebuild"}).status_code == 403
    assert viewer.post(EDIT, {"do": "build"}).status_code == 403
    assert viewer.post("/templates/typescript/lookups").status_code == 403
    assert not Build.objects.exists()
    assert not Lookup.objects.exists()


def test_inputs_that_cannot_be_read_leave_other_versions_to_choose(
    admin: Client, definition: Path
) -> None:
    (definition / "template.toml").write_text("nonsense")
    response = admin.get(f"{PAGE}?kind=edit")
    assert response.status_code == 200
    assert "cannot be read" in response.text
    assert "These inputs cannot be read" in response.text
    posted = admin.post(EDIT, {"do": "preview"})
    assert (posted.status_code, "cannot be read" in posted.text) == (409, True)
    part = admin.get("/templates/typescript/packages", headers={"HX-Request": "true"})
    assert part["HX-Redirect"] == f"{PAGE}?kind=update"


def test_unknown_versions_and_builds_are_not_found(admin: Client, definition: Path) -> None:
    assert admin.get(f"{PAGE}?from=9").status_code == 404
    assert admin.get(f"{PAGE}?again=nonsense").status_code == 404
    assert admin.post("/templates/typescript/lookups", {"from_version": "9"}).status_code == 404


# Update


def test_the_page_asks_the_registry_by_itself_once(admin: Client, definition: Path) -> None:
    text = admin.get(f"{PAGE}?kind=update").text
    assert 'hx-post="/templates/typescript/lookups"' in text
    assert "No lookup yet" in text
    part = admin.post("/templates/typescript/lookups", headers={"HX-Request": "true"})
    assert part.text.startswith('<section class="card packages"')
    assert 'hx-get="/templates/typescript/packages" hx-trigger="every 1s"' in part.text
    assert "No executor is running" in part.text
    factories.make_heartbeat_row()
    assert "No executor is running" not in admin.get("/templates/typescript/packages").text
    assert Lookup.objects.get().requested_by == "ada"


def test_without_javascript_asking_leads_back_to_the_page(admin: Client, definition: Path) -> None:
    response = admin.post("/templates/typescript/lookups", {"from_version": ""})
    assert response["Location"] == f"{PAGE}?kind=update"


def test_newer_versions_are_offered_with_their_distance(admin: Client, definition: Path) -> None:
    answer(vitest=("1.2.0", "2.0.0"), vite=("1.0.0", "1.0.0"), deep=("1.0.1", "3.0.0"))
    text = admin.get(f"{PAGE}?kind=update").text
    assert "registry queried <time" in text
    assert 'name="move:vitest" value="vitest"' in text
    assert 'name="move:vitest" value="vitest@2.0.0"' in text
    assert 'name="move:deep" value="deep"' in text
    assert "deep@3.0.0" not in text  # package.json does not name it
    assert "excluded by the range of another package" in text
    assert "1 package is up to date" in text
    assert 'hx-trigger="every 1s"' not in text


def test_an_answer_about_other_inputs_is_not_shown(admin: Client, definition: Path) -> None:
    answer(vitest=("1.2.0", "2.0.0"))
    (definition / "tsconfig.json").write_text("{}\n")
    assert "vitest@2.0.0" not in admin.get(f"{PAGE}?kind=update").text


def test_everything_at_its_newest_says_so(admin: Client, definition: Path) -> None:
    answer(vitest=("1.0.0", "1.0.0"))
    assert "All packages are up to date" in admin.get(f"{PAGE}?kind=update").text


def test_a_registry_that_does_not_answer_says_why_and_can_be_asked_again(
    admin: Client, definition: Path
) -> None:
    lookup = answer()
    Lookup.objects.filter(pk=lookup.pk).update(state="failed", message="No network.\nSee doctor.")
    text = admin.get(f"{PAGE}?kind=update").text
    assert "No network.<br>See doctor." in text
    assert "Query the registry" in text


def test_without_an_answer_the_packages_of_the_version_are_offered_without_the_compiler(
    admin: Client, definition: Path
) -> None:
    template = Template.objects.get(name="typescript")
    compiler = native.packages({"_fork/node.so": ("_fork/node.c",)})
    packages = [*factories.package_list(), *(asdict(row) for row in compiler)]
    version = make_version_row(template, packages=packages)
    Template.objects.filter(pk=template.pk).update(current=version)
    lookup = answer()
    Lookup.objects.filter(pk=lookup.pk).update(state="failed", message="No network.")
    text = admin.get(f"{PAGE}?kind=update").text
    assert 'name="move:vitest"' in text
    assert "move:ziglang" not in text


def test_chosen_packages_reach_the_build(admin: Client, definition: Path) -> None:
    form = {
        "kind": "update",
        "from_version": "",
        "move:vitest": "vitest@5.2.0",
        "move:vite": "",
        "move:deep": "deep",
        "others": "zod, @types/node@26.0.0",
    }
    response = admin.post("/templates/typescript/builds", form)
    build = Build.objects.get()
    assert response["Location"] == f"/builds/{build.pk}"
    assert build.options == {"packages": ["vitest@5.2.0", "deep", "zod", "@types/node@26.0.0"]}
    assert "update of vitest@5.2.0, deep" in admin.get(f"/builds/{build.pk}").text


def test_a_refused_update_keeps_the_chosen_packages(admin: Client, definition: Path) -> None:
    answer(vitest=("1.2.0", "2.0.0"))
    form = {"kind": "update", "move:vitest": "vitest@2.0.0", "others": "no^name"}
    response = admin.post("/templates/typescript/builds", form)
    assert response.status_code == 409
    assert "is not a package" in response.text
    assert 'value="vitest@2.0.0" checked' in response.text
    assert 'value="no^name"' in response.text
    assert not Build.objects.exists()


def test_a_pip_templates_index_is_asked_when_the_page_opens(admin: Client, data_dir: Path) -> None:
    template = make_template_row("python", title="Python")
    make_promotion_row(
        make_version_row(template, packages=[{"name": "pytest", "version": "9.0.0"}])
    )
    assert "Query the registry" in admin.get("/templates/python/new?kind=update").text
    admin.post("/templates/python/lookups")
    assert Lookup.objects.get().template == template


def test_a_builder_without_lookups_still_updates_by_name(
    admin: Client, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "update_finder", {}.get)
    template = make_template_row("python", title="Python")
    make_promotion_row(
        make_version_row(template, packages=[{"name": "pytest", "version": "9.0.0"}])
    )
    text = admin.get("/templates/python/new?kind=update").text
    assert "Query the registry" not in text
    assert 'name="move:pytest" value="pytest"' in text
    assert admin.post("/templates/python/lookups").status_code == 302
    assert not Lookup.objects.exists()


def test_offers_put_the_farthest_direct_ones_first() -> None:
    rows = [("a", "1.0.1", True), ("b", "2.0.0", False), ("c", "2.0.0", True)]
    found = [
        Candidate(name=name, installed="1.0.0", wanted=wanted, latest=wanted, direct=direct)
        for name, wanted, direct in rows
    ]
    shown = update_offers.offers(found, [], ["c"])
    assert [offer.name for offer in shown.movable] == ["c", "a", "b"]
    assert [offer.stays for offer in shown.movable] == [False, True, True]


# Edit


def test_an_edit_begins_with_the_file_of_the_packages(admin: Client, definition: Path) -> None:
    text = admin.get(f"{PAGE}?kind=edit").text
    assert 'name="file:package.json"' in text
    assert "&quot;vitest&quot;" in text
    assert "vendor/ace/ace" in text
    assert "<option>template.toml</option>" in text
    asked = admin.get(f"{PAGE}?kind=edit&file=tsconfig.json&file=../../secret").text
    assert 'name="file:tsconfig.json"' in asked
    assert "secret" not in asked


def test_ace_is_loaded_where_it_is_used_alone(admin: Client, definition: Path) -> None:
    assert "vendor/ace" not in admin.get(f"{PAGE}?kind=update").text
    assert "vendor/ace" not in admin.get("/templates/typescript").text


def test_opening_another_file_keeps_the_edits(admin: Client, definition: Path) -> None:
    form = {"do": "open", "open": "tsconfig.json", **files(package='{"typed": 1}')}
    text = admin.post(EDIT, form).text
    assert "{&quot;typed&quot;: 1}" in text
    assert 'name="file:tsconfig.json"' in text
    assert "What you changed" not in text


def test_the_difference_is_shown_before_anything_is_built(admin: Client, definition: Path) -> None:
    before = (definition / "package.json").read_text()
    typed = before.replace('"5.1.1"', '"5.1.2"').replace("\n", "\r\n")  # as browsers send it
    form = {"do": "preview", "digest": digest_of(definition), **files(package=typed)}
    text = admin.post(EDIT, form).text
    assert '<span class="line diff-add">+    &quot;vitest&quot;: &quot;5.1.2&quot;</span>' in text
    assert text.count('class="line diff-add"') == 1
    assert 'class="button primary" name="do" value="build"' in text
    assert not Build.objects.exists()
    admin.post(EDIT, form | {"do": "build"})
    assert Build.objects.get().options == {
        "files": {"package.json": before.replace('"5.1.1"', '"5.1.2"')}
    }


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"toml": "format = 1\nnmae = 1\n"}, "template.toml"),
        ({"toml": "TOML"}, "must be the folder&#x27;s name"),
        ({}, "No file is changed yet."),
    ],
)
def test_a_wrong_edit_is_named_and_not_built(
    admin: Client, definition: Path, typed: dict[str, str], words: str
) -> None:
    toml = (
        (definition / "template.toml").read_text().replace('name = "typescript"', 'name = "other"')
    )
    given = {key: toml if text == "TOML" else text for key, text in typed.items()}
    form = {"do": "build", "digest": digest_of(definition), **files(**given)}
    response = admin.post(EDIT, form)
    assert response.status_code == 409
    assert words in response.text
    assert not Build.objects.exists()


def test_a_wrong_line_is_marked_beside_its_file(admin: Client, definition: Path) -> None:
    """Show number, key, remedy and the line; open the file if it is closed."""
    before = (definition / "package.json").read_text()
    typed = before.replace('"5.1.1"', '"git+https://h.example/<r>.git"')
    form = {"do": "build", "digest": digest_of(definition), **files(package=typed, ts="{}")}
    response = admin.post(EDIT, form)
    assert response.status_code == 409
    number = next(n for n, line in enumerate(typed.split("\n"), 1) if "git+" in line)
    assert f"Line {number}: <code>dependencies.vitest</code>" in response.text
    assert "git+https://h.example/&lt;r&gt;.git&quot;</pre>" in response.text
    assert "STENCIL_PACKAGE_SOURCES" in response.text
    assert response.text.count("aria-invalid") == 1
    assert f'aria-describedby="editor-fault-1" data-row="{number - 1}"' in response.text
    assert not Build.objects.exists()


def test_inputs_that_are_refused_now_name_the_line_to_edit(admin: Client, definition: Path) -> None:
    """The version was built under older rules. It runs, and a build from it needs an edit."""
    version = make_version_row(Template.objects.get())
    kept = keep_inputs(version, definition)
    (kept / ".npmrc").write_text("audit=false\nregistry=https://h.example/\n")
    response = admin.get(f"{PAGE}?kind=edit&from=1")
    assert 'name="file:.npmrc"' in response.text
    assert "Line 2: <code>registry</code>" in response.text
    url = "/templates/typescript/builds"
    assert admin.post(url, {"kind": "rebuild"}).status_code == 302  # the folder is as it should be
    refused = admin.post(url, {"kind": "rebuild", "from_version": "1"})
    assert refused.status_code == 409
    assert ".npmrc, line 2: registry" in refused.text
    assert "a build of kind edit" in refused.text
    form = {"do": "build", "from_version": "1", "digest": digest_of(kept), **files(ts="{}\n")}
    assert ".npmrc, line 2: registry" in admin.post(EDIT, form).text
    corrected = form | {"file:.npmrc": "audit=false\n"}
    assert admin.post(EDIT, corrected).status_code == 302


def test_files_that_changed_meanwhile_are_looked_at_again_first(
    admin: Client, definition: Path
) -> None:
    form = {"do": "build", "digest": digest_of(definition), **files(ts='{"a": 1}')}
    (definition / "package.json").write_text("{}\n")
    response = admin.post(EDIT, form)
    assert response.status_code == 409
    assert "The files changed since you opened them" in response.text
    form["digest"] = digest_of(definition)
    assert admin.post(EDIT, form).status_code == 302


def test_a_path_outside_of_the_inputs_is_refused(admin: Client, definition: Path) -> None:
    response = admin.post(EDIT, {"do": "build", "file:../planted": "x"})
    assert response.status_code == 409
    assert "../planted is not a file of the inputs any more." in response.text
    assert not Build.objects.exists()


def test_an_edit_starts_from_any_version(admin: Client, definition: Path) -> None:
    version = make_version_row(Template.objects.get())
    kept = keep_inputs(version, definition)
    (kept / "tsconfig.json").write_text('{"kept": true}\n')
    text = admin.get(f"{PAGE}?kind=edit&from=1&file=tsconfig.json").text
    assert "{&quot;kept&quot;: true}" in text
    form = {"do": "build", "from_version": "1", "digest": digest_of(kept), **files(ts="{}\n")}
    admin.post(EDIT, form)
    build = Build.objects.get(kind="edit")
    assert (build.from_version, build.options) == (version, {"files": {"tsconfig.json": "{}\n"}})


def test_an_edit_over_the_bytes_of_the_day_is_refused_and_stays_on_the_page(
    admin: Client, definition: Path, settings: Settings
) -> None:
    settings.STENCIL_CLIENT_BYTES_PER_DAY = 1_500
    form = {"do": "build", "digest": digest_of(definition), **files(ts="{}\n")}
    assert admin.post(EDIT, form).status_code == 302
    response = admin.post(EDIT, form)
    assert response.status_code == 409
    assert "of 1,500 a day" in response.text
    assert Build.objects.count() == 1
    settings.STENCIL_CLIENT_BYTES_PER_DAY = 0
    settings.STENCIL_FREE_BYTES = 10**15
    assert "must stay free" in admin.post(EDIT, form).text
    assert Build.objects.count() == 1


def test_a_failed_build_is_repeated_with_the_same_inputs(admin: Client, definition: Path) -> None:
    edit = make_build_row(
        Template.objects.get(), "failed", kind="edit", options={"files": {"tsconfig.json": "typed"}}
    )
    assert f'href="{PAGE}?again={edit.pk}"' in admin.get(f"/builds/{edit.pk}").text
    assert "\ntyped</textarea>" in admin.get(f"{PAGE}?again={edit.pk}").text
    update = make_build_row(
        Template.objects.get(), "failed", kind="update", options={"packages": ["vitest@9.9.9"]}
    )
    assert 'name="others" value="vitest@9.9.9"' in admin.get(f"{PAGE}?again={update.pk}").text
    assert admin.get(f"/templates/python/new?again={edit.pk}").status_code == 404


# Inputs as files


def test_inputs_of_a_version_download_as_files(admin: Client, definition: Path) -> None:
    version = make_version_row(Template.objects.get(), definition_digest=digest_of(definition))
    keep_inputs(version, definition)
    page = "/templates/typescript/versions/1/inputs"
    assert f'href="{page}.tar.gz"' in admin.get("/templates/typescript/versions/1").text
    packed = admin.get(f"{page}.tar.gz")
    assert packed["Content-Disposition"] == 'attachment; filename="typescript-1-inputs.tar.gz"'
    with tarfile.open(fileobj=io.BytesIO(packed.content)) as archive:
        names = archive.getnames()
        member = archive.extractfile("typescript/package.json")
        assert member is not None
        assert json.load(member)["name"] == "stencil-typescript"
    with zipfile.ZipFile(io.BytesIO(admin.get(f"{page}.zip").content)) as archive2:
        assert archive2.namelist() == names
        assert (
            archive2.read("typescript/tsconfig.json") == (definition / "tsconfig.json").read_bytes()
        )
    assert admin.get(f"{page}.zip").content == admin.get(f"{page}.zip").content
    assert admin.get(f"{page}.rar").status_code == 404


def test_damaged_inputs_are_not_handed_out(admin: Client, definition: Path) -> None:
    version = make_version_row(Template.objects.get(), definition_digest="0" * 64)
    keep_inputs(version, definition)
    response = admin.get("/templates/typescript/versions/1/inputs.zip")
    assert response.status_code == 409
    assert "damaged" in response.text


def test_two_hundred_versions_cost_no_more_queries(
    admin: Client, definition: Path, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    template = Template.objects.get()
    build = make_build_row(template)
    for number in range(1, 201):
        make_version_row(template, number, build=build)
    make_promotion_row(template.versions.get(number=200))
    answer(vitest=("1.2.0", "2.0.0"))
    for kind in ("rebuild", "update", "edit"):
        with django_assert_max_num_queries(19):
            assert admin.get(f"{PAGE}?kind={kind}").status_code == 200
