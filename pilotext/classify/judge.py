"""From everything that is known about a job to its verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec

from pilotext.classify.diag import compose, place, sentence
from pilotext.classify.elect import Election, elect
from pilotext.classify.observe import Case, observe, of_finding, rules_for, unseen_markers
from pilotext.classify.sighting import Matches, Sighting, Weight
from pilotext.classify.tail import quote_tail, signature_of, tail_that_matters
from pilotext.classify.unless import ended_well, names_of, silenced
from pilotext.model.verdict import Finding, Match, Verdict
from pilotext.rules.schema import Rule, RuleSet

NOT_JUDGED = ("no-log", "classifier-failed")
"""Findings that say nothing about the job itself."""

MOST_EVIDENCE = 6


def judge(ruleset: RuleSet, matches: Matches, case: Case) -> Verdict:
    """The verdict by what is known now; cheap, so ask again when more was found.

    `success` needs exit code 0 and no rule that says otherwise. A failure that no rule knows is `unclassified`; where
    there is nothing to judge by, the verdict is `unknown`.
    """
    rules = rules_for(ruleset, case)
    sightings, election = _elected(ruleset, rules, matches, case)
    if matches.astray and _wants_a_reason(election, case):
        matches = dataclasses.replace(matches, sightings=(*matches.sightings, *matches.astray), astray=())
        sightings, election = _elected(ruleset, rules, matches, case)
    verdict = Verdict(
        verdict="success",
        also=tuple(_match(one) for one in sightings if one is not election.winner),
        dropped=(*election.dropped, *matches.unjudged),
        counters={**matches.counters, **case.extra_counters},
        ruleset=ruleset.digest,
    )
    if election.winner is not None:
        return _by_rule(ruleset, verdict, election.winner, matches, case)
    if finding := _without_rule(ruleset, case) or _by_default(rules, matches, case):
        return _by_finding(ruleset, verdict, finding, matches, case)
    if case.exit is None:
        diag = "nothing in the log tells of a failure, and how the program ended is not known"
        return msgspec.structs.replace(verdict, verdict="unknown", diag=diag)
    return verdict


def provisional(ruleset: RuleSet, finding: Finding) -> Verdict:
    """The verdict that this finding alone would give."""
    case = Case(kind="", job_type="", exit=None, findings=(finding,))
    return _by_finding(ruleset, Verdict(verdict="failure", ruleset=ruleset.digest), finding, Matches(), case)


def _elected(ruleset: RuleSet, rules: Sequence[Rule], matches: Matches, case: Case) -> tuple[list[Sighting], Election]:
    sightings = observe(rules, matches, case)
    names = names_of(case.kind, case.job_type, good_end=ended_well(rules, matches, case.exit))
    return sightings, elect(sightings, ruleset.rules, silenced(sightings, names))


def _wants_a_reason(election: Election, case: Case) -> bool:
    """Whether the job failed, and no text or finding says why: then texts count in whichever stream they stand."""
    if election.winner is None:
        return case.exit is not None and (case.exit.code != 0 or case.exit.signal is not None)
    return election.winner.weight in (Weight.EXIT, Weight.FILE, Weight.ABSENT)


def _without_rule(ruleset: RuleSet, case: Case) -> Finding | None:
    """A finding that the rules do not know, so it cannot be benign."""
    return next((finding for finding in case.findings if ruleset.for_finding(finding.name) is None), None)


def _by_default(rules: Sequence[Rule], matches: Matches, case: Case) -> Finding | None:
    """What to say of a job that no rule says anything of; None if that is all right."""
    if matches.unread:
        return Finding(name="classifier-failed", text="; ".join(matches.unread), phase="classify")
    if not matches.streams and case.exit is None:
        return Finding(name="no-log", text="there is neither a log nor an exit status", phase="classify")
    if case.exit is not None and (case.exit.code != 0 or case.exit.signal is not None):
        return Finding(name="unclassified", text=f"{case.exit}, and no rule says why", phase="classify")
    if not matches.streams:
        return Finding(name="no-log", text="there is no log, and exit status 0 alone proves nothing", phase="classify")
    if case.exit is not None and (condition := next(unseen_markers(rules, matches), None)):
        text = f"{condition.absent!r} is looked for in {condition.stream}, which was not given"
        return Finding(name="no-log", text=text, phase="classify")
    return None


def _by_finding(ruleset: RuleSet, verdict: Verdict, finding: Finding, matches: Matches, case: Case) -> Verdict:
    rule = ruleset.for_finding(finding.name)
    if rule is not None:
        return _by_rule(ruleset, verdict, of_finding(rule, finding), matches, case)
    return msgspec.structs.replace(
        verdict,
        verdict="unknown" if finding.name in NOT_JUDGED else "failure",
        cause="unknown",
        action="manual-check",
        diag=compose(finding.name, finding.text, ""),
        signature=signature_of(tail_that_matters(ruleset, matches)[1], case.exit),
    )


def _by_rule(ruleset: RuleSet, verdict: Verdict, winner: Sighting, matches: Matches, case: Case) -> Verdict:
    text, code = winner.rule.text, winner.rule.code
    evidence = winner.evidence[:MOST_EVIDENCE]
    named = None
    if text.cause == "unknown" or winner.weight is Weight.ABSENT:  # a missing marker says that, and never why
        stream, lines = tail_that_matters(ruleset, matches)
        named = signature_of(lines, case.exit)
        if lines and not any(one.line for one in evidence):
            evidence += (quote_tail(text.id, stream, lines),)
    not_judged = any(condition.finding in NOT_JUDGED for condition in winner.rule.conditions)
    return msgspec.structs.replace(
        verdict,
        verdict="unknown" if not_judged else "failure",
        code=code.label,
        number=code.number,
        cause=text.cause,
        action=text.action,
        rule=text.id,
        title=text.title,
        diag=compose(f"{code.label} {text.id}", sentence(winner), place(evidence)),
        remedy=text.remedy,
        evidence=evidence,
        signature=named,
    )


def _match(one: Sighting) -> Match:
    return Match(
        rule=one.rule.id,
        code=one.rule.code.label,
        action=one.rule.text.action,
        count=one.count,
        evidence=one.evidence[:1],
    )
