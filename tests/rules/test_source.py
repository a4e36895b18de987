"""Folders after our own that add rules or, where they say so, take the place of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.errors import RuleFilesError
from pilotext.rules.lint.runner import lint
from pilotext.rules.loader import load_rules
from tests.rules.packs import EXAMPLES, RULE, Pack

BOOM = f"rules: [{{id: boom, code: 1299, match: boom, {RULE}, {EXAMPLES}}}]\n"
OWN = BOOM.replace("code: 1299", "code: 1299, override: true").replace("action: retry", "action: fail")


@pytest.fixture
def site(tmp_path: Path) -> Pack:
    return Pack(tmp_path / "site")


def problems(*packs: Pack) -> list[str]:
    with pytest.raises(RuleFilesError) as caught:
        load_rules("NA62", [pack.root for pack in packs])
    return [f"{problem.message} {problem.advice}" for problem in caught.value.problems]


@pytest.fixture(autouse=True)
def experiment(pack: Pack) -> None:
    pack.add("number: 62\njob_types: {}\n", "na62/experiment.yaml")
    pack.add(BOOM, "na62/a.yaml")


def test_an_override_takes_the_place_of_the_rule(pack: Pack, site: Pack) -> None:
    path = site.add(OWN, "na62/site.yaml")
    rules = load_rules("NA62", [pack.root, site.root])
    [boom] = [rule for rule in rules.rules if rule.id == "boom"]
    assert (boom.text.action, boom.place.file) == ("fail", path)
    assert lint([path], [pack.root]) == []


def test_the_last_of_several_overrides_is_in_force(pack: Pack, site: Pack, tmp_path: Path) -> None:
    site.add(OWN, "na62/site.yaml")
    last = Pack(tmp_path / "last")
    last.add(OWN.replace("fail", "restage"), "na62/site.yaml")
    boom = load_rules("NA62", [pack.root, site.root, last.root]).rule("boom")
    assert boom is not None
    assert boom.text.action == "restage"


def test_an_experiment_may_override_a_common_rule_that_keeps_its_code(pack: Pack) -> None:
    pack.add(BOOM.replace("boom", "bang").replace("1299", "2999"), "common/a.yaml")
    path = pack.add(OWN.replace("boom", "bang").replace("1299", "2999"), "na62/b.yaml")
    bang = load_rules("NA62", [pack.root]).rule("bang")
    assert bang is not None
    assert bang.code.label == "NA62-2999"
    assert [problem for problem in lint([path]) if problem.rule == "bang" and "examples" not in problem.message] == []


def test_without_the_word_the_second_rule_is_an_error_that_teaches_it(pack: Pack, site: Pack) -> None:
    site.add(BOOM, "na62/site.yaml")
    [problem] = problems(pack, site)
    assert problem.startswith("this id is taken: ")
    assert "write `override: true`" in problem


def test_an_override_of_nothing_is_an_error(pack: Pack, site: Pack) -> None:
    site.add(OWN.replace("id: boom", "id: bom"), "na62/site.yaml")
    [problem] = problems(pack, site)
    assert problem == "there is no rule 'bom' to override. Correct the id, or remove `override`."


def test_an_override_keeps_the_code(pack: Pack, site: Pack) -> None:
    site.add(OWN.replace("1299", "1298"), "na62/site.yaml")
    [problem] = problems(pack, site)
    assert problem.startswith("the overridden rule has code 1299: ")
    assert problem.endswith("Write `code: 1299`: a code keeps its meaning everywhere.")


def test_a_rule_is_not_overridden_in_its_own_folder(pack: Pack) -> None:
    pack.add(OWN, "na62/b.yaml")
    [problem] = problems(pack)
    assert problem.startswith("the rule that it overrides is in the same folder: ")
