"""The end marker that a profile requires of a type of jobs is a requirement by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pilotext.classify import classify_files
from pilotext.model.verdict import Verdict
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import Rule, RuleSet
from tests.classify.inline import WELL, logs, rule, ruleset
from tests.rules.packs import Pack

NO_MARKER = rule("no-marker", common=True, absent="{marker}")
HURT = rule("hurt", contains="hurt", stream="stderr", unless={"good-end": True})


def with_marker(*rules: Rule) -> RuleSet:
    return replace(ruleset(NO_MARKER, *rules), markers={"analysis": "All done."})


def verdict(folder: Path, rules: RuleSet, job_type: str = "analysis", **streams: str) -> Verdict:
    return classify_files(rules, kind="tool", job_type=job_type, streams=logs(folder, **streams), exit=WELL)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_job_without_the_marker_of_its_type_fails(tmp_path: Path, stream: str) -> None:
    found = verdict(tmp_path, with_marker(), **{stream: "All done\n"})
    assert (found.verdict, found.rule) == ("failure", "no-marker")
    assert found.evidence[0].text == "'All done.' is not in stdout and stderr"
    assert verdict(tmp_path, with_marker(), **{stream: "All done.\n"}).verdict == "success"


def test_other_types_have_no_such_marker(tmp_path: Path) -> None:
    assert verdict(tmp_path, with_marker(), "macro", stdout="x\n").verdict == "success"


def test_the_marker_of_the_profile_makes_a_good_end(tmp_path: Path) -> None:
    assert verdict(tmp_path, with_marker(HURT), stdout="All done.\n", stderr="hurt\n").verdict == "success"
    assert verdict(tmp_path, with_marker(HURT), stdout="All\n", stderr="hurt\n").rule == "hurt"


def test_a_rule_that_requires_the_marker_itself_has_the_word(tmp_path: Path) -> None:
    own = rule("no-end", absent="All done.", stream="stdout")
    found = verdict(tmp_path, with_marker(own), stdout="x\n")
    assert found.rule == "no-end"
    assert [one.rule for one in found.also] == []


def test_a_rule_that_requires_it_only_sometimes_does_not_do_for_it(tmp_path: Path) -> None:
    own = rule("no-end", absent="All done.", stream="stdout", unless={"jobs": ["tool"]})
    assert verdict(tmp_path, with_marker(own), stdout="x\n").rule == "no-marker"


def test_the_shipped_rules_hold_a_marker_of_any_profile(tmp_path: Path) -> None:
    pack = Pack(tmp_path / "pack")
    head = "format: 1\nexperiment: NA99\nnumber: 99\n"
    pack.add(
        "job_types:\n  analysis: {kind: tool, success: {marker: All done.}}\n", "na99/experiment.yaml", header=head
    )
    rules = load_rules("NA99", [pack.root])
    assert verdict(tmp_path, rules, stdout="x\n").rule == "end-marker-missing"
    assert verdict(tmp_path, rules, stdout="All done.\n").verdict == "success"


def test_every_marker_of_compass_is_required(tmp_path: Path) -> None:
    rules = load_rules("COMPASS")
    assert rules.markers
    for job_type, marker in rules.markers.items():
        asked = [form.absent for one in rules.for_job(rules.kinds[job_type], job_type) for form in one.conditions]
        assert asked.count(marker) == 1, job_type
