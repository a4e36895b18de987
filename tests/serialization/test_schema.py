"""The published schemas are those of the records, and real documents fulfil them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from pilotext.serialization.schema import SCHEMAS, same_everywhere, schema_text
from pilotext.worker import job_source as jobfile
from pilotext.worker import report_files as reports
from tests.support.jobs import CHECKOUT, job_document
from tests.support.reports import make_report

JOBS = sorted((CHECKOUT / "fixtures/jobs").glob("*.json"))


def validate(document: Any, name: str) -> None:
    jsonschema.Draft202012Validator(json.loads(schema_text(name))).validate(document)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_published_schema_is_that_of_the_records(name: str) -> None:
    published = (CHECKOUT / f"docs/{name}.schema.json").read_text()
    assert published == schema_text(name), f"bin/pilotext report --schema {name} --output docs/{name}.schema.json"


def test_a_docstring_is_the_same_text_on_every_python() -> None:
    until_3_12, from_3_13 = "One.\n\n    Two.\n    Three.\n    ", "One.\n\nTwo.\nThree.\n"
    clean = [same_everywhere([{"a": {"description": text}}]) for text in (until_3_12, from_3_13)]
    assert clean[0] == clean[1] == [{"a": {"description": "One.\n\nTwo.\nThree."}}]


def test_null_stands_last_whatever_msgspec_made_of_it() -> None:
    null, record = {"type": "null"}, {"$ref": "#/$defs/Record"}
    assert same_everywhere({"anyOf": [null, record]}) == same_everywhere({"anyOf": [record, null]})
    assert same_everywhere({"anyOf": [null, record]}) == {"anyOf": [record, null]}


def test_a_field_named_description_is_no_docstring() -> None:
    schema = {"properties": {"description": {"type": "string", "default": "  x"}}}
    assert same_everywhere(schema) == schema


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text(name)))


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_the_jobs_of_the_fixtures_fulfil_it(path: Path) -> None:
    validate(json.loads(path.read_text()), "job")
    assert jobfile.read_file(path)


def test_a_report_fulfils_it_and_a_misspelt_one_does_not() -> None:
    document = json.loads(reports.encoded(make_report()))
    validate(document, "report")
    with pytest.raises(jsonschema.ValidationError, match="stat"):
        validate({**document, "stat": "done"}, "report")


@pytest.mark.parametrize("fields", [{"comand": ["x"]}, {"format": 2}, {"cores": "x"}, {"inputs": [{"name": "a"}]}])
def test_what_is_no_job_does_not_fulfil_it(fields: dict[str, Any]) -> None:
    validate(job_document(), "job")
    with pytest.raises(jsonschema.ValidationError):
        validate(job_document(**fields), "job")


def test_the_schema_says_what_the_records_say() -> None:
    assert set(SCHEMAS) == {"job", "report"}
    text = json.loads(schema_text("report"))["$defs"]["Report"]
    assert set(text["properties"]) == set(msgspec.structs.asdict(make_report()))
