from __future__ import annotations

import pytest

from pilotext.rules.lint.runner import lint
from tests.rules.packs import RULE, Pack

CAUSE = f"id: cause, code: 1201, exit: {{codes: [1]}}, {RULE}"
EFFECT = f"id: effect, code: 1202, exit: {{codes: [2]}}, {RULE}"

NOTE = CAUSE.replace("retry", "note").replace("exit: {codes: [1]}", "match: busy")
NOTE = f"{NOTE}, examples: [{{match: busy}}, {{no-match: x}}]"


def problems(pack: Pack, *rules: str) -> list[str]:
    pack.add("number: 62\njob_types: {}\n", "na62/experiment.yaml")
    path = pack.add("rules:\n" + "".join(f"- {{{rule}}}\n" for rule in rules), "na62/a.yaml")
    return [f"{one.line}: {one.message} {one.advice}" for one in lint([path])]


@pytest.mark.parametrize("edge", ["explains: [effect]", "explains: [effect, other]"])
def test_an_edge_with_an_effect_is_no_problem(pack: Pack, edge: str) -> None:
    other = f"id: other, code: 1203, exit: {{codes: [3]}}, {RULE}"
    assert problems(pack, f"{CAUSE}, {edge}", EFFECT, other) == []


def test_a_note_explains_what_matches_in_its_own_lines(pack: Pack) -> None:
    effect = EFFECT.replace("exit: {codes: [2]}", "match: bus") + ", examples: [{match: bus}, {no-match: x}]"
    assert problems(pack, f"{NOTE}, explains: [effect]", effect) == []


@pytest.mark.parametrize(
    ("cause", "effect", "problem"),
    [
        (
            NOTE + ", explains: [effect]",
            EFFECT,
            "4: cause is a note, which explains in its own lines only; effect matches in none of them. Add an example",
        ),
        (NOTE, EFFECT + ", consequence-of: [cause]", "5: cause is a note, which explains in its own lines only"),
        (
            CAUSE + ", explains: [effect]",
            EFFECT.replace("action: retry", "action: note"),
            "4: effect is a note, which is never elected: nothing has to explain it. Remove it.",
        ),
        (CAUSE + ", explains: [effect]", EFFECT + ", status: retired", "4: effect is retired, so this has no effect."),
        (CAUSE + ", explains: [effect, effect]", EFFECT, "4: the rule explains effect already. Remove it here."),
        (
            CAUSE + ", explains: [effect]",
            EFFECT + ", consequence-of: [cause]",
            "4: effect says the same by `consequence-of`. Remove one of the two.",
        ),
    ],
)
def test_an_edge_without_an_effect_is_told(pack: Pack, cause: str, effect: str, problem: str) -> None:
    found = problems(pack, cause, effect)
    assert any(one.startswith(problem) for one in found), found
