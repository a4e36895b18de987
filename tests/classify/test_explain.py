from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pilotext.classify import Case, classify_files
from pilotext.classify.explain import Explanation, explain
from pilotext.model.verdict import ExitStatus
from pilotext.rules.schema import Rule
from tests.classify.inline import WELL, logs, rule, ruleset

OOM = rule("oom", match="Out of (?<what>memory) now", stream="stderr")


def explained(folder: Path, about: Rule, *others: Rule, exit: ExitStatus = WELL, **texts: str) -> Explanation:
    rules, streams = ruleset(about, *others), logs(folder, **texts)
    case = Case(kind="reconstruction", job_type="mass production", exit=exit)
    verdict = classify_files(rules, kind=case.kind, job_type=case.job_type, streams=streams, exit=exit)
    return explain(about, verdict, case, streams)


def test_a_rule_that_was_elected_says_whom_it_came_before(tmp_path: Path) -> None:
    found = explained(tmp_path, OOM, rule("later", match="bye"), stderr="Out of memory now\nbye\n")
    assert (found.outcome, found.reasons) == ("elected", ("before later: oom comes first",))
    assert found.evidence[0].line == 1


def test_a_rule_that_lost_says_to_whom(tmp_path: Path) -> None:
    found = explained(tmp_path, OOM, rule("reason", match="bye", explains=["oom"]), stderr="Out of memory now\nbye\n")
    assert (found.outcome, found.reasons) == ("seen", ("explained by reason",))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"match": "Out of disk"}, "nearest is stderr:1: it fits up to `Out of `, then `disk` fails"),
        ({"match": "now", "stream": "*.log"}, "`now` is looked for in *.log, which was not given"),
        ({"match": "now", "stream": "*.log"}, "`now` fits stderr:1, but is looked for in *.log only"),
        ({"match": "now", "jobs": ["tool"]}, "the rule is for jobs of tool; this one is of mass production"),
        ({"match": "now", "jobs": ["tool"]}, "`now` fits stderr:1"),
        ({"match": "now", "status": "retired"}, "the rule is retired"),
        ({"match": "quite another text"}, "no line of stderr comes near `quite another text`"),
        ({"absent": "now", "stream": "stderr"}, "the required text stands in stderr:1"),
        ({"absent": "End", "unless": {"jobs": ["reconstruction"]}}, "it does not matter here, unless: reconstruction"),
        ({"exit": {"codes": [3]}}, "`exit` does not fit: exit status 0"),
        ({"file": {"name": "*.root", "is": "missing"}}, "`file` *.root is missing: no work directory was given"),
        (
            {"all": ["oom", "bang"]},
            "a rule over others; not seen: oom, bang (ask `rules",
        ),
        ({"events": "written == seen"}, "`events` does not say so of what was counted: nothing"),
        ({"limit": "memory"}, "`limit: memory` comes from the wrapper, which found nothing"),
    ],
)
def test_a_rule_that_was_not_seen_says_which_clause_failed(tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    found = explained(tmp_path, rule("about", **fields), stderr="Out of memory now\n")
    assert found.outcome == "not seen"
    assert any(said.startswith(reason) for said in found.reasons), found.reasons


def test_of_the_rules_that_one_is_made_of_those_are_named_that_were_not_seen(tmp_path: Path) -> None:
    found = explained(tmp_path, rule("about", all=["oom", "bang"]), OOM, stderr="Out of memory now\n")
    assert found.reasons == ("a rule over others; not seen: bang (ask `rules explain` about these)",)


def test_each_form_of_a_rule_gives_its_own_reason(tmp_path: Path) -> None:
    about = rule("about", any=[{"match": "Out of disk"}, {"exit": {"codes": [3]}}])
    found = explained(tmp_path, about, stderr="Out of memory now\n")
    assert len(found.reasons) == 2
    assert [near.nearest.line for near in found.near] == [1]
