"""Each check of `pilotext.rules.lint` through `lint`: the problem that it finds, and a case without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.errors import UsageError
from pilotext.rules.lint.identity import OVERRIDE
from pilotext.rules.lint.runner import lint
from tests.rules.packs import EXAMPLES, RULE, Pack

BOOM = f"match: boom, {RULE}, {EXAMPLES}"
BANG = f"match: bang, {RULE}, examples: [{{match: bang}}, {{no-match: boom}}]"


PROFILE = "number: 62\njob_types: {mass production: {kind: reconstruction}, coral: {kind: reconstruction}}\n"


@pytest.fixture(autouse=True)
def profile(pack: Pack) -> None:
    pack.add(PROFILE, "na62/experiment.yaml")


def problems(pack: Pack, *rules: str, name: str = "na62/a.yaml") -> list[str]:
    """What lint says about these rules, each a YAML mapping without its braces, as `field-or-place: message advice`."""
    path = pack.add("rules:\n" + "".join(f"- {{{rule}}}\n" for rule in rules), name)
    return [f"{problem.message} {problem.advice}".rstrip() for problem in lint([path])]


def test_our_own_rule_files_have_no_problems() -> None:
    assert [str(problem) for problem in lint()] == []


def test_a_good_rule_has_no_problems(pack: Pack) -> None:
    assert problems(pack, f"id: boom, code: 1299, {BOOM}") == []


def test_a_problem_has_its_place_and_its_rule(pack: Pack) -> None:
    path = pack.add(f"rules:\n- id: boom\n  code: 2999\n  {BOOM.replace(', ', chr(10) + '  ', 4)}\n", "na62/a.yaml")
    assert [str(problem) for problem in lint([path])] == [
        f"{path}:5:3: boom: code 2999 is not in the block of experiment rules. Choose one from 1200 to 1299."
    ]


def test_a_rule_with_a_wrong_field_is_checked_all_the_same(pack: Pack) -> None:
    rule = f"id: boom, code: 2999, {BOOM}".replace("memory", "memry")
    first, second = problems(pack, rule)
    assert first.startswith("code 2999 is not in the block")
    assert second.endswith("Did you mean 'memory'?")


def test_an_id_that_is_taken_is_told_also_for_one_of_the_neighbours(pack: Pack) -> None:
    neighbour = pack.add(f"rules: [{{id: boom, code: 1298, {BOOM}}}]\n", "na62/b.yaml")
    [problem] = problems(pack, f"id: boom, code: 1299, {BOOM}", name="na62/c.yaml")
    assert problem == f"this id is taken: {neighbour}:3. {OVERRIDE}"


def test_a_code_that_is_taken_is_told(pack: Pack) -> None:
    [problem] = problems(pack, f"id: boom, code: 1299, {BOOM}", f"id: bang, code: 1299, {BANG}")
    assert problem.startswith("code 1299 is taken: boom, ")


def test_two_experiments_may_use_one_id_and_one_code(pack: Pack) -> None:
    pack.add(f"rules: [{{id: boom, code: 1299, {BOOM}}}]\n", "amber/a.yaml")
    assert problems(pack, f"id: boom, code: 1299, {BOOM}") == []
    assert lint([pack.root]) == []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("na62/a.yaml", 1299, 2999),
        ("common/a.yaml", 2999, 3999),
        ("common/staging.yaml", 3999, 2999),
        ("common/validation.yaml", 4999, 5999),
        ("common/wrapper.yaml", 5999, 4999),
    ],
)
def test_every_file_has_its_block_of_codes(pack: Pack, name: str, good: int, bad: int) -> None:
    assert problems(pack, f"id: boom, code: {good}, {BOOM}", name=name) == []
    [problem] = problems(pack, f"id: boom, code: {bad}, {BOOM}", name=name)
    assert problem.startswith(f"code {bad} is not in the block")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("boom(", "this is not a regular expression: missing )"),
        (
            r"readCalibration(): boom",
            r"`()` in `readCalibration()` is an empty group and matches nothing. Write `\(\)`",
        ),
        ("cdr*.raw", "`cdr*.` reads like a file name pattern"),
        ("mDST*-boom", "Write `.*` for any text."),
        (r"coral\.exe in coral.exe", "the dot in `coral.exe` stands for any character."),
    ],
)
def test_a_pattern_that_means_something_else_is_told(pack: Pack, pattern: str, words: str) -> None:
    found = problems(pack, f"id: boom, code: 1299, match: '{pattern}', {RULE}, {EXAMPLES}")
    assert any(words in problem for problem in found), found


@pytest.mark.parametrize(
    "pattern", [r"boom\(\)", r"cdr.*\.raw", r"coral\.exe", r"\w*\.x", r"bo* m", "a(?:b)", "e.g. exe"]
)
def test_a_pattern_that_means_what_it_says_is_left_alone(pack: Pack, pattern: str) -> None:
    assert problems(pack, f"id: boom, code: 1299, match: '{pattern}', {RULE}, {EXAMPLES}") == []


def test_the_pattern_of_a_counter_is_checked_too(pack: Pack) -> None:
    path = pack.add("counters: [{name: n, match: '(?<n>1'}]\n", "na62/a.yaml")
    [problem] = lint([path])
    assert (problem.rule, problem.line) == ("n", 3)


@pytest.mark.parametrize(
    ("glob", "bad"), [("*.root", False), ("a-[0-9]?.raw", False), (".*root", True), (r"a\.b", True)]
)
def test_a_regular_expression_for_a_file_name_is_told(pack: Pack, glob: str, bad: bool) -> None:
    found = problems(pack, f"id: boom, code: 1299, file: {{name: '{glob}', is: empty}}, {RULE}")
    assert ["reads like a regular expression" in problem for problem in found] == [True] * bad


@pytest.mark.parametrize(
    ("examples", "missing"),
    [("[{match: boom}]", "no-match"), ("[{no-match: bang}]", "match"), (EXAMPLES.removeprefix("examples: "), None)],
)
def test_a_text_needs_an_example_of_either_kind(pack: Pack, examples: str, missing: str | None) -> None:
    found = problems(pack, f"id: boom, code: 1299, match: boom, {RULE}, examples: {examples}")
    assert found == ([f"there is no `{missing}` example. Add `- {missing}: …`."] if missing else [])


def test_what_is_not_a_text_needs_no_examples(pack: Pack) -> None:
    assert problems(pack, f"id: boom, code: 1299, exit: {{codes: [3]}}, {RULE}") == []


@pytest.mark.parametrize("field", ["explains", "consequence-of"])
def test_a_link_to_a_rule_that_is_not_there_names_the_nearest(pack: Pack, field: str) -> None:
    bang = f"id: bang, code: 1298, {BANG}"
    assert problems(pack, bang, f"id: boom, code: 1299, {field}: [bang], {BOOM}") == []
    [problem] = problems(pack, bang, f"id: boom, code: 1299, {field}: [bangs], {BOOM}")
    assert problem == "there is no rule 'bangs'. Did you mean `bang`?"


def test_any_is_a_cause_and_no_consequence(pack: Pack) -> None:
    assert problems(pack, f"id: boom, code: 1299, absent: End, consequence-of: [any], {RULE}") == []
    [problem] = problems(pack, f"id: boom, code: 1299, absent: End, explains: [any], {RULE}")
    assert problem.startswith("there is no rule 'any'.")


def test_a_circle_of_explanations_is_told_at_each_of_its_rules(pack: Pack) -> None:
    first, second = problems(
        pack,
        f"id: boom, code: 1298, explains: [bang], {BOOM}",
        f"id: bang, code: 1299, explains: [boom], {BANG}",
    )
    assert first.startswith("the rule explains itself: boom → bang → boom.")
    assert second.startswith("the rule explains itself: bang → boom → bang.")


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ("[reconstruction, mass production]", None),
        ("[mass prodution]", "there is no kind or type of jobs 'mass prodution'. Did you mean `mass production`?"),
    ],
)
def test_jobs_are_kinds_or_types_of_the_experiment(pack: Pack, jobs: str, words: str | None) -> None:
    assert problems(pack, f"id: boom, code: 1299, jobs: {jobs}, {BOOM}") == ([words] if words else [])


def test_a_common_rule_knows_kinds_only(pack: Pack) -> None:
    assert problems(pack, f"id: boom, code: 2999, jobs: [tool], {BOOM}", name="common/a.yaml") == []
    [problem] = problems(pack, f"id: boom, code: 2999, jobs: [mass production], {BOOM}", name="common/a.yaml")
    assert problem.startswith("there is no kind or type of jobs 'mass production'.")


def test_unless_names_kinds_types_or_rules(pack: Pack) -> None:
    good = f"id: boom, code: 1299, absent: End, unless: {{jobs: [tool, coral], rules: [boom]}}, {RULE}"
    assert problems(pack, good) == []
    [problem] = problems(pack, good.replace("coral", "corall"))
    assert problem == "there is no kind or type of jobs 'corall'. Did you mean `coral`?"
    [problem] = problems(pack, good.replace("[boom]", "[bom]"))
    assert problem == "there is no rule 'bom'. Did you mean `boom`?"


def test_a_message_names_only_what_a_pattern_catches(pack: Pack) -> None:
    good = f"id: boom, code: 1299, message: 'at {{event}}', match: 'boom(?<event>x)?', {RULE}, {EXAMPLES}"
    assert problems(pack, good) == []
    [problem] = problems(pack, good.replace("{event}", "{evnt}"))
    assert problem == "no pattern of the rule has a group `evnt`. Did you mean `event`?"


def test_a_finding_brings_its_own_fields(pack: Pack) -> None:
    assert problems(pack, f"id: boom, code: 1299, finding: law-broken, message: 'sum {{sum}}', {RULE}") == []


def test_a_wrong_profile_is_told_by_lint(pack: Pack) -> None:
    pack.add("number: x\njob_types: {}\n", "na62/experiment.yaml")
    [problem] = lint([pack.root / "na62"])
    assert problem.message.startswith("`number`: expected `int`")


def test_only_the_files_that_were_asked_for_are_told(pack: Pack) -> None:
    pack.add("rules: [{id: wrong}]\n", "na62/b.yaml")
    assert problems(pack, f"id: boom, code: 1299, {BOOM}") == []


def test_a_folder_without_rule_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no rule files"):
        lint([tmp_path / "empty"])


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        ("all: [bang, boum]", "there is no rule 'boum'. Did you mean `boom`?"),
        ("any: [boum]", "there is no rule 'boum'. Did you mean `boom`?"),
        ("rate: {rule: boum, more-than: 3}", "there is no rule 'boum'. Did you mean `boom`?"),
        ("events: don <= 3", "there is no counter 'don'. Did you mean `done`?"),
        ("rate: {counter: don, more-than: 3}", "there is no counter 'don'. Did you mean `done`?"),
    ],
)
def test_conditions_name_rules_and_counters_that_are_there(pack: Pack, condition: str, problem: str) -> None:
    pack.add(r"counters: [{name: done, match: 'done (?<n>\d+)'}]", "na62/counters.yaml")
    good = condition.replace("boum", "boom").replace("don ", "done ").replace("don,", "done,")
    bang, boom = f"id: bang, code: 1298, {BOOM.replace('boom', 'bang')}", f"id: boom, code: 1299, {BOOM}"
    assert problems(pack, bang, boom, f"id: whole, code: 1297, {RULE}, {good}") == []
    assert problems(pack, bang, boom, f"id: whole, code: 1297, {RULE}, {condition}") == [problem]


def test_unless_knows_the_words_for_the_end_of_a_job(pack: Pack) -> None:
    good = f"id: boom, code: 1299, {BOOM}, unless: {{good-end: true, alone: true}}"
    assert problems(pack, f"{good}, unless-because: it recovers") == []
    [problem] = problems(pack, good)
    assert problem.startswith("nothing says why a job may succeed with this text.")
    [problem] = problems(pack, good.replace("good-end", "god-end"))
    assert problem == "`unless.god-end`: there is no such field. Did you mean `good-end`?"


def test_a_brace_that_stands_alone_in_a_message_is_a_problem_and_no_crash(pack: Pack) -> None:
    [problem] = problems(pack, f"id: boom, code: 1299, {BOOM}, message: 'lost {{ of file'")
    assert problem == "a brace has no partner. Write `{name}` for what a group caught, or no brace."


def test_a_misspelt_stream_is_no_dead_rule(pack: Pack) -> None:
    [problem] = problems(pack, f"id: boom, code: 1299, {BOOM}, stream: stdrr")
    assert "stderr" in problem
