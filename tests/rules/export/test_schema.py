from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pilotext.profile import find_rules_root, rule_files
from pilotext.rules.export.schema import schema_text

DOCUMENT = find_rules_root().parent / "docs" / "rules.schema.json"
FILES = [file for folder in ("common", "compass") for file in rule_files(find_rules_root() / folder)]
RULE = {"id": "boom", "code": 1299, "title": "t", "cause": "memory", "action": "retry"}


def problems(data: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(json.loads(schema_text())).iter_errors(data)]


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == schema_text(), "bin/pilotext rules export --schema --output docs/rules.schema.json"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_our_own_rule_files_fit_it(file: Path) -> None:
    assert problems(yaml.load(file.read_text(), yaml.BaseLoader) | {"rules": [], "counters": [], "engine": 1}) == []
    rules = yaml.safe_load(file.read_text()).get("rules", [])
    assert problems({"engine": 1, "rules": rules}) == []


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"match": "x", "titel": "t"}, "'titel' was unexpected"),
        ({"match": "x", "cause": "memry"}, "'memry' is not one of"),
        ({"match": "x", "contains": "y"}, "is valid under each of"),
        ({}, "is not valid under any of the given schemas"),
    ],
)
def test_a_wrong_rule_does_not_fit_it(rule: dict[str, Any], words: str) -> None:
    assert any(words in problem for problem in problems({"engine": 1, "rules": [RULE | rule]}))


def test_a_good_rule_fits_it() -> None:
    assert problems({"engine": 1, "experiment": "COMPASS", "rules": [RULE | {"match": "x"}]}) == []
