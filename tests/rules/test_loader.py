from __future__ import annotations

import pytest

from pilotext.errors import RuleFilesError, UsageError
from pilotext.rules.conditions import Condition
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import RuleSet
from tests.rules.packs import RULE, Pack


def load(pack: Pack) -> RuleSet:
    return load_rules("COMPASS", [pack.root])


def problems(pack: Pack) -> list[str]:
    with pytest.raises(RuleFilesError) as caught:
        load(pack)
    return [str(problem).removeprefix(f"{pack.root.resolve()}/") for problem in caught.value.problems]


def test_a_rule_comes_with_its_code_its_conditions_and_its_place(pack: Pack) -> None:
    path = pack.add(f"rules:\n- {{id: boom, code: 1299, match: 'b(?<n>o+)m', stream: stderr, lines: 2, {RULE}}}\n")
    rule = load(pack).rule("boom")
    assert rule is not None
    assert (rule.code.label, rule.code.number) == ("COMPASS-1299", 581299)
    assert rule.conditions == (Condition(match="b(?<n>o+)m", stream="stderr", lines=2),)
    assert not rule.common
    assert (rule.place.file, rule.place.line, rule.place.column) == (path, 4, 3)


def test_several_forms_of_evidence_keep_their_order(pack: Pack) -> None:
    pack.add(f"rules:\n- {{id: boom, code: 1299, any: [{{contains: a}}, {{exit: {{codes: [3]}}}}], {RULE}}}\n")
    rule = load(pack).rule("boom")
    assert rule is not None
    assert [condition.contains for condition in rule.conditions] == ["a", None]


def test_common_rules_serve_every_experiment(pack: Pack) -> None:
    pack.add(f"rules: [{{id: boom, code: 2999, match: boom, {RULE}}}]\n", "common/a.yaml")
    rule = load(pack).rule("boom")
    assert rule is not None
    assert rule.common
    assert rule.code.label == "COMPASS-2999"


def test_counters_are_loaded_beside_rules(pack: Pack) -> None:
    pack.add("counters: [{name: tracks, match: '(?<n>[0-9]+) tracks', progress: true}]\n")
    assert [counter.progress for counter in load(pack).counters if counter.name == "tracks"] == [True]


def test_a_profile_is_no_rule_file(pack: Pack) -> None:
    pack.add("number: 58\njob_types: {}\n", "compass/experiment.yaml")
    assert load(pack).rules == load_rules("COMPASS").rules


def test_the_digest_changes_with_the_rules_and_not_with_comments(pack: Pack) -> None:
    text = f"rules: [{{id: boom, code: 1299, match: boom, {RULE}}}]\n"
    pack.add(text)
    first = load(pack).digest
    assert len(first) == 16
    pack.add(f"# a comment\n{text}")
    assert load(pack).digest == first
    pack.add(text.replace("match: boom", "match: bang"))
    assert load(pack).digest != first


def test_a_consequence_is_loaded_as_explained_by_its_cause(pack: Pack) -> None:
    pack.add(
        f"rules:\n- {{id: boom, code: 1298, match: a, {RULE}}}\n"
        f"- {{id: smoke, code: 1299, match: b, consequence-of: [boom], {RULE}}}\n"
    )
    boom, smoke = load(pack).rule("boom"), load(pack).rule("smoke")
    assert boom is not None
    assert smoke is not None
    assert "smoke" in boom.text.explains
    assert smoke.text.consequence_of == ()


def test_all_problems_of_all_files_are_told_together(pack: Pack) -> None:
    pack.add("rules:\n- {id: a, code: 1298, titel: t, cause: memory, action: retry, match: a}\n")
    pack.add(f"rules:\n- {{id: b, code: 1299, match: b, lines: two, {RULE}}}\n- {{id: 7}}\n", "compass/b.yaml")
    assert problems(pack) == [
        "compass/a.yaml:4:3: a: `title`: this field is missing.",
        "compass/a.yaml:4:23: a: `titel`: there is no such field. Did you mean `title`?",
        "compass/b.yaml:4:33: b: `lines`: expected `int`, got `str`; found 'two'.",
        "compass/b.yaml:5:3: 7: `action`: this field is missing.",
        "compass/b.yaml:5:3: 7: `cause`: this field is missing.",
        "compass/b.yaml:5:3: 7: `code`: this field is missing.",
        "compass/b.yaml:5:3: 7: `title`: this field is missing.",
        "compass/b.yaml:5:4: 7: `id`: expected `str`, got `int`; found 7.",
    ]


@pytest.mark.parametrize(
    ("file", "text", "header", "words"),
    [
        ("compass/a.yaml", "rulez: []\n", None, "3:1: `rulez`: there is no such field. Did you mean `rules`?"),
        ("compass/a.yaml", "rules: 7\n", None, "3:1: `rules` must be a list."),
        ("compass/a.yaml", "", "format: 2\n", "1:1: the file has format 2; this pilotext reads format 1. Upgrade"),
        ("compass/a.yaml", "a: [\n", "", "2:1: this is not YAML"),
        ("compass/a.yaml", "", "format: 1\n", "1:1: the file has no `experiment`."),
        ("compass/a.yaml", "", "format: 1\nexperiment: NA62\n", "2:1: rules of NA62 stand in the folder 'compass'."),
        ("common/a.yaml", "", "format: 1\nexperiment: NA62\n", "2:1: rules of NA62 stand in the folder 'common'."),
    ],
)
def test_a_file_that_cannot_be_used_is_told(pack: Pack, file: str, text: str, header: str | None, words: str) -> None:
    pack.add(text, file, header=header)
    [problem] = problems(pack)
    assert problem.startswith(f"{file}:{words}")


def test_a_code_in_no_block_is_told(pack: Pack) -> None:
    pack.add(f"rules: [{{id: boom, code: 99, match: boom, {RULE}}}]\n")
    [problem] = problems(pack)
    assert "code 99 is in none of the blocks" in problem


def test_a_pattern_that_is_none_is_told_before_any_job_starts(pack: Pack) -> None:
    pack.add(f"rules: [{{id: boom, code: 1299, match: 'boom(', {RULE}}}]\n")
    [problem] = problems(pack)
    assert "this is not a regular expression: missing )" in problem


def test_a_name_that_stands_twice_is_told_with_the_first_place(pack: Pack) -> None:
    rule = f"{{id: boom, code: 1299, match: boom, {RULE}}}"
    path = pack.add(f"rules:\n- {rule}\n- {rule}\ncounters: [{{name: events_seen, match: '(?<n>1)'}}]\n")
    first, second = problems(pack)
    assert f"this id is taken: {path}:4" in first
    assert "this name is taken" in second


def test_an_experiment_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'COMPASS'"):
        load_rules("COMPAS")
