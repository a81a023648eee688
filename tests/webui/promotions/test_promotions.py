"""Test promotion in the dashboard: confirmations, refusals, receipts, overrides and the policy."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from templatemgr.models import AuditEvent, Promotion, Template
from templatemgr.promotion import gates, promotions
from tests.factories import make_promotion_row, make_template_row, make_version_row, package_list

PAGE = "/templates/typescript"
BROKEN = [{"case": "run", "state": "failed", "ok": False, "ms": 3.0}]


def two_versions(**second: Any) -> Template:
    """Return a template whose first version is current, with a second version to promote."""
    template = make_template_row()
    make_promotion_row(make_version_row(template))
    make_version_row(template, **second)
    return Template.objects.get()


def current() -> int | None:
    version = Template.objects.get().current
    return version.number if version else None


@pytest.mark.parametrize(("act", "about"), [("pin", ""), ("rollback", "-typescript-1")])
def test_acts_have_a_page_of_their_own_and_a_dialog(admin: Client, act: str, about: str) -> None:
    template = make_template_row()
    for _ in range(2):
        make_promotion_row(make_version_row(template))
    page = admin.get(PAGE).text
    assert f'href="{PAGE}/ask/{act}" data-dialog="confirm-{act}{about}"' in page
    assert f'<dialog id="confirm-{act}{about}"' in page
    assert f'<h2 id="confirm-{act}{about}-title">' in page
    asked = admin.get(f"{PAGE}/ask/{act}").text
    assert 'name="reason"' in asked
    assert f'action="{PAGE}/{act}"' in asked


@pytest.mark.parametrize("path", ["/", "/templates", PAGE, f"{PAGE}/versions/2"])
def test_the_way_back_stands_wherever_the_current_version_does(
    admin: Client, viewer: Client, path: str
) -> None:
    template = make_template_row()
    for _ in range(2):
        make_promotion_row(make_version_row(template))
    link = f'href="{PAGE}/ask/rollback" data-dialog="confirm-rollback-typescript-1"'
    page = admin.get(path).text
    assert link in page
    assert f'action="{PAGE}/rollback"' in page
    seen = viewer.get(path).text
    assert link not in seen
    assert f'action="{PAGE}/rollback"' not in seen
    promotions.pin(template="typescript", actor="ops", reason="exam week")
    assert link not in admin.get(path).text


def test_each_of_several_templates_has_a_way_back_of_its_own(admin: Client) -> None:
    for name in ("python", "typescript"):
        template = make_template_row(name)
        for _ in range(2):
            make_promotion_row(make_version_row(template))
    make_promotion_row(make_version_row(make_template_row("javascript")))
    page = admin.get("/templates").text
    for name in ("python", "typescript"):
        assert f'<dialog id="confirm-rollback-{name}-1"' in page
        assert f'action="/templates/{name}/rollback"' in page
    assert "confirm-rollback-javascript" not in page


def test_unpinning_says_who_holds_it(admin: Client) -> None:
    two_versions()
    promotions.pin(template="typescript", actor="ops", reason="exam week")
    assert "Pinned by ops: “exam week”." in admin.get(f"{PAGE}/ask/unpin").text
    assert 'data-dialog="confirm-unpin"' in admin.get(PAGE).text
    assert "unpin it first" in admin.get(f"{PAGE}/ask/rollback").text


def test_an_act_that_does_not_exist_is_not_found(admin: Client) -> None:
    make_template_row()
    assert admin.get(f"{PAGE}/ask/explode").status_code == 404


def test_who_may_not_is_not_even_asked(viewer: Client) -> None:
    two_versions()
    for act in ("pin", "unpin", "rollback"):
        assert viewer.get(f"{PAGE}/ask/{act}").status_code == 403
    assert viewer.get(f"{PAGE}/versions/2/removal").status_code == 403
    assert '<dialog id="confirm-' not in viewer.get(PAGE).text


@pytest.mark.parametrize("act", ["pin", "unpin", "rollback"])
def test_a_refused_act_keeps_the_typed_reason(admin: Client, act: str) -> None:
    two_versions()
    if act == "unpin":
        promotions.pin(template="typescript", actor="ops", reason="exam week")
    typed = "kept <b>words</b> " + "x" * 500
    answer = admin.post(f"{PAGE}/{act}", {"reason": typed, "expected_current": "1"})
    assert answer.status_code == 409
    assert "A reason is needed" in answer.text or "No earlier version" in answer.text
    if act != "rollback":  # there is no version to roll back to
        assert "kept &lt;b&gt;words&lt;/b&gt; xxx" in answer.text
    assert not AuditEvent.objects.filter(action=f"template.{act}").exclude(actor="ops").exists()


def test_a_refused_roll_back_keeps_the_typed_reason(admin: Client) -> None:
    template = make_template_row()
    for _ in range(2):
        make_promotion_row(make_version_row(template))
    answer = admin.post(f"{PAGE}/rollback", {"reason": "typed words", "expected_current": "1"})
    assert answer.status_code == 409
    assert "typed words</textarea>" in answer.text
    assert "is on version 2, not 1" in answer.text


# Receipts


def test_a_receipt_names_the_change_and_undoes_it_in_one_click(admin: Client) -> None:
    two_versions(packages=package_list(vitest="6.0.0"))
    form = {"version": "2", "expected_current": "1", "reason": "vitest 6"}
    text = admin.post(f"{PAGE}/promote", form, follow=True).text
    event = AuditEvent.objects.get(action="version.promote")
    for words in ("TypeScript 1 → 2", "“vitest 6”", "1 package, 1 major", event.hash[:16]):
        assert words in text
    assert f'action="{PAGE}/rollback"' in text
    assert "2 misbehaves</textarea>" in text  # one click is enough
    undo = {"expected_current": "2", "reason": "2 misbehaves"}
    back = admin.post(f"{PAGE}/rollback", undo, follow=True).text
    assert "TypeScript 2 → 1" in back
    assert "rolled back" in back
    assert f'href="{PAGE}/compare/1/2#promote"' in back
    assert current() == 1


def test_an_older_receipt_names_later_changes_and_undoes_nothing(admin: Client) -> None:
    two_versions()
    first = Promotion.objects.get()
    promotions.promote(template="typescript", version=2, actor="ops", reason="newer")
    text = admin.get(f"{PAGE}/promotions/{first.pk}").text
    assert "when ops moved to 2" in text
    assert "Another version became current since." in text
    assert f'action="{PAGE}/rollback"' not in text


def test_viewers_read_receipts_and_undo_nothing(viewer: Client) -> None:
    two_versions()
    promotions.promote(template="typescript", version=2, actor="ops", reason="newer")
    text = viewer.get(f"{PAGE}/promotions/{Promotion.objects.latest('pk').pk}").text
    assert "“newer”" in text
    assert f'action="{PAGE}/rollback"' not in text


def test_a_receipt_of_another_template_is_not_found(admin: Client) -> None:
    two_versions()
    make_template_row("python", title="Python")
    pk = Promotion.objects.get().pk
    assert admin.get(f"/templates/python/promotions/{pk}").status_code == 404
    assert admin.get(f"{PAGE}/promotions/999").status_code == 404


def test_promotions_come_by_pages(
    admin: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    template = make_template_row()
    versions = [make_version_row(template) for _ in range(2)]
    for turn in range(120):
        make_promotion_row(versions[turn % 2], f"turn {turn}.")
    with django_assert_max_num_queries(19):
        first = admin.get(f"{PAGE}/promotions").text
    assert "turn 119." in first
    assert "turn 69." not in first
    oldest = Promotion.objects.order_by("-pk")[49].pk
    assert f'href="?before={oldest}"' in first
    assert "turn 69." in admin.get(f"{PAGE}/promotions?before={oldest}").text
    with django_assert_max_num_queries(19):
        page = admin.get(PAGE).text
    assert page.count("<rect") > 50  # the band of current versions
    assert page.count('class="card-row period') == 5  # four stretches and the band's own row


# Overriding and the policy


def test_an_admin_overrides_a_gate_that_may_be_and_the_receipt_names_it(admin: Client) -> None:
    two_versions(smoke=BROKEN)
    text = admin.get(f"{PAGE}/compare/1/2").text
    assert 'name="override" value="1" required' in text
    form = {"version": "2", "expected_current": "1", "reason": "known"}
    assert admin.post(f"{PAGE}/promote", form).status_code == 409
    receipt = admin.post(f"{PAGE}/promote", form | {"override": "1"}, follow=True).text
    assert '<span class="pill warn">smoke</span> failed: run' in receipt
    event = AuditEvent.objects.get(action="version.promote")
    assert event.details["overridden"] == {"smoke": "failed: run"}


def test_a_user_who_may_not_override_is_refused_with_a_reason(releaser: Client) -> None:
    two_versions(smoke=BROKEN)
    text = releaser.get(f"{PAGE}/compare/1/2").text
    assert 'name="override"' not in text
    assert "Overriding it needs the role admin." in text
    form = {"version": "2", "reason": "known", "override": "1"}
    assert releaser.post(f"{PAGE}/promote", form).status_code == 403
    assert current() == 1


def test_essential_gates_are_not_offered_to_be_overridden(admin: Client) -> None:
    two_versions(health="quarantined")
    text = admin.get(f"{PAGE}/compare/1/2").text
    assert 'name="override"' not in text
    assert '<button class="button primary" disabled>' in text


def test_the_policy_shows_required_gates_and_their_history(admin: Client) -> None:
    two_versions(smoke=BROKEN)
    text = admin.get(f"{PAGE}/policy").text
    assert text.count("it cannot be overridden") == 3
    assert 'value="smoke" checked>' in text
    answer = admin.post(f"{PAGE}/policy/set", {"reason": "flaky case"}, follow=True)
    assert "“flaky case” · ada" in answer.text
    assert 'value="smoke">' in answer.text
    assert gates.required(template=Template.objects.get()) == gates.ESSENTIAL
    compared = admin.get(f"{PAGE}/compare/1/2").text
    assert '<span class="pill warn">advice</span>' in compared
    assert '<button class="button primary">Promote 2</button>' in compared
    admin.post(f"{PAGE}/policy/set", {"required": ["smoke", "origins"], "reason": "corrected"})
    assert Template.objects.get().policy == {}  # all of them, also those that come later


def test_a_policy_without_a_reason_keeps_the_ticked_boxes(admin: Client) -> None:
    two_versions()
    answer = admin.post(f"{PAGE}/policy/set", {"reason": " "})
    assert answer.status_code == 409
    assert "A reason is needed" in answer.text
    assert 'value="smoke">' in answer.text
    assert Template.objects.get().policy == {}


def test_a_gate_that_does_not_exist_is_refused(admin: Client) -> None:
    two_versions()
    form = {"required": ["moon"], "reason": "x"}
    assert "No such gate: moon" in admin.post(f"{PAGE}/policy/set", form).text


def test_others_read_the_policy_and_do_not_change_it(releaser: Client) -> None:
    two_versions()
    text = releaser.get(f"{PAGE}/policy").text
    assert "needs the role admin" in text
    assert 'name="reason"' not in text
    assert releaser.post(f"{PAGE}/policy/set", {"reason": "x"}).status_code == 403


# The current version that a form expects


@pytest.mark.parametrize("seen", ["x", "-1", "9" * 5000, "\u0662", "2147483648"])
@pytest.mark.parametrize("act", ["promote", "rollback"])
def test_an_expectation_that_cannot_be_read_is_not_left_out(
    admin: Client, act: str, seen: str
) -> None:
    template = two_versions()
    make_promotion_row(make_version_row(template))
    form = {"version": "2", "reason": "x", "expected_current": seen}
    assert admin.post(f"{PAGE}/{act}", form).status_code in {302, 409}
    assert current() == 3
    form["expected_current"] = " 3 "
    admin.post(f"{PAGE}/{act}", form)
    assert current() in {1, 2}
