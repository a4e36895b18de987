"""`pilotext rules explain`: explain why a rule matches a log and is elected, or why not."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from pilotext.classify.explain import Explanation, explain
from pilotext.cli import classify
from pilotext.cli.arguments import FilePath, experiment_of
from pilotext.cli.output import write, write_json
from pilotext.errors import UsageError, did_you_mean
from pilotext.profile import known_experiments, load_experiment
from pilotext.rules.conditions import Condition
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import Rule, RuleSet

MAX_LINE = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rule", metavar="RULE", help="the id or the code of the rule: killed, SHINE-1246, 1246")
    parser.add_argument(
        "log", nargs="?", action=FilePath, metavar="LOG", help="the log of the stream that the rule reads"
    )
    classify.add_case_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the explanation as one JSON document")


def run(options: argparse.Namespace) -> int:
    """Print the explanation; 0 if the rule was elected or seen, 1 if not."""
    ruleset = load_rules(experiment_of(options), options.rules)
    rule = _named(ruleset, options.rule, options.rules)
    case = classify.case_of(options, ruleset)
    rule = next((one for one in ruleset.for_job(case.kind, case.job_type) if one.id == rule.id), rule)
    if options.log is not None:
        _take_log(options, rule, ruleset)
    verdict = classify.verdict_of(options, ruleset)
    explanation = explain(rule, verdict, case, classify.streams_of(options))
    if options.json:
        write_json(msgspec.json.encode(explanation))
    else:
        teams = load_experiment(ruleset.experiment, options.rules).known_teams
        asked = ": ".join(part for part in (rule.text.owner, teams.get(rule.text.owner)) if part)
        known = [(f"owner: {asked}", "dim")] if asked else []
        known += [(f"see: {reference}", "dim") for reference in rule.text.references]
        write(_rendered([*_page(rule, explanation, verdict.rule), *known]).encode())
    return int(explanation.outcome == "not seen")


def _named(ruleset: RuleSet, name: str, folders: Sequence[Path]) -> Rule:
    """Return the rule of this id or code. Raises UsageError, which names the experiments that have such a rule."""
    if rule := _find(ruleset, name):
        return rule
    others = [one for one in known_experiments(folders) if one != ruleset.experiment]
    having = [one for one in others if _find(load_rules(one, folders), name)]
    advice = did_you_mean(name, (rule.id for rule in ruleset.rules))
    if having:
        advice = f"It is a rule of {', '.join(having)}: add --experiment {having[0]}."
    raise UsageError(f"{ruleset.experiment} has no rule {name!r}.", advice=advice)


def _find(ruleset: RuleSet, name: str) -> Rule | None:
    names = ((rule, (rule.id, rule.code.label, str(rule.code.number), str(rule.code.digits))) for rule in ruleset.rules)
    return next((rule for rule, known in names if name in known), None)


def _forms(rule: Rule, ruleset: RuleSet) -> Iterable[Condition]:
    """Yield the conditions of a rule, and of the rules that it is made of."""
    for form in rule.conditions:
        yield form
        for part in form.all or ():
            if (other := ruleset.rule(part)) is not None:
                yield from _forms(other, ruleset)


def _take_log(options: argparse.Namespace, rule: Rule, ruleset: RuleSet) -> None:
    if not options.log.is_file():
        raise UsageError(f"{options.log}: there is no such file.")
    stream = next((form.stream for form in _forms(rule, ruleset) if form.stream in ("stdout", "stderr")), "stdout")
    if getattr(options, stream) is not None:
        raise UsageError(f"LOG and --{stream} are both given.", advice="Give one of them.")
    setattr(options, stream, options.log)


def _page(rule: Rule, explanation: Explanation, winner: str | None) -> Iterable[tuple[str, str]]:
    yield f"{rule.code.label} {rule.id}: {explanation.outcome}", "bold"
    if explanation.outcome != "elected":
        yield f"elected: {winner or 'no rule'}", ""
    for reason in explanation.reasons:
        yield f"- {reason}", ""
    for evidence in explanation.evidence:
        yield f"{evidence.stream}:{evidence.line}" if evidence.line else evidence.stream, "bold cyan"
        yield f"  > {evidence.text[:MAX_LINE]}", ""
    for near in explanation.near:
        yield f"{near.stream}:{near.nearest.line}", "bold cyan"
        yield f"  > {near.nearest.text[:MAX_LINE]}", ""
        if not near.nearest.found:
            yield f"  fits: {near.nearest.fulfilled or 'nothing from the begin'}", "green"
            yield f"  not:  {near.nearest.failed}", "red"
    yield f"rule: {rule.place.file}:{rule.place.line}", "dim"


def _rendered(lines: Iterable[tuple[str, str]]) -> str:
    from pilotext.cli.styled_text import rendered, styled  # noqa: PLC0415  only for people

    return rendered(styled(line) for line in lines)
