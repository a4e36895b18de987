"""Single rows, read and written by statements that are made once: needed by a pilot's request, thousands of times.

Django makes each query anew, which costs several times what the database takes for it. Rows are those of the models
still. `benchmarks/server --part lives` shows what this module buys.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Field, JSONField, Model, QuerySet

M = TypeVar("M", bound=Model)

_AS_IT_IS = {
    "TextField",
    "IntegerField",
    "BigIntegerField",
    "BigAutoField",
    "FloatField",
    "ForeignKey",
    "OneToOneField",
}
"""Fields of which SQLite takes plain values as they are: preparing them took longer than writing them."""

_PLAIN_VALUES = {str, int, float, type(None)}

_KEY = 2**31 - 7
"""Stands for the id while a statement is made."""


class ById(Generic[M]):
    """A row by its id, with the rows that its foreign keys of `along` name; columns of `without` are left out.

    Django makes the statement once, by `values_list`; `lock` are the paths of the tables, "" for the row's own, whose
    rows nobody else can change before the transaction ends. On SQLite nobody can anyway.
    """

    def __init__(
        self, model: type[M], *along: str, without: tuple[str, ...] = (), lock: tuple[str, ...] | None = None
    ) -> None:
        self._model = model
        self._along = along
        self._without = without
        self._lock = lock
        self._made: dict[str, _Select[M]] = {}

    def get(self, pk: int) -> M | None:
        db = _database()
        made = self._made.get(db.vendor)
        if made is None:
            made = self._made[db.vendor] = _Select(self._model, self._along, self._without, self._lock, db)
        return made.get(pk, db)


class AnnotatedById(Generic[M]):
    """A row by its id with what `rows` annotates it with, by a statement that Django makes once."""

    def __init__(self, model: type[M], rows: Callable[[int], QuerySet[M]]) -> None:
        self._model = model
        self._rows = rows
        self._made: dict[str, tuple[str, tuple[Any, ...]]] = {}

    def get(self, pk: int) -> M | None:
        vendor = _database().vendor
        if vendor not in self._made:
            sql, parameters = self._rows(_KEY).query.sql_with_params()
            assert parameters.count(_KEY) == 1, "the id must differ from all other values of the query"
            self._made[vendor] = sql, parameters
        sql, parameters = self._made[vendor]
        found = self._model._default_manager.raw(sql, [pk if value == _KEY else value for value in parameters])
        return next(iter(found), None)


class _Select(Generic[M]):
    def __init__(
        self,
        model: type[M],
        along: tuple[str, ...],
        without: tuple[str, ...],
        lock: tuple[str, ...] | None,
        db: BaseDatabaseWrapper,
    ) -> None:
        self._parts: list[_Part] = []
        names: list[str] = []
        models: dict[str, type[Model]] = {"": model}
        for path in ("", *along):
            if path:
                models[path] = _model_at(model, path)
            fields = [field for field in models[path]._meta.concrete_fields if _under(path, field.name) not in without]
            names += [_under(path, field.attname) for field in fields]
            self._parts.append(_Part(path, models[path], fields, len(names) - len(fields)))
        rows = model._default_manager.order_by().filter(pk=_KEY).values_list(*names)
        self._sql, self._parameters = _statement(rows, db)
        assert self._parameters.count(_KEY) == 1, "the id must differ from all other values of the query"
        if lock is not None and db.vendor == "postgresql":
            tables = ", ".join(db.ops.quote_name(models[path]._meta.db_table) for path in lock)
            self._sql += f" FOR UPDATE OF {tables}"

    def get(self, pk: int, db: BaseDatabaseWrapper) -> M | None:
        found = _execute(db, self._sql, [pk if value == _KEY else value for value in self._parameters]).fetchone()
        if found is None:
            return None
        made: dict[str, Any] = {}
        for part in self._parts:
            made[part.path] = row = part.made_of(found)
            if part.path:
                owner, _, name = part.path.rpartition("__")
                setattr(made[owner], name, row)
        whole: M = made[""]
        return whole


class _Part:
    """The columns of one row within those of a statement."""

    def __init__(self, path: str, model: type[Model], fields: Sequence[Field[Any, Any]], begin: int) -> None:
        self.path = path
        self._model = model
        self._names = [field.attname for field in fields]
        self._begin, self._end = begin, begin + len(fields)
        self._reading = [(index, read) for index, field in enumerate(fields) if (read := _reading(field))]

    def made_of(self, found: Sequence[Any]) -> Model | None:
        """Return the row as Django would; None where a foreign key that may be empty is."""
        values = list(found[self._begin : self._end])
        if values[self._names.index(self._model._meta.pk.attname)] is None:
            return None
        for index, read in self._reading:
            values[index] = read(values[index])
        return self._model.from_db(DEFAULT_DB_ALIAS, self._names, values)


def _model_at(model: type[Model], path: str) -> type[Model]:
    for name in path.split("__"):
        found = model._meta.get_field(name).related_model
        assert isinstance(found, type), f"{name} is not a foreign key"
        model = found
    return model


def _under(path: str, name: str) -> str:
    return f"{path}__{name}" if path else name


def _statement(rows: QuerySet[Any, Any], db: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    """Return the statement that Django executes for a query, and its parameters."""
    seen: list[tuple[str, list[Any]]] = []

    def look(execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: Any) -> Any:
        seen.append((sql, list(parameters)))
        return execute(sql, parameters, many, context)

    with db.execute_wrapper(look):
        list(rows)
    return seen[-1]


def _reading(field: Field[Any, Any]) -> Callable[[Any], Any] | None:
    """Return what makes a value of the database one of this field; None where it is that already."""
    kind = field.get_internal_type()
    if kind in _AS_IT_IS:
        return None
    if kind == "DateTimeField":
        return _read_time if _database().vendor == "sqlite" else None
    if isinstance(field, JSONField) and field.decoder is None:
        return _read_json
    assert kind == "BooleanField", f"rows.py does not know how to read a {kind}"
    return field.to_python


def insert(model: type[M], /, **values: Any) -> int:
    """Insert a row, other fields with their defaults; returns its id, or 0 for a model whose key is another row's."""
    db = _database()
    statement = _insert_statement(model, tuple(values), db.vendor)
    done = _execute(db, statement.sql, statement.row(values, db))
    return int(done.fetchone()[0]) if statement.returns else 0


def insert_rows(model: type[M], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all give the same fields, other fields with their defaults."""
    if rows:
        db = _database()
        statement = _insert_statement(model, tuple(rows[0]), db.vendor)
        places = ", ".join([statement.places] * len(rows))
        _execute(db, f"{statement.head} {places}", [value for row in rows for value in statement.row(row, db)])


def change(model: type[M], pk: int, was: Mapping[str, Any], /, **values: Any) -> bool:
    """Change fields of the row with this id, if those of `was` are still as they were; returns whether they were."""
    db = _database()
    made = _update_statement(model, tuple(was), tuple(values), db.vendor)
    prepared = [prepared(value, db) for prepared, value in zip(made.changed, values.values(), strict=True)]
    expected = [prepared(value, db) for prepared, value in zip(made.expected, was.values(), strict=True)]
    return bool(_execute(db, made.sql, [*prepared, pk, *expected]).rowcount)


def _database() -> BaseDatabaseWrapper:
    """This thread's own; `django.db.connection` would look for it again at each of its attributes."""
    return connections[DEFAULT_DB_ALIAS]


def _execute(db: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> Any:
    """A cursor that has executed it. Django's own ones for SQLite write every statement anew, with `?` for `%s`."""
    if db.vendor != "sqlite":
        cursor = db.cursor()
        cursor.execute(sql, parameters)
        return cursor
    db.ensure_connection()
    with db.wrap_database_errors:
        return db.connection.execute(_for_sqlite(sql), parameters)


@functools.lru_cache(maxsize=1000)
def _for_sqlite(sql: str) -> str:
    return sql.replace("%s", "?")


class _Insert:
    def __init__(self, model: type[Model], names: tuple[str, ...]) -> None:
        key = model._meta.pk
        self.returns = not key.is_relation
        fields = [field for field in model._meta.concrete_fields if not (field.primary_key and self.returns)]
        assert set(names) <= {field.attname for field in fields}, names
        db = _database()
        quote = db.ops.quote_name
        columns = ", ".join(quote(str(field.column)) for field in fields)
        self.places = f"({', '.join(['%s'] * len(fields))})"
        self.head = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES"
        self.sql = f"{self.head} {self.places}" + (f" RETURNING {quote(str(key.column))}" if self.returns else "")
        self._plan = [
            (_preparing(field), field, field.attname in names or _varies(field), _default(field, db))
            for field in fields
        ]

    def row(self, values: Mapping[str, Any], db: BaseDatabaseWrapper) -> list[Any]:
        return [
            prepared(values[field.attname] if field.attname in values else field.get_default(), db)
            if varies
            else constant
            for prepared, field, varies, constant in self._plan
        ]


class _Update:
    def __init__(self, model: type[Model], was: tuple[str, ...], names: tuple[str, ...]) -> None:
        by_name = {field.attname: field for field in model._meta.concrete_fields}
        self.changed = [_preparing(by_name[name]) for name in names]
        self.expected = [_preparing(by_name[name]) for name in was]
        quote = _database().ops.quote_name
        column = {name: quote(str(field.column)) for name, field in by_name.items()}
        set_ = ", ".join(f"{column[name]} = %s" for name in names)
        where = " AND ".join(f"{column[name]} = %s" for name in (model._meta.pk.attname, *was))
        self.sql = f"UPDATE {quote(model._meta.db_table)} SET {set_} WHERE {where}"  # noqa: S608  names of our own


@functools.cache
def _insert_statement(model: type[Model], names: tuple[str, ...], _vendor: str) -> _Insert:
    return _Insert(model, names)


@functools.cache
def _update_statement(model: type[Model], was: tuple[str, ...], names: tuple[str, ...], _vendor: str) -> _Update:
    return _Update(model, was, names)


def _preparing(field: Field[Any, Any]) -> Callable[[Any, BaseDatabaseWrapper], Any]:
    """Return the function that converts a value of this field for the database."""

    def prepared(value: Any, db: BaseDatabaseWrapper) -> Any:
        return field.get_db_prep_save(value, db)

    def prepared_if_need_be(value: Any, db: BaseDatabaseWrapper) -> Any:
        return value if type(value) in _PLAIN_VALUES else field.get_db_prep_save(value, db)

    if isinstance(field, DateTimeField):
        return _write_time
    plain = _database().vendor == "sqlite" and field.get_internal_type() in _AS_IT_IS
    return prepared_if_need_be if plain else prepared


def _read_json(value: str | None) -> Any:
    """JSON, which msgspec reads several times as fast as Django."""
    return None if value is None else msgspec.json.decode(value)


def _read_time(value: datetime | None) -> datetime | None:
    """Point in time from SQLite, which has them in UTC."""
    return None if value is None else value.replace(tzinfo=UTC)


def _write_time(value: datetime | None, db: BaseDatabaseWrapper) -> Any:
    """Return a point in time in UTC as Django writes it to the database, several times as fast."""
    return value if value is None or db.vendor != "sqlite" else value.replace(tzinfo=None).isoformat(" ")


def _varies(field: Field[Any, Any]) -> bool:
    """Whether the default is another one for each row, such as the time."""
    return callable(field.default) and field.default not in (dict, list)


def _default(field: Field[Any, Any], db: BaseDatabaseWrapper) -> Any:
    return None if _varies(field) else field.get_db_prep_save(field.get_default(), db)
