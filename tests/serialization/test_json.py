"""Errors that name the field and teach its mend."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from pilotext.api.schemas.jobs import JobFilter
from pilotext.errors import FieldError, nearest_word
from pilotext.model.job import Job
from pilotext.serialization.json import from_json, from_plain
from tests.support.jobs import job_document


def said(**fields: Any) -> str:
    with pytest.raises(FieldError) as caught:
        from_json(json.dumps(job_document(**fields)), Job, where="job.json")
    return str(caught.value)


def test_a_whole_document_becomes_a_record() -> None:
    assert from_json(json.dumps(job_document(run=275772)), Job).run == 275772


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"comand": 1}, "job.json: comand: there is no such field. Did you mean `command`?"),
        ({"limits": {"wall": 3}}, "job.json: limits.wall: there is no such field. Did you mean `wall_s`?"),
        ({"outputs": [{"name": "a", "as": 3}]}, "job.json: outputs[0].as: expected `str | null`, got `int`; found 3."),
        ({"inputs": [{"sources": []}]}, "job.json: inputs[0].name: this field is missing."),
        ({"cores": "kep"}, "job.json: cores: 'kep' is none of: keep, remove. Did you mean 'keep'?"),
        ({"format": 2}, "job.json: format: 2 is none of: 1."),
    ],
    ids=["misspelt", "misspelt inside", "wrong type in a list", "missing in a list", "not one of the words", "newer"],
)
def test_the_path_of_the_wrong_field_is_named(fields: dict[str, Any], sentence: str) -> None:
    assert said(**fields) == sentence


@pytest.mark.parametrize("text", ["", "{", b"\xff\xfe", "nope", "[no", b"[\xff", "[" * 5000])
def test_what_is_not_json_is_said(text: str | bytes) -> None:
    with pytest.raises(FieldError, match="this is not a JSON document"):
        from_json(text, Job)


def test_brackets_without_end_are_no_document_where_anything_may_stand() -> None:
    with pytest.raises(FieldError, match="this is not a JSON document"):
        from_json('{"a": ' + "[" * 5000, dict[str, object])


def test_a_word_unlike_all_others_has_no_nearest_word() -> None:
    assert nearest_word("zzz", ["command", "inputs"]) == ""


MANY_THREADS = """
import sys, threading
import msgspec
from pilotext.serialization.json import from_plain

types = []
for number in range(300):
    inner = msgspec.defstruct(f"Inner{number}", [("a", int), ("b", tuple[str, ...]), ("c", dict[str, float] | None)])
    types.append(msgspec.defstruct(f"Outer{number}", [("x", int | None), ("inner", inner), ("all", list[inner])]))
one = {"a": 1, "b": ["b"], "c": {"c": 1.0}}
gate = threading.Barrier(4)

def work():
    for kind in types:
        gate.wait()
        from_plain({"x": 1, "inner": one, "all": [one]}, kind)

sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_threads_that_decode_to_the_same_new_type_at_once_do_not_crash() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MANY_THREADS], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_wrong_one_of_several_words_is_named_with_the_nearest() -> None:
    with pytest.raises(FieldError) as told:
        from_plain({"state": "failed,manul"}, JobFilter)
    assert "'manul' is none of: defined," in str(told.value)
    assert "Did you mean 'manual'?" in str(told.value)
