"""One file of rules with every mistake that we know: each is refused with its line and the sentence that mends it."""

from __future__ import annotations

import pytest

from pilotext.errors import FileProblem
from pilotext.rules.lint.runner import lint
from pilotext.rules.lock import update_lock
from tests.rules.packs import Pack

HEAD = "title: t, cause: crash, action: retry"

GOOD = """\
format: 1
experiment: NA62
rules:
  - {id: gone, code: 1201, HEAD, exit: {codes: [71]}}
  - {id: renamed, code: 1202, HEAD, exit: {codes: [72]}}
  - {id: moved, code: 1203, HEAD, exit: {codes: [73]}}
""".replace("HEAD", HEAD)

# Each mistake is on the line of its number, so that the list below reads beside it.
WRONG = """\
format: 1
experiment: NA62
rules:
  - {id: a, code: 1211, HEAD, exit: {codes: [1]}, remdy: pray}
  - {id: bad, code: 1212, title: t, cause: memry, action: retry, exit: {codes: [2]}}
  - {id: a, code: 1213, HEAD, exit: {codes: [3]}}
  - {id: c, code: 1213, HEAD, exit: {codes: [4]}}
  - {id: d, code: 2213, HEAD, exit: {codes: [5]}}
  - {id: e, code: 1214, HEAD, match: 'one(', examples: [{match: one}, {no-match: x}]}
  - {id: f, code: 1215, HEAD, match: '^(t|tt)+$', examples: [{match: tt}, {no-match: x}]}
  - {id: g, code: 1216, HEAD, match: 'read()', examples: [{match: read}, {no-match: x}]}
  - {id: h, code: 1217, HEAD, match: 'my.exe', examples: [{match: my.exe}, {no-match: x}]}
  - {id: i, code: 1218, HEAD, match: 'run*.raw', examples: [{match: run.raw}, {no-match: x}]}
  - {id: j, code: 1219, HEAD, match: 'three', examples: [{no-match: x}]}
  - {id: k, code: 1220, HEAD, match: 'four', examples: [{match: four}]}
  - {id: m, code: 1222, HEAD, match: 'fiv[ei] s', examples: [{match: five s}, {no-match: x}]}
  - {id: l, code: 1221, HEAD, match: 'five', examples: [{match: five}, {no-match: x}]}
  - {id: n, code: 1223, HEAD, exit: {codes: [6]}, explains: [moved, ghost]}
  - {id: o, code: 1224, HEAD, exit: {codes: [7]}, explains: [p]}
  - {id: p, code: 1225, HEAD, exit: {codes: [8]}, explains: [o]}
  - {id: q, code: 1202, HEAD, exit: {codes: [72]}}
  - {id: moved, code: 1204, HEAD, exit: {codes: [73]}}
  - {id: r, code: 1226, HEAD, exit: {signals: [SIGKIL]}}
  - {id: s, code: 1227, HEAD, exit: {codes: [9]}, jobs: [mergin]}
  - {id: u, code: 1228, HEAD, exit: {codes: [9]}, override: true}
  - {id: v, code: 1229, HEAD}
  - {id: w, code: 1230, HEAD, file: {name: '.*root', is: empty}}
  - {id: x, code: 1231, HEAD, exit: {codes: [10]}, since: last week}
  - {id: y, code: 1232, HEAD, match: 'can\u2019t six', examples: [{match: can\u2019t six}, {no-match: x}]}
  - {id: z, code: 1233, HEAD, match: '.*ERROR.*', examples: [{match: ERROR}, {no-match: x}]}
  - {id: aa, code: 1234, HEAD, exit: {codes: [11]}, owner: TODO}
""".replace("HEAD", HEAD)

MISTAKES = [
    (4, "`remdy`: there is no such field. Did you mean `remedy`?"),
    (5, "'memry' is none of: "),
    (6, "this id is taken: "),
    (7, "code 1213 is taken: a, "),
    (8, "code 2213 is not in the block of experiment rules. Choose one from 1200 to 1299."),
    (9, "this is not a regular expression: missing )"),
    (10, "the pattern needs too long for a line like "),
    (11, "`()` in `read()` is an empty group and matches nothing. Write `\\(\\)`"),
    (12, "the dot in `my.exe` stands for any character. Write `\\.` for a dot."),
    (13, "`run*.` reads like a file name pattern; "),
    (14, "there is no `match` example. Add `- match: …`."),
    (15, "there is no `no-match` example. Add `- no-match: …`."),
    (16, "the rule can never win: l is elected on each of its examples. Add `explains: [l]` to it"),
    (18, "there is no rule 'ghost'. Remove it."),
    (19, "the rule explains itself: o → p → o. A consequence cannot explain its cause; remove one link."),
    (20, "the rule explains itself: p → o → p."),
    (21, "code 1202 was agreed for renamed in lock.json. Choose one that was never used"),
    (22, "the rule's code was 1203. Write that again; codes never change."),
    (23, "there is no signal 'SIGKIL'. Did you mean `SIGKILL`?"),
    (24, "there is no kind or type of jobs 'mergin'. Did you mean `merging`?"),
    (25, "there is no rule 'u' to override. Correct the id, or remove `override`."),
    (26, "the rule has no condition. Give it one of: match"),
    (27, "`.*root` reads like a regular expression; here a file name pattern stands. Write `*` for any text"),
    (28, "'last week' is not a date. Write year, month and day: since: '2017-09-12'."),
    (29, "`\u2019` is a sign of word processors; programs print the plain one."),
    (30, "the `.*` around it says nothing. What remains, `ERROR`, stands in many harmless lines too."),
    (31, "this is still as `rules draft` wrote it. Replace `TODO`."),
]


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> list[FileProblem]:
    """What one run of lint says of all mistakes together."""
    pack = Pack(tmp_path_factory.mktemp("mistakes") / "rules")
    pack.add("number: 62\njob_types: {}\n", "na62/experiment.yaml")
    pack.add(GOOD, "na62/a.yaml", header="")
    assert lint([pack.root]) == []
    update_lock(pack.root)
    pack.add(WRONG, "na62/a.yaml", header="")
    return lint([pack.root])


@pytest.mark.parametrize(("line", "words"), MISTAKES, ids=[words[:30] for _, words in MISTAKES])
def test_a_mistake_is_refused_with_its_line_and_its_mend(problems: list[FileProblem], line: int, words: str) -> None:
    said = [f"{problem.message} {problem.advice}" for problem in problems if problem.line == line]
    assert any(words in one for one in said), said


def test_a_rule_that_is_gone_is_told_in_the_lock(problems: list[FileProblem]) -> None:
    [gone] = [problem for problem in problems if problem.rule == "gone"]
    assert (gone.file.name, gone.line) == ("lock.json", 3)
    assert gone.advice == "Put it back, with `status: retired` if it is not needed."


def test_a_line_without_a_mistake_is_told_nothing_but_that_the_rule_is_new(problems: list[FileProblem]) -> None:
    assert [problem.message for problem in problems if problem.line == 17] == ["the rule is not in lock.json."]


def test_a_newer_format_is_no_typo(pack: Pack) -> None:
    path = pack.add(WRONG.replace("format: 1", "format: 2"), "na62/a.yaml", header="")
    [problem] = lint([path])
    assert (problem.line, problem.advice) == (1, "Upgrade pilotext.")
