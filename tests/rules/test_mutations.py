"""Mutations of good logs: a decisive line of any rule at a random place, and the benign lines of the corpus.

A decisive line makes a good log a failure or unknown, unless its rule says in `unless-because` why not. The share that
stays a success is printed by rule. The soak run takes every example in every good log, the short one some of them.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotext.cli.rules.log_cases import LogCase, case_files, judge_case, own_cases
from pilotext.model.verdict import Verdict
from pilotext.profile import load_experiment
from pilotext.rules.conditions import Condition
from pilotext.rules.examples import fulfilled
from pilotext.rules.loader import load_rules
from pilotext.rules.patterns import find
from pilotext.rules.schema import Rule
from pilotext.serialization.json import from_plain
from pilotext.serialization.yaml import read_yaml

SOAK = bool(os.environ.get("PILOTEXT_SOAK"))
LOGS_PER_RULE = 1000 if SOAK else 2
EXAMPLES_PER_RULE = 1000 if SOAK else 1
SEED = 20261129

GOOD_LINES = sorted((Path(__file__).resolve().parents[2] / "fixtures" / "good_lines").glob("*.txt"))
RULES = load_rules("COMPASS")

STAYS: dict[str, str] = {}
"""Rules whose line may leave a good log a success without an `unless` of their own, with the reason."""

MAX_FORGIVING = 48
"""Rules that a good end may silence: each further one is a decision."""


def good_cases() -> Iterator[tuple[Path, LogCase]]:
    for path in case_files(own_cases()):
        case = from_plain(read_yaml(path).data, LogCase)
        if case.experiment == "COMPASS" and case.expect.verdict == "success":
            yield path.parent, case


GOOD = list(good_cases())


Good = tuple[Path, LogCase]


def mutant(good: Good, target: Path, stream: str, lines: list[str], chance: random.Random) -> Verdict:
    """The verdict on a copy of a case with these lines at random places of a stream."""
    folder, case = good
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    path = target / stream
    text = path.read_text(errors="surrogateescape").split("\n") if path.is_file() else []
    for line in lines:
        place = chance.randint(0, max(0, len(text) - 1))
        text[place:place] = line.split("\n")
    path.write_text("\n".join(text), errors="surrogateescape")
    return judge_case(target, case, RULES)


BENIGN = [line for path in GOOD_LINES for line in path.read_text().splitlines() if line and not line.startswith("#")]


def counts(line: str) -> bool:
    """Whether the line is one of the numbers that such a job prints of itself."""
    return any(find(counter.match, line) for counter in RULES.counters)


def decisive(rule: Rule) -> bool:
    return rule.text.action != "note" and rule.text.status == "active"


def streams_of(rule: Rule) -> list[str]:
    forms = [form for form in rule.conditions if form.match or form.contains]
    named = {form.stream for form in forms}
    return [stream for stream in ("stdout", "stderr") if named & {stream, "any"}]


def shown_in(rule: Rule, stream: str, text: str) -> bool:
    """Whether the rule matches the text in this stream, alone and as it stands."""

    def fits(form: Condition) -> bool:
        return bool(form.match or form.contains) and form.stream in (stream, "any") and bool(fulfilled(form, text))

    return any(fits(form) for form in rule.conditions)


def forgives(rule: Rule) -> bool:
    unless = rule.text.unless
    return (unless.good_end or unless.checked_end or unless.alone) and bool(rule.text.unless_because)


@pytest.mark.timeout(3600 if SOAK else 300)
def test_a_decisive_line_leaves_no_good_log_a_success(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(SEED)
    tried: Counter[str] = Counter()
    stayed: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for rule in RULES.rules:
        examples = [one.match for one in rule.text.examples if one.match is not None] if decisive(rule) else []
        kinds = load_experiment("COMPASS")
        logs = [(folder, case) for folder, case in GOOD if rule.applies_to(kinds.kind_of(case.job_type), case.job_type)]
        for folder, case in chance.sample(logs, min(len(logs), LOGS_PER_RULE)):
            for text in chance.sample(examples, min(len(examples), EXAMPLES_PER_RULE)):
                fitting = [stream for stream in streams_of(rule) if shown_in(rule, stream, text)]
                if not fitting:
                    continue
                tried[rule.id] += 1
                verdict = mutant((folder, case), tmp_path / "mutant", chance.choice(fitting), [text], chance)
                if verdict.verdict == "success":
                    stayed[rule.id] += 1
                    shown[rule.id] = f"{folder.name}: {text}"
    with capfd.disabled():
        print(f"\nmutants: {sum(tried.values())}, of {len(tried)} rules, in {len(GOOD)} good logs; success by rule:")
        for name, count in stayed.most_common():
            rule = next(one for one in RULES.rules if one.id == name)
            print(f"  {count}/{tried[name]} {name}: {rule.text.unless_because or STAYS.get(name, 'NO REASON')}")
    assert len(tried) > 130
    unexplained = {
        name: shown[name]
        for name in stayed
        if name not in STAYS and not forgives(next(one for one in RULES.rules if one.id == name))
    }
    assert unexplained == {}
    assert {*STAYS} <= {rule.id for rule in RULES.rules}
    assert sum(map(forgives, RULES.rules)) <= MAX_FORGIVING


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.timeout(3600 if SOAK else 300)
def test_no_benign_line_fails_a_good_job(tmp_path: Path, stream: str) -> None:
    chance = random.Random(SEED)
    wrong = {}
    for folder, case in GOOD:
        path = folder / stream
        if not path.is_file() or not path.stat().st_size:  # a job with one log: the other stream is none of its
            continue
        lines = [line for line in BENIGN if not counts(line)]
        verdict = mutant((folder, case), tmp_path / "mutant", stream, lines, chance)
        if verdict.verdict != "success":
            wrong[folder.name] = (verdict.rule, [one.text for one in verdict.evidence])
    assert wrong == {}
