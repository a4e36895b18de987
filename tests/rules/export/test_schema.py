"""The JSON Schemas of files that people write: as they are, by a validator, and as an editor applies them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pilotext.cli.rules.export import SCHEMAS
from pilotext.profile import find_rules_root
from pilotext.serialization.yaml import read_yaml

CHECKOUT = find_rules_root().parent
EDITOR = Path(sys.prefix) / "share" / "editor" / "node_modules"
FILES = [
    *(
        (path, "profile" if path.name == "experiment.yaml" else "rules")
        for path in sorted(CHECKOUT.glob("rules/*/*.yaml"))
    ),
    *((path, "task") for path in sorted(CHECKOUT.glob("fixtures/tasks/*.yaml"))),
]
RULE = {"id": "boom", "code": 1299, "title": "t", "cause": "memory", "action": "retry"}
HEAD = """\
format: 1
experiment: COMPASS
rules:
  - id: boom
    code: 1299
    title: t
    cause: memory
    action: retry
"""


def problems(data: Any, name: str = "rules") -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(json.loads(SCHEMAS[name]())).iter_errors(data)]


def in_the_editor(texts: dict[Path, str], schema: str = "rules") -> list[list[str]]:
    """The problems that the YAML language server shows for each text, with the schema that it names or this one."""
    script = CHECKOUT / "tests" / "support" / "check_yaml.cjs"
    files = [{"path": str(path), "text": text} for path, text in texts.items()]
    asked = json.dumps({"schema": json.loads(SCHEMAS[schema]()), "files": files})
    made = subprocess.run(
        ["node", str(script), str(EDITOR)], input=asked, capture_output=True, text=True, check=False, timeout=100
    )
    assert made.returncode == 0, made.stderr
    found: list[list[str]] = json.loads(made.stdout)
    return found


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_document_is_up_to_date(name: str) -> None:
    document = CHECKOUT / "docs" / f"{name}.schema.json"
    wanted = f"bin/pilotext rules export --schema {name} --output docs/{name}.schema.json"
    made = json.loads(SCHEMAS[name]())
    assert json.loads(document.read_text()) == made, wanted  # as text, older msgspec orders the bounds otherwise
    jsonschema.Draft202012Validator.check_schema(made)


@pytest.mark.parametrize("name", ["rules", "task"])
def test_every_field_is_described(name: str) -> None:
    records = json.loads(SCHEMAS[name]())["$defs"]
    silent = [
        f"{record}.{field}"
        for record, schema in records.items()
        for field, about in schema.get("properties", {}).items()
        if not about.get("description")
    ]
    assert silent == []


@pytest.mark.parametrize(("file", "name"), FILES, ids=lambda each: each.name if isinstance(each, Path) else each)
def test_our_own_files_fit_theirs_and_name_it(file: Path, name: str) -> None:
    text = file.read_text()
    assert text.startswith(f"# yaml-language-server: $schema=../../docs/{name}.schema.json\n")
    assert problems(read_yaml(file).data, name) == []


def test_an_editor_finds_nothing_wrong_in_our_own_files_by_the_schemas_that_they_name() -> None:
    own = {file: file.read_text() for file, _ in FILES}
    found = in_the_editor(own)
    assert dict(zip(own, found, strict=True)) == {file: [] for file in own}


def test_an_editor_finds_a_misspelt_key_in_each_of_our_own_files() -> None:
    found = in_the_editor({file: f"{file.read_text()}\nexperimnt: COMPASS\n" for file, _ in FILES})
    assert {problem.partition(": ")[2] for [problem] in found} == {"Property experimnt is not allowed."}


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        ("    match: x\n    titel: t\n", 10, "Property titel is not allowed."),
        ("    limit: memry\n", 9, "Value is not accepted. Valid values: "),
        ("    finding: outputs-gone\n", 9, "Value is not accepted. Valid values: "),
        ("    match: x\n    stream: stdrr\n", 10, "stdout"),
        ("    all: killed\n", 9, 'Incorrect type. Expected "array'),
        ("    match: x\n    contains: y\n", 4, "Matches multiple schemas when only one must validate."),
    ],
)
def test_an_editor_shows_a_mistake_at_its_line(lines: str, line: int, words: str) -> None:
    [found] = in_the_editor({Path("/a.yaml"): HEAD + lines})
    assert any(one.startswith(f"{line}: ") and words in one for one in found), found


@pytest.mark.parametrize("lines", ["all: [killed, aborted]", "any: [killed, {match: x}]", "limit: memory", "match: x"])
def test_an_editor_accepts_every_kind_of_rule(lines: str) -> None:
    text = f"{HEAD}    {lines}\n    stream: '*.log'\n    since: 2026-11-29\n"
    assert in_the_editor({Path("/a.yaml"): text}) == [[]]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"match": "x", "titel": "t"}, "'titel' was unexpected"),
        ({"match": "x", "cause": "memry"}, "'memry' is not one of"),
        ({"match": "x", "contains": "y"}, "is valid under each of"),
        ({"limit": "memry"}, "'memry' is not valid under any of the given schemas"),
        ({}, "is not valid under any of the given schemas"),
    ],
)
def test_a_wrong_rule_does_not_fit_it(rule: dict[str, Any], words: str) -> None:
    assert any(words in problem for problem in problems({"format": 1, "rules": [RULE | rule]}))


def test_a_good_rule_fits_it() -> None:
    assert problems({"format": 1, "experiment": "COMPASS", "rules": [RULE | {"match": "x"}]}) == []
