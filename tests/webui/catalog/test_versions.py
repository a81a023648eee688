"""Test the page of a version, its verification, and comparisons."""

from django.test import Client
from pytest_django import DjangoAssertNumQueries

from templatemgr import data_paths
from templatemgr.models import AuditEvent, Verification, VersionHealth
from tests.factories import make_promotion_row, make_template_row, make_version_row, package_list

PAGE = "/templates/typescript"


def test_version_shows_its_digests_packages_and_smoke_cases(admin: Client) -> None:
    version = make_version_row(make_template_row())
    text = admin.get(f"{PAGE}/versions/1").text
    for words in (
        version.identity,
        version.tree_digest,
        "linux-x64-glibc",
        "vitest",
        "412 ms",
        "3,914 files match",
        f"/builds/{version.build_id}",
    ):
        assert words in text


def test_quarantined_version_names_its_problems(admin: Client) -> None:
    problems = [{"path": f"node_modules/a/{n}.js", "problem": "changed"} for n in range(60)]
    version = make_version_row(make_template_row(), health="quarantined", problems=problems)
    make_promotion_row(version)
    text = admin.get(f"{PAGE}/versions/1").text
    assert "node_modules/a/0.js" in text
    assert "and 10 more" in text
    assert "is quarantined and is not served" in text
    assert "is quarantined and is not served" in admin.get(PAGE).text


def test_unknown_version_is_not_found(admin: Client) -> None:
    make_version_row(make_template_row())
    for path in ("versions/9", "compare/1/9", "compare/9/1"):
        assert admin.get(f"{PAGE}/{path}").status_code == 404
    assert admin.post(f"{PAGE}/versions/9/verify").status_code == 404


def test_verify_is_queued_and_the_page_shows_how_far_it_is(admin: Client) -> None:
    version = make_version_row(make_template_row())
    answer = admin.post(f"{PAGE}/versions/1/verify", follow=True)
    assert answer.redirect_chain == [(f"{PAGE}/versions/1", 302)]
    assert "A verification is waiting for an executor. Requested by ada" in answer.text
    found = Verification.objects.get()
    assert (found.version, found.state, found.requested_by) == (version, "queued", "ada")
    assert not AuditEvent.objects.filter(action="version.verify").exists()
    Verification.objects.update(
        state="running", files_total=40, files_done=10, bytes_total=4000, bytes_done=1000
    )
    fragment = admin.get(f"{PAGE}/versions/1/verification", headers={"HX-Request": "true"})
    assert 'value="25"' in fragment.text
    assert "10 files of 40 read again" in fragment.text
    assert "HX-Refresh" not in fragment.headers
    Verification.objects.update(state="healed", problems=2)
    fragment = admin.get(f"{PAGE}/versions/1/verification", headers={"HX-Request": "true"})
    assert "found 2 problems and healed the version" in fragment.text
    assert fragment.headers["HX-Refresh"] == "true"
    answer = admin.post(f"{PAGE}/versions/1/verify", {"back": "template"})
    assert answer.headers["Location"] == PAGE


def test_viewers_cannot_verify(viewer: Client) -> None:
    make_version_row(make_template_row())
    assert "Verify" not in viewer.get(f"{PAGE}/versions/1").text
    assert viewer.post(f"{PAGE}/versions/1/verify").status_code == 403
    assert not AuditEvent.objects.exists()


def test_comparison_with_current_is_where_it_is_promoted(admin: Client) -> None:
    template = make_template_row()
    make_promotion_row(make_version_row(template))
    make_version_row(template, packages=package_list(vitest="6.0.0", vite="8.0.0"), file_count=3933)
    text = admin.get(f"{PAGE}/compare/1/2").text
    assert "Promote TypeScript 1 → 2" in text
    assert "1 major" in text
    assert "1 added" in text
    assert "19 more than in 1" in text
    assert "5 of 5" in text
    assert "undo: roll back to 1" in text
    assert '<button class="button primary">Promote 2</button>' in text


def test_comparison_of_others_leads_to_their_promotion(admin: Client) -> None:
    template = make_template_row()
    for _ in range(3):
        version = make_version_row(template)
    make_promotion_row(version)
    text = admin.get(f"{PAGE}/compare/1/2").text
    assert "Compare TypeScript 1 → 2" in text
    assert f"{PAGE}/compare/3/2" in text
    assert 'name="reason"' not in text


def test_first_promotion_is_compared_with_nothing(admin: Client) -> None:
    make_version_row(make_template_row())
    text = admin.get(f"{PAGE}/compare/0/1").text
    assert "3 added" in text
    assert "undo" not in text


def test_closed_gate_says_why_and_disables_the_act(releaser: Client) -> None:
    template = make_template_row()
    make_promotion_row(make_version_row(template))
    smoke = [{"case": "run", "state": "failed", "ok": False, "ms": 3.0}]
    make_version_row(template, smoke=smoke)
    text = releaser.get(f"{PAGE}/compare/1/2").text
    assert "4 of 5" in text
    assert "failed: run" in text
    assert '<button class="button primary" disabled>' in text


def test_viewers_compare_and_cannot_promote(viewer: Client) -> None:
    template = make_template_row()
    make_promotion_row(make_version_row(template))
    make_version_row(template)
    text = viewer.get(f"{PAGE}/compare/1/2").text
    assert "Gates" in text
    assert 'name="reason"' not in text


def test_comparison_shows_the_lines_of_the_definition_that_moved(admin: Client) -> None:
    template = make_template_row()
    for pin in ("8.3.8", "9.0.0"):
        version = make_version_row(template)
        inputs = data_paths.version(version) / "inputs"
        inputs.mkdir(parents=True)
        (inputs / "package.json").write_text(f'{{"vite": "{pin}"}}\n')
    text = admin.get(f"{PAGE}/compare/1/2").text
    assert "package.json, 1 line" in text
    assert "+{&quot;vite&quot;: &quot;9.0.0&quot;}" in text


def test_pages_cost_a_fixed_number_of_queries(
    admin: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    template = make_template_row()
    for number in range(1, 31):
        make_version_row(template, number)
    make_promotion_row(template.versions.get(number=1))
    for path in ("versions/30", "compare/1/30"):
        with django_assert_max_num_queries(19):
            assert admin.get(f"{PAGE}/{path}").status_code == 200


def test_any_two_versions_are_chosen_to_be_compared(admin: Client) -> None:
    template = make_template_row()
    assert "No versions yet" in admin.get(f"{PAGE}/compare").text
    for _ in range(3):
        make_version_row(template)
    text = admin.get(f"{PAGE}/compare?new=2").text
    assert '<option value="2" selected>2, built' in text
    assert admin.get(f"{PAGE}/compare?old=3&new=1")["Location"] == f"{PAGE}/compare/3/1"


def test_a_comparison_that_cannot_read_the_files_says_so(admin: Client) -> None:
    template = make_template_row()
    for _ in range(2):
        make_version_row(template)
    text = admin.get(f"{PAGE}/compare/1/2").text
    assert "cannot be read" in text
    assert "Packages are shown from the record" in text


def test_removal_names_the_obstacles(admin: Client) -> None:
    make_promotion_row(make_version_row(make_template_row()))
    text = admin.get(f"{PAGE}/versions/1/removal").text
    assert "It cannot be removed: it is current" in text
    assert 'name="reason"' not in text
    answer = admin.post(f"{PAGE}/versions/1/remove", {"reason": "typed words"})
    assert answer.status_code == 409
    assert VersionHealth.objects.get().state == "verified"


def test_removal_reports_the_freed_space_and_the_way_back(admin: Client) -> None:
    version = make_version_row(make_template_row())
    tree = data_paths.version(version) / "tree"
    tree.mkdir(parents=True)
    (tree / "big.js").write_bytes(b"x" * 2_000_000)
    (tree / "shared.js").write_bytes(b"y" * 1_000_000)
    for other in ("object", "another"):
        (data_paths.data() / other).hardlink_to(tree / "shared.js")
    asked = admin.get(f"{PAGE}/versions/1/removal").text
    assert "This frees about 2.0 MB" in asked
    refused = admin.post(f"{PAGE}/versions/1/remove", {"reason": ""})
    assert (refused.status_code, tree.exists()) == (409, True)
    text = admin.post(f"{PAGE}/versions/1/remove", {"reason": "unused"}, follow=True).text
    assert not tree.exists()
    assert "Version 1 is removed: 2.0 MB are free again." in text
    assert "was removed from the disk: “unused”" in text
    assert "Rebuild it" in text
    assert "it was removed already" in admin.get(f"{PAGE}/versions/1/removal").text


def test_healing_reads_the_version_again(admin: Client, viewer: Client) -> None:
    make_version_row(
        make_template_row(), health="quarantined", problems=[{"path": "a", "problem": "x"}]
    )
    assert f'action="{PAGE}/versions/1/heal"' in admin.get(f"{PAGE}/versions/1").text
    assert ">Heal<" not in viewer.get(f"{PAGE}/versions/1").text
    assert viewer.post(f"{PAGE}/versions/1/heal").status_code == 403
    text = admin.post(f"{PAGE}/versions/1/heal", follow=True).text
    assert "is verified again; damage is then healed" in text
    assert Verification.objects.get().heal


def test_current_version_offers_the_way_back(admin: Client) -> None:
    template = make_template_row()
    for _ in range(2):
        make_promotion_row(make_version_row(template))
    assert "Roll back to 1" in admin.get(f"{PAGE}/versions/2").text
    assert "Roll back to" not in admin.get(f"{PAGE}/versions/1").text
