"""Queries that are compiled once and run many times, for the hot path of submissions.

Django compiles the SQL of a query each time, which takes five times as long as the query in SQLite
(decision 0014). Here the SQL is kept, and values replace each `Param`. Everything else is Django's
own: how values are adapted, how rows become objects, and how queries are observed.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from django.db import connections, models
from django.db.models.sql import UpdateQuery
from django.db.models.sql.constants import ROW_COUNT


class Param(models.Expression):
    """The place of the value `name` in a query (default: the field's name).

    The field of `model` says how the value is adapted for the database.
    """

    def __init__(self, model: type[models.Model], field: str, name: str = "") -> None:
        super().__init__(output_field=model._meta.get_field(field))  # type: ignore[arg-type]
        self.name = name or field

    def as_sql(self, *_: object, **__: object) -> Any:
        """Return a placeholder, and this parameter in the place of its value."""
        return "%s", (self,)

    def adapted(self, values: Mapping[str, Any], connection: Any) -> Any:
        """Return this parameter's value in the form that the database takes."""
        return self.output_field.get_db_prep_save(values[self.name], connection)


class _Compiled:
    """A compiler of Django with its SQL kept. It belongs to one connection."""

    def __init__(self, compiler: Any) -> None:
        self.compiler = compiler
        self._sql, self._places = compiler.as_sql()

    @property
    def current(self) -> bool:
        """Return whether its connection is still the one of this thread."""
        return self.compiler.connection is connections[self.compiler.using]

    def bind(self, values: Mapping[str, Any]) -> None:
        """Set the values of the compiler's next run."""
        connection = self.compiler.connection
        bound = tuple(
            place.adapted(values, connection) if isinstance(place, Param) else place
            for place in self._places
        )
        self.compiler.as_sql = lambda *_, **__: (self._sql, bound)


class _PerThread:
    """A statement, compiled once for each thread, because connections belong to threads."""

    def __init__(self, compiler: Callable[[], Any]) -> None:
        self._compiler = compiler
        self._local = threading.local()

    def bound(self, values: Mapping[str, Any]) -> _Compiled:
        found: _Compiled | None = getattr(self._local, "found", None)
        if found is None or not found.current:
            found = self._local.found = _Compiled(self._compiler())
        found.bind(values)
        return found


# Decision 0014: only the path of a submission needs this speed.
class Prepared[M: models.Model, Row]:
    """A query; `build` returns it, with `Param` in its filters. KeyError for a missing value.

    It may use filters, joins, orders, slices, annotations and `values_list`; no prefetching.
    """

    def __init__(self, build: Callable[[], models.QuerySet[M, Row]]) -> None:
        self._build = build
        self._compiled = _PerThread(self._compiler)

    def _compiler(self) -> Any:
        queryset: Any = self._build()
        compiler = queryset.query.get_compiler(using=queryset.db)
        queryset.query.get_compiler = lambda *_, **__: compiler
        compiler.rows = queryset._iterable_class(queryset)
        return compiler

    def all(self, **values: Any) -> list[Row]:
        """Return every row for these values."""
        return list(self._compiled.bound(values).compiler.rows)

    def first(self, **values: Any) -> Row | None:
        """Return the first row or None. Slice in `build`, because every found row is read."""
        return next(iter(self.all(**values)), None)


class PreparedUpdate[M: models.Model]:
    """An UPDATE; `build` returns the rows and the new values, either with `Param` in them."""

    def __init__(
        self, build: Callable[[], tuple[models.QuerySet[M], Mapping[str, models.Expression]]]
    ) -> None:
        self._build = build
        self._compiled = _PerThread(self._compiler)

    def _compiler(self) -> Any:
        rows, changes = self._build()
        query: Any = rows.query.chain(UpdateQuery)
        query.add_update_values(dict(changes))
        return query.get_compiler(using=rows.db)

    def run(self, **values: Any) -> int:
        """Change the rows; return how many."""
        return int(self._compiled.bound(values).compiler.execute_sql(ROW_COUNT) or 0)
