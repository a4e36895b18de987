"""Single rows, read and written by statements that are made once: what a pilot's request needs, thousands of times.

Django makes each query anew, which costs several times what the database takes for it. Rows are those of the models
still, and only this module knows how they come and go.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, JSONField, Model, QuerySet
from django.db.models.query import get_related_populators

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
    """The query of `rows` for one of them by its id, with what it selects along.

    `lock` are those of its tables, as for `select_for_update`, whose rows nobody else can change before the transaction
    ends; on SQLite nobody can anyway.
    """

    def __init__(self, rows: Callable[[], QuerySet[M]], *, lock: tuple[str, ...] = ()) -> None:
        self._rows = rows
        self._lock = lock
        self._made: dict[str, _Select[M]] = {}

    def get(self, pk: int) -> M | None:
        db = _database()
        made = self._made.get(db.vendor)
        if made is None:
            rows = self._rows().order_by().filter(pk=_KEY)
            made = self._made[db.vendor] = _Select(rows.select_for_update(of=self._lock) if self._lock else rows, db)
        return made.get(pk, db)


class _Select(Generic[M]):
    def __init__(self, rows: QuerySet[M], db: BaseDatabaseWrapper) -> None:
        compiler = rows.query.get_compiler(connection=db)
        self._sql, self._parameters = compiler.as_sql()
        assert self._parameters.count(_KEY) == 1, "the id must be told from all other values of the query"
        klass = compiler.klass_info
        assert klass is not None
        fields = klass["select_fields"]
        self._model: type[M] = klass["model"]
        self._first, self._last = fields[0], fields[-1] + 1
        self._names = [each[0].target.attname for each in compiler.select[self._first : self._last]]
        self._related = get_related_populators(klass, compiler.select, "default")  # type: ignore[call-arg]  # as Django 5.2 has it
        converters = compiler.get_converters([each[0] for each in compiler.select])
        self._converters = [
            (index, _faster(each), expression) for index, (all_, expression) in converters.items() for each in all_
        ]

    def get(self, pk: int, db: BaseDatabaseWrapper) -> M | None:
        found = _execute(db, self._sql, [pk if value == _KEY else value for value in self._parameters]).fetchone()
        if found is None:
            return None
        row = list(found)
        for index, convert, expression in self._converters:
            row[index] = convert(row[index], expression, db)
        made = self._model.from_db("default", self._names, row[self._first : self._last])
        for populator in self._related:
            populator.populate(row, made)
        return made


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
    """What makes a value of this field one that the database takes."""

    def prepared(value: Any, db: BaseDatabaseWrapper) -> Any:
        return field.get_db_prep_save(value, db)

    def prepared_if_need_be(value: Any, db: BaseDatabaseWrapper) -> Any:
        return value if type(value) in _PLAIN_VALUES else field.get_db_prep_save(value, db)

    plain = _database().vendor == "sqlite" and field.get_internal_type() in _AS_IT_IS
    return prepared_if_need_be if plain else prepared


def _faster(converter: Callable[..., Any]) -> Callable[..., Any]:
    """JSON is read several times as fast by msgspec."""
    plain = isinstance(field := getattr(converter, "__self__", None), JSONField) and field.decoder is None
    return _read_json if plain else converter


def _read_json(value: str | None, *_: Any) -> Any:
    return None if value is None else msgspec.json.decode(value)


def _varies(field: Field[Any, Any]) -> bool:
    """Whether the default is another one for each row, such as the time."""
    return callable(field.default) and field.default not in (dict, list)


def _default(field: Field[Any, Any], db: BaseDatabaseWrapper) -> Any:
    return None if _varies(field) else field.get_db_prep_save(field.get_default(), db)
