"""Former names of fields, and fragments of patterns."""

from __future__ import annotations

import pytest

from pilotext.rules.conditions import Unless
from pilotext.rules.lint.runner import lint
from pilotext.rules.loader import load_rules
from tests.rules.packs import EXAMPLES, RULE, Pack


def written(pack: Pack, rule: str, header: str = "format: 1\nexperiment: COMPASS\n") -> list[str]:
    path = pack.add(f"rules:\n- {{id: boom, code: 1200, {RULE}, {rule}}}\n", header=header)
    return [f"{one.line}:{one.column} {one.message} {one.advice}" for one in lint([path])]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (
            f"match: boom, diag: oh, {EXAMPLES}",
            "4:79 `diag` is now called `message`. Rename it: the next release does not",
        ),
        (
            f"match: boom, unless: [good-end, alone, killed, tool], {EXAMPLES}",
            "Write `unless: {good-end: true, alone: true, rules: [killed], jobs: [killed, tool]}`: the next release",
        ),
        (
            "any: [{absent: End, unless: [tool]}]",
            "Write `unless: {jobs: [tool]}`: the next release does not read the list.",
        ),
    ],
)
def test_a_former_name_is_told_with_its_place_and_the_new_one(pack: Pack, rule: str, problem: str) -> None:
    assert any(problem in one for one in written(pack, rule)), written(pack, rule)


def test_former_names_are_read(pack: Pack) -> None:
    rule = f"match: 'boom (?<n>x)?', diag: 'oh {{n}}', unless: [good-end, killed, tool], {EXAMPLES}"
    assert "1:1 `engine` is now called `format`. Rename it: the next release does not read it." in written(
        pack, rule, "engine: 1\nexperiment: COMPASS\n"
    )
    boom = load_rules("COMPASS", [pack.root]).rule("boom")
    assert boom is not None
    assert boom.text.message == "oh {n}"
    assert boom.text.unless == Unless(good_end=True, rules=("killed",), jobs=("killed", "tool"))


def test_a_fragment_stands_for_a_part_of_a_pattern(pack: Pack) -> None:
    header = "format: 1\nexperiment: COMPASS\nfragments: {rank: '^\\[rank \\d+\\] '}\n"
    example = "examples: [{match: '[rank 3] boom'}, {no-match: boom}]"
    assert written(pack, f"any: [{{match: '%{{rank}}boom'}}], {example}", header) == []
    boom = load_rules("COMPASS", [pack.root]).rule("boom")
    assert boom is not None
    assert boom.conditions[0].match == r"^\[rank \d+\] boom"
    [problem] = written(pack, f"match: '%{{rnk}}boom', {example}", header)[:1]
    assert problem == "5:66 there is no fragment 'rnk'. Did you mean 'rank'?"
