"""A production whose jobs may read several raw files each: COMPASS's, with a program that takes their names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from pilotext.api.schemas.tasks import Submitted
from pilotext.profile import load_experiment
from pilotext.profile.records import Experiment
from pilotext.server.production import profiles
from pilotext.server.production.submission.document import from_plain
from pilotext.server.production.submission.listing import list_folder
from pilotext.server.production.submission.plan import Plan, make_plan
from pilotext.server.production.submission.store import store
from tests.server.support import task_document


def _joining() -> Experiment:
    whole = load_experiment("COMPASS")
    types = {name: replace(each, command=("reco", "{inputs}")) for name, each in whole.job_types.items()}
    return replace(whole, job_types={**whole.job_types, "mass production": types["mass production"]})


JOINING = _joining()


@pytest.fixture
def joining(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server has this profile."""
    monkeypatch.setattr(profiles, "load_experiment", lambda _: JOINING)
    profiles.profile_of.cache_clear()
    yield
    profiles.profile_of.cache_clear()


def raw(chunk: int, run: int = 1) -> str:
    return f"/castor/W14/cdr{chunk}-{run}.raw"


def planned(chunks: dict[int, int], *, known: dict[str, Any] | None = None, **fields: Any) -> Plan:
    """Plan a task of so many files of each run; `known` are the facts of each in its catalogue."""
    return make_plan(JOINING, from_plain(_document(chunks, known, fields)), list_folder)


def submit(chunks: dict[int, int], *, known: dict[str, Any] | None = None, **fields: Any) -> Submitted:
    """Submit such a task."""
    whole = from_plain(_document(chunks, known, fields))
    return store(JOINING, whole.task, make_plan(JOINING, whole, list_folder), "tester")


def _document(chunks: dict[int, int], known: dict[str, Any] | None, fields: dict[str, Any]) -> dict[str, Any]:
    files = [raw(chunk, run) for run, number in chunks.items() for chunk in range(1, number + 1)]
    catalogue = [] if known is None else [{"file": file, **known} for file in files]
    return {"task": {**task_document(files), "inputs_per_job": {"files": 2}, **fields}, "catalogue": catalogue}
