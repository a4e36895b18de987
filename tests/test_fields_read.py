"""Every field of rules, profiles, task files and jobs is read by the program: one that nothing reads is a lie.

A field counts as read when a module of the packages that work with its document takes an attribute of this name; the
modules that only check or describe documents do not count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

from pilotext.engines.settings import FactoryFile
from pilotext.model import Record
from pilotext.model.job import Job
from pilotext.profile.records import Experiment
from pilotext.rules.schema import RuleFile
from pilotext.server.production.submission.document import TaskFile

PACKAGE = Path(__file__).resolve().parents[1] / "pilotext"

READERS: dict[type[msgspec.Struct], tuple[str, ...]] = {
    RuleFile: ("rules", "classify", "cli/rules", "server/production/reports", "server/production/retry.py"),
    Experiment: ("profile", "rules/reading.py", "rules/loader.py", "cli", "server", "worker"),
    TaskFile: (
        "profile/job_builder.py",
        "server/production/submission",
        "server/production/tape",
        "server/production/merging",
    ),
    FactoryFile: ("engines", "cli/factory.py"),
    Job: ("worker", "model/job.py", "storage", "agent", "cli"),
}
"""Packages and modules that work with each document."""

ONLY_CHECK = ("rules/lint/", "rules/export/schema.py", "server/production/migrations/")

ELSEWHERE: dict[tuple[str, str], str] = {
    ("Job", "panda_id"): "copied by name into the identity of each report: JobIdentity.of",
    ("JobType", "like"): "read from the plain document before it becomes a record: profile/__init__.py",
    (
        "RuleText",
        "unless_because",
    ): "a reason for people; lint asks for it, tests/rules/test_mutations.py counts with it",
}
"""Fields that are read in another way, and where."""


def records_in(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """Return the records that a document can hold, itself first."""
    found: list[type[msgspec.Struct]] = []

    def visit(type_: inspect.Type) -> None:
        if isinstance(type_, inspect.StructType):
            if type_.cls in found:
                return
            found.append(type_.cls)
            for field in type_.fields:
                visit(field.type)
        for name in ("item_type", "key_type", "value_type"):
            if (part := getattr(type_, name, None)) is not None:
                visit(part)
        for part in (*getattr(type_, "types", ()), *getattr(type_, "item_types", ())):
            visit(part)

    visit(inspect.type_info(kind))
    return found


@cache
def attributes_read_by(module: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(module.read_text()))
    return frozenset(node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load))


def modules(places: tuple[str, ...]) -> Iterator[Path]:
    for place in places:
        path = PACKAGE / place
        assert path.exists(), place
        found = path.rglob("*.py") if path.is_dir() else [path]
        yield from (one for one in found if not one.relative_to(PACKAGE).as_posix().startswith(ONLY_CHECK))


def unread(kind: type[msgspec.Struct], places: tuple[str, ...]) -> list[str]:
    read = frozenset().union(*map(attributes_read_by, modules(places)))
    return [
        f"{record.__name__}.{field}"
        for record in records_in(kind)
        for field in record.__struct_fields__
        if field not in read and (record.__name__, field) not in ELSEWHERE
    ]


@pytest.mark.parametrize("kind", READERS, ids=lambda kind: kind.__name__)
def test_each_field_of_a_document_is_read(kind: type[msgspec.Struct]) -> None:
    assert unread(kind, READERS[kind]) == []


class Inner(Record, frozen=True):
    read_by_nothing: int = 0


class Document(Record, frozen=True):
    name: str = ""
    outputs: tuple[Inner, ...] = ()


def test_a_field_that_nothing_reads_is_found() -> None:
    assert unread(Document, ("worker",)) == ["Inner.read_by_nothing"]


def test_each_exception_is_still_needed() -> None:
    known = {
        (record.__name__, field)
        for kind in READERS
        for record in records_in(kind)
        for field in record.__struct_fields__
    }
    assert set(ELSEWHERE) <= known
