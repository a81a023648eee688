"""Queries that are compiled once and run many times, for the hot path of submissions.

Django compiles the SQL of a query each time, which takes five times as long as the query in SQLite
(decision 0014). Here the SQL is kept with the converters of its columns (decision 0038), and values
replace each `Param`. Everything else is Django's own: how values are adapted and converted, how
rows become objects, and how queries are observed.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from django.db import connections, models, router
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    ValuesListIterable,
    get_related_populators,
)
from django.db.models.signals import post_save, pre_save
from django.db.models.sql import InsertQuery, UpdateQuery

_Row = Sequence[Any]


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


class _Statement:
    """A statement with its SQL kept. It belongs to one connection."""

    def __init__(self, compiler: Any) -> None:
        self.compiler, self.connection = compiler, compiler.connection
        self._sql, self._places = self._compile()

    def _compile(self) -> tuple[str, _Row]:
        sql, places = self.compiler.as_sql()
        return sql, places

    @property
    def current(self) -> bool:
        """Return whether its connection is still the one of this thread."""
        return self.connection is connections[self.compiler.using]

    def bound(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values in the order of the placeholders. KeyError for a missing one."""
        connection = self.connection
        return tuple(
            place.adapted(values, connection) if isinstance(place, Param) else place
            for place in self._places
        )

    def change(self, values: tuple[Any, ...]) -> int:
        """Run it; return how many rows it changed."""
        with self.connection.cursor() as cursor:
            cursor.execute(self._sql, values)
            return int(cursor.rowcount)

    def fetch(self, values: tuple[Any, ...]) -> list[_Row]:
        """Run it; return its rows as the database gives them."""
        with self.connection.cursor() as cursor:
            cursor.execute(self._sql, values)
            found: list[_Row] = cursor.fetchall()
            return found


class _Query(_Statement):
    """A query, and how its rows become the results."""

    def __init__(self, queryset: Any) -> None:
        super().__init__(queryset.query.get_compiler(using=queryset.db))
        expressions = [column[0] for column in self.compiler.select]
        found = self.compiler.get_converters(expressions)
        self._converters = [
            (position, expression, tuple(converters))
            for position, (converters, expression) in found.items()
        ]
        self._results = _results_of(queryset, self.compiler)

    def all(self, values: Mapping[str, Any]) -> list[Any]:
        """Return every result for these values."""
        return self._results(self._converted(self.fetch(self.bound(values))))

    def _converted(self, rows: list[_Row]) -> list[_Row]:
        """Return the rows with Python's values, as `SQLCompiler.apply_converters` does."""
        if not self._converters:
            return rows
        connection = self.connection
        converted: list[_Row] = []
        for each in rows:
            row = list(each)
            for position, expression, converters in self._converters:
                value = row[position]
                for converter in converters:
                    value = converter(value, expression, connection)
                row[position] = value
            converted.append(row)
        return converted


def _results_of(queryset: Any, compiler: Any) -> Callable[[list[_Row]], list[Any]]:
    """Return the function from rows to results for this kind of queryset."""
    kind = queryset._iterable_class
    if kind is FlatValuesListIterable:
        return lambda rows: list(map(itemgetter(0), rows))
    if kind is ValuesListIterable:
        return lambda rows: list(map(tuple, rows))
    if kind is not ModelIterable:
        message = f"a prepared query cannot return the rows of {kind.__name__}"
        raise TypeError(message)
    return _objects_of(queryset, compiler)


def _objects_of(queryset: Any, compiler: Any) -> Callable[[list[_Row]], list[Any]]:
    """Return the function from rows to objects, as `ModelIterable` makes them."""
    info, select = compiler.klass_info, compiler.select
    own = slice(info["select_fields"][0], info["select_fields"][-1] + 1)
    names = [column[0].target.attname for column in select[own]]
    model, using, mode = info["model"], queryset.db, queryset._fetch_mode
    related = get_related_populators(info, select, using, mode)
    annotations = list(compiler.annotation_col_map.items())

    def made(rows: list[_Row]) -> list[Any]:
        objects = []
        for row in rows:
            found = model.from_db(using, names, row[own], fetch_mode=mode)
            for populator in related:
                populator.populate(row, found)
            for name, position in annotations:
                setattr(found, name, row[position])
            objects.append(found)
        return objects

    return made


class _PerThread[S: _Statement]:
    """A statement, compiled once for each thread, because connections belong to threads."""

    def __init__(self, compile_it: Callable[[], S]) -> None:
        self._compile = compile_it
        self._local = threading.local()

    def get(self) -> S:
        found: S | None = getattr(self._local, "found", None)
        if found is None or not found.current:
            found = self._local.found = self._compile()
        return found


# Decision 0014: only the path of a submission needs this speed.
class Prepared[M: models.Model, Row]:
    """A query; `build` returns it, with `Param` in its filters. KeyError for a missing value.

    It may use filters, joins, orders, slices, annotations and `values_list`; no prefetching.
    """

    def __init__(self, build: Callable[[], models.QuerySet[M, Row]]) -> None:
        self._compiled = _PerThread(lambda: _Query(build()))

    def all(self, **values: Any) -> list[Row]:
        """Return every row for these values."""
        return self._compiled.get().all(values)

    def first(self, **values: Any) -> Row | None:
        """Return the first row or None. Slice in `build`, because every found row is read."""
        return next(iter(self.all(**values)), None)


class PreparedUpdate[M: models.Model]:
    """An UPDATE; `build` returns the rows and the new values, either with `Param` in them."""

    def __init__(
        self, build: Callable[[], tuple[models.QuerySet[M], Mapping[str, models.Expression]]]
    ) -> None:
        self._build = build
        self._compiled = _PerThread(lambda: _Statement(self._compiler()))

    def _compiler(self) -> Any:
        rows, changes = self._build()
        query: Any = rows.query.chain(UpdateQuery)
        query.add_update_values(dict(changes))
        return query.get_compiler(using=rows.db)

    def run(self, **values: Any) -> int:
        """Change the rows; return how many."""
        statement = self._compiled.get()
        return statement.change(statement.bound(values))


class PreparedInsert[M: models.Model]:
    """An INSERT of one new object of a model, with every column from the object.

    Only for a model that makes its own keys, without defaults of the database, without parents and
    without receivers of `pre_save` and `post_save`: TypeError otherwise.
    """

    def __init__(self, model: type[M]) -> None:
        self._compiled = _PerThread(lambda: _Insert(model))

    def run(self, obj: M) -> None:
        """Insert the object, which then is a saved one. IntegrityError as Django raises it."""
        statement = self._compiled.get()
        statement.change(statement.values_of(obj))
        obj._state.adding, obj._state.db = False, statement.compiler.using


class _Insert(_Statement):
    """An INSERT with its SQL kept, and the fields in the order of the placeholders."""

    def __init__(self, model: type[models.Model]) -> None:
        self._fields = model._meta.concrete_fields
        if not _is_plain(model):
            message = f"{model.__name__} needs more of Django's save than its columns"
            raise TypeError(message)
        query: Any = InsertQuery(model)
        query.insert_values(self._fields, [model()])
        super().__init__(query.get_compiler(using=router.db_for_write(model)))

    def _compile(self) -> tuple[str, _Row]:
        [(sql, places)] = self.compiler.as_sql()
        return sql, places

    def values_of(self, obj: models.Model) -> tuple[Any, ...]:
        """Return the columns of the object in the form that the database takes."""
        connection = self.connection
        return tuple(
            field.get_db_prep_save(field.pre_save(obj, add=True), connection)
            for field in self._fields
        )


def _is_plain(model: type[models.Model]) -> bool:
    meta = model._meta
    return (
        not meta.parents
        and not isinstance(meta.pk, models.AutoField)
        and not any(field.has_db_default() for field in meta.concrete_fields)
        and not any(signal.has_listeners(model) for signal in (pre_save, post_save))
    )
