"""Models whose rows are inserted once and never changed.

`core.database.triggers` makes the database refuse changes, too.

Django calls `save`, `delete` and the query sets; each of them refuses a change.
"""

from collections.abc import Iterable
from typing import Any, NoReturn

from django.db import models


class AppendOnlyError(TypeError):
    """A row of an append-only table was about to be changed or deleted."""


class AppendOnlyQuerySet[M: models.Model](models.QuerySet[M]):
    """Rows that can only be added. Triggers in the database refuse changes, too."""

    def _refuse(self, act: str) -> NoReturn:
        message = f"{self.model.__name__} rows are append-only: {act} is refused."
        raise AppendOnlyError(message)

    def update(self, **_kwargs: Any) -> NoReturn:
        """Refuse."""
        self._refuse("update")

    def bulk_update(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse."""
        self._refuse("bulk_update")

    def delete(self) -> NoReturn:
        """Refuse."""
        self._refuse("delete")


class AppendOnlyManager[M: models.Model](models.Manager[M]):
    """The manager of an append-only model: its query sets refuse changes."""

    def get_queryset(self) -> AppendOnlyQuerySet[M]:
        """Return a query set that refuses changes."""
        return AppendOnlyQuerySet(self.model, using=self._db)


class AppendOnlyModel(models.Model):
    """A row that can be inserted once, and neither changed nor deleted."""

    class Meta:
        abstract = True

    def save(
        self,
        *,
        force_insert: bool | tuple[models.base.ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Insert; an existing row is refused with `AppendOnlyError`."""
        if not self._state.adding or force_update or update_fields is not None:
            message = f"{type(self).__name__} rows are append-only: a change is refused."
            raise AppendOnlyError(message)
        super().save(force_insert=force_insert or True, using=using)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse."""
        message = f"{type(self).__name__} rows are append-only: delete is refused."
        raise AppendOnlyError(message)
