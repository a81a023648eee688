"""Test that prepared queries return the rows of Django's own queries and are compiled once."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Count
from django.db.models.signals import post_save
from django.db.models.sql.compiler import SQLCompiler

from core.database import prepared
from core.database.prepared import Param, Prepared, PreparedInsert, PreparedUpdate
from execapp.models import ApiToken, ExecutionLabel
from templatemgr.models import Build, Template
from tests.factories import make_build_row, make_template_row

pytestmark = pytest.mark.django_db
MOMENT = datetime(2026, 11, 23, 9, 30, 0, 123456, tzinfo=UTC)


def by_name() -> Prepared[Template, Template]:
    return Prepared(
        lambda: Template.objects.filter(name=Param(Template, "name")).select_related("current")
    )


@pytest.fixture
def templates() -> list[Template]:
    return [
        make_template_row(name, title=name.title(), policy={"required": [name]})
        for name in ("lua", "perl", "zig")
    ]


def test_each_run_has_its_own_values(templates: list[Template]) -> None:
    query = by_name()
    for template in (*templates, *reversed(templates)):
        [found] = query.all(name=template.name)
        assert found == template
        assert (found.policy, found.created_at) == (template.policy, template.created_at)
    assert query.first(name="ada") is None
    assert query.all(name="' OR 1=1 --") == []


def test_it_is_compiled_once(templates: list[Template], monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []
    original = SQLCompiler.as_sql

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        compiled.append(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(SQLCompiler, "as_sql", counted)
    query = by_name()
    for template in templates:
        query.first(name=template.name)
    assert len(compiled) == 1


def test_nothing_is_asked_before_it_is_used(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        by_name()


def test_joined_rows_need_no_other_query(
    templates: list[Template], django_assert_num_queries: Any
) -> None:
    query = by_name()
    query.first(name="lua")
    with django_assert_num_queries(1):
        found = query.first(name="perl")
        assert found is not None
        assert found.current is None


def test_rows_may_be_values_and_counts(templates: list[Template]) -> None:
    names = Prepared(
        lambda: (
            Template.objects.filter(name__gt=Param(Template, "name"))
            .order_by("-name")
            .values_list("name", flat=True)[:2]
        )
    )
    assert names.all(name="lua") == ["zig", "perl"]
    assert names.all(name="perl") == ["zig"]
    counts = Prepared(
        lambda: Template.objects.order_by("title").values_list("title").annotate(n=Count("id"))
    )
    assert counts.all() == [("Lua", 1), ("Perl", 1), ("Zig", 1)]


def test_results_do_not_change_when_it_runs_again(templates: list[Template]) -> None:
    query = by_name()
    first = query.all(name="lua")
    query.all(name="perl")
    assert first == [templates[0]]


def test_a_missing_value_is_an_error(templates: list[Template]) -> None:
    with pytest.raises(KeyError, match="name"):
        by_name().all(title="Lua")


def test_an_update_changes_the_named_fields_and_counts_the_rows(templates: list[Template]) -> None:
    update = PreparedUpdate(
        lambda: (
            Template.objects.filter(name=Param(Template, "name", "which"), pinned_at=None),
            {name: Param(Template, name) for name in ("name", "policy", "pinned_at", "pin_reason")},
        )
    )
    values = {"policy": {"required": ["a", None, 1.5]}, "pinned_at": MOMENT, "pin_reason": "é'"}
    assert update.run(which="lua", name="lua2", **values) == 1
    assert update.run(which="lua", name="lua3", **values) == 0
    assert update.run(which="zig", name="zig", policy={}, pinned_at=None, pin_reason="") == 1
    changed = Template.objects.get(name="lua2")
    assert {name: getattr(changed, name) for name in values} == values
    assert Template.objects.get(name="zig").policy == {}
    assert Template.objects.get(name="perl").pinned_at is None


def test_keys_and_nulls_are_adapted_as_django_does(templates: list[Template]) -> None:
    build = make_build_row(templates[0], "queued")
    query = Prepared(lambda: Build.objects.filter(id=Param(Build, "id")))
    assert query.first(id=build.id) == build
    assert query.first(id=str(build.id)) == build
    assert query.first(id=uuid.uuid4()) is None


@pytest.mark.django_db(transaction=True)
def test_each_thread_has_its_own() -> None:
    names = [f"t{number}" for number in range(6)]
    for name in names:
        make_template_row(name, title=name)
    query = by_name()

    def look(name: str) -> bool:
        try:
            return all(row.name == name for _ in range(50) for row in query.all(name=name))
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as crowd:
        assert all(crowd.map(look, names))


def test_a_new_connection_has_a_new_one(
    templates: list[Template], monkeypatch: pytest.MonkeyPatch
) -> None:
    query = by_name()
    query.first(name="lua")
    kept = query._compiled._local.found
    query.first(name="lua")
    assert query._compiled._local.found is kept
    monkeypatch.setattr(prepared, "connections", {"default": object()})
    assert query.first(name="perl") == templates[1]
    assert query._compiled._local.found is not kept


def test_a_failed_run_does_not_spoil_the_next(templates: list[Template]) -> None:
    query = by_name()

    def refuse(*_: Any) -> Any:
        raise models.ObjectDoesNotExist

    with connection.execute_wrapper(refuse), pytest.raises(models.ObjectDoesNotExist):
        query.all(name="lua")
    assert query.first(name="lua") == templates[0]


def test_joined_and_annotated_rows_are_the_same_as_djangos(templates: list[Template]) -> None:
    build = make_build_row(templates[0], "queued")

    def rows() -> Any:
        rows = Build.objects.filter(template__name="lua").select_related("template", "version")
        return rows.annotate(n=Count("lines")).order_by("id")

    [found], [expected] = Prepared(rows).all(), list(rows())
    assert found == expected == build
    assert vars(found).keys() == vars(expected).keys()
    assert vars(found.template)["created_at"] == vars(expected.template)["created_at"]
    assert (found.n, found._state.db, found._state.adding) == (0, "default", False)


def test_rows_of_another_kind_are_refused(templates: list[Template]) -> None:
    query: Prepared[Any, Any] = Prepared(lambda: Template.objects.values("name"))
    with pytest.raises(TypeError, match="ValuesIterable"):
        query.all()


def make_token(name: str, **values: Any) -> ApiToken:
    given = {"name": name, "token_hash": name, "scopes": ["read", "é'"], "expires_at": MOMENT}
    return ApiToken(**given | values)


def test_an_insert_writes_what_save_writes(django_assert_num_queries: Any) -> None:
    insert = PreparedInsert(ApiToken)
    insert.run(make_token("first"))
    quick, slow = make_token("quick", created_by="é"), make_token("slow", created_by="é")
    with django_assert_num_queries(1):
        insert.run(quick)
    slow.created_at = quick.created_at
    slow.save(force_insert=True)
    assert (quick._state.adding, quick._state.db) == (False, "default")
    rows = [
        {**ApiToken.objects.filter(id=token.id).values()[0], "id": 0, "name": "", "token_hash": ""}
        for token in (quick, slow)
    ]
    assert rows[0] == rows[1]
    assert ApiToken.objects.get(id=quick.id).scopes == ["read", "é'"]


def test_an_insert_that_is_refused_raises_as_save_does() -> None:
    insert = PreparedInsert(ApiToken)
    insert.run(make_token("one"))
    again = make_token("two", token_hash="one")
    with pytest.raises(IntegrityError), transaction.atomic():
        insert.run(again)
    assert again._state.adding
    insert.run(make_token("three"))
    assert ApiToken.objects.count() == 2


def test_an_insert_refuses_models_that_need_more_of_save() -> None:
    with pytest.raises(TypeError, match="ExecutionLabel"):  # the database makes its key
        PreparedInsert(ExecutionLabel).run(ExecutionLabel())

    def receive(**_: Any) -> None: ...

    post_save.connect(receive, sender=ApiToken)
    try:
        with pytest.raises(TypeError, match="ApiToken"):
            PreparedInsert(ApiToken).run(make_token("heard"))
    finally:
        post_save.disconnect(receive, sender=ApiToken)
