"""Test the triggers of append-only tables, and the system check that misses them."""

import pytest
from django.db import IntegrityError, connection

from core.append_only import AppendOnlyError
from core.database import triggers
from templatemgr.models import AuditEvent, Promotion, Version
from templatemgr.promotion import promotions
from tests.templatemgr.conftest import MakeSealedVersion

pytestmark = pytest.mark.usefixtures("data_dir", "committed")


@pytest.fixture
def version(make_sealed_version: MakeSealedVersion) -> Version:
    """Return a promoted version, so that each append-only table has a row."""
    made = make_sealed_version({"a": "1"})
    promotions.promote(template="fake", version=1, actor="ann", reason="first")
    return made


@pytest.mark.parametrize("table", triggers.TABLES)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {table} SET id = id",
        "DELETE FROM {table}",
        "INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
    ],
)
def test_the_database_refuses_changes_of_a_row(
    version: Version, table: str, statement: str
) -> None:
    with (
        pytest.raises(IntegrityError, match="is append-only"),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format(table=table))


def test_the_models_refuse_before_the_database_does(version: Version) -> None:
    version.size_bytes = 0
    promotion = Promotion.objects.get()
    for act in (
        version.save,
        version.delete,
        promotion.delete,
        Version.objects.all().delete,
        AuditEvent.objects.all().delete,
        lambda: Version.objects.update(size_bytes=0),
        lambda: Version.objects.bulk_update([version], ["size_bytes"]),
        lambda: Promotion.objects.filter(pk=promotion.pk).update(reason="x"),
    ):
        with pytest.raises(AppendOnlyError):
            act()


def test_a_missing_trigger_is_an_error_with_a_hint() -> None:
    assert triggers.check_triggers(databases=["default"]) == []
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER templatemgr_version_refuse_delete")
    (found,) = triggers.check_triggers(databases=["default"])
    assert found.id == "templatemgr.E001"
    assert "templatemgr_version_refuse_delete" in found.msg
    assert found.hint == "Run `manage.py migrate`: it installs them again."
    triggers.install(connection)
    assert triggers.check_triggers(databases=["default"]) == []


def test_triggers_that_do_not_recurse_are_an_error() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA recursive_triggers=OFF")
    try:
        (found,) = triggers.check_triggers(databases=["default"])
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA recursive_triggers=ON")
    assert found.id == "templatemgr.E003"


def test_without_a_database_named_nothing_is_looked_at() -> None:
    assert triggers.check_triggers(databases=None) == []
