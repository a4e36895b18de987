"""The verdict on a job, from everything that is known about it, and the one sentence (diag) that travels with it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

import msgspec

from pilotext.classify.conditions import Case, match_finding, matched_rules, unread_markers
from pilotext.classify.election import Election, elect
from pilotext.classify.rule_match import Matches, Precedence, RuleMatch
from pilotext.classify.signature import quote_tail, signature_of, telling_tail
from pilotext.classify.suppression import doubtful, ended_well, names_of, suppressed
from pilotext.model.verdict import Evidence, Finding, Match, Verdict
from pilotext.rules.schema import Rule, RuleSet

NOT_JUDGED = ("no-log", "classifier-failed")
"""Findings that give no information about the job itself."""

MAX_EVIDENCE = 6

IN_DOUBT = (
    "The log ends well after this error, and nothing checked the outputs: read them through before they are used."
)


def decide_verdict(ruleset: RuleSet, matches: Matches, case: Case) -> Verdict:
    """Return the verdict by what is known now; cheap, so it can be repeated when more was found.

    `success` needs exit code 0 and no rule that says otherwise. A failure without a matching rule is
    `unclassified`; without any evidence the verdict is `unknown`.
    """
    rules = ruleset.for_job(case.kind, case.job_type, case.software)
    rule_matches, election, doubts = _elected(ruleset, rules, matches, case)
    if matches.astray and _wants_a_reason(election, case):
        matches = dataclasses.replace(matches, rule_matches=(*matches.rule_matches, *matches.astray), astray=())
        rule_matches, election, doubts = _elected(ruleset, rules, matches, case)
    verdict = Verdict(
        verdict="success",
        also=tuple(_match(one) for one in rule_matches if one is not election.winner),
        dropped=(*election.dropped, *matches.unjudged),
        counters={**matches.counters, **case.extra_counters},
        ruleset=ruleset.digest,
    )
    if election.winner is not None:
        return _by_rule(ruleset, verdict, election.winner, matches, case)
    if finding := _without_rule(ruleset, case) or _by_default(rules, matches, case):
        return _by_finding(ruleset, verdict, finding, matches, case)
    if doubts:
        return _in_doubt(_by_rule(ruleset, verdict, doubts[0], matches, case))
    if case.exit is None:
        diag = "the log shows no failure, and it is not known how the program ended"
        return msgspec.structs.replace(verdict, verdict="unknown", diag=diag)
    return verdict


def provisional_verdict(ruleset: RuleSet, finding: Finding) -> Verdict:
    """Return the verdict that this finding alone gives."""
    case = Case(kind="", job_type="", exit=None, findings=(finding,))
    return _by_finding(ruleset, Verdict(verdict="failure", ruleset=ruleset.digest), finding, Matches(), case)


def _elected(
    ruleset: RuleSet, rules: Sequence[Rule], matches: Matches, case: Case
) -> tuple[list[RuleMatch], Election, list[RuleMatch]]:
    """Return all matches, the election among them, and the forgiven ones that leave the job in doubt."""
    rule_matches = matched_rules(rules, matches, case)
    names = names_of(case.kind, case.job_type, good_end=ended_well(rules, matches, case.exit))
    silent = suppressed(rule_matches, names)
    doubts = [] if case.verified else doubtful(rule_matches, silent, matches)
    return rule_matches, elect(rule_matches, ruleset.rules, silent), sorted(doubts, key=lambda one: one.place)


def _in_doubt(verdict: Verdict) -> Verdict:
    """Return the verdict on a job that ended well in its log, and whose storage or memory failed before that."""
    dropped = tuple(one for one in verdict.dropped if one.rule != verdict.rule)
    also = tuple(one for one in verdict.also if one.rule != verdict.rule)
    return msgspec.structs.replace(
        verdict, verdict="unknown", action="manual-check", remedy=IN_DOUBT, also=also, dropped=dropped
    )


def _wants_a_reason(election: Election, case: Case) -> bool:
    """Whether the job failed without a text or finding as the reason: then texts count in either stream."""
    if election.winner is None:
        return case.exit is not None and (case.exit.code != 0 or case.exit.signal is not None)
    return election.winner.precedence in (Precedence.EXIT, Precedence.FILE, Precedence.ABSENT)


def _without_rule(ruleset: RuleSet, case: Case) -> Finding | None:
    """Return a finding without a rule, which therefore cannot be benign."""
    return next((finding for finding in case.findings if ruleset.for_finding(finding.name) is None), None)


def _by_default(rules: Sequence[Rule], matches: Matches, case: Case) -> Finding | None:
    """Return the finding for a job without any matching rule; None if it succeeded."""
    if matches.unread:
        return Finding(name="classifier-failed", text="; ".join(matches.unread), phase="classify")
    if not matches.streams and case.exit is None:
        return Finding(name="no-log", text="there is neither a log nor an exit status", phase="classify")
    if case.exit is not None and (case.exit.code != 0 or case.exit.signal is not None):
        return Finding(name="unclassified", text=f"{case.exit}, and no rule says why", phase="classify")
    if not matches.streams:
        return Finding(name="no-log", text="there is no log, and exit status 0 alone proves nothing", phase="classify")
    if case.exit is not None and (condition := next(unread_markers(rules, matches), None)):
        text = f"{condition.absent!r} is looked for in {condition.stream}, which was not given"
        return Finding(name="no-log", text=text, phase="classify")
    return None


def _by_finding(ruleset: RuleSet, verdict: Verdict, finding: Finding, matches: Matches, case: Case) -> Verdict:
    rule = ruleset.for_finding(finding.name)
    if rule is not None:
        return _by_rule(ruleset, verdict, match_finding(rule, finding), matches, case)
    return msgspec.structs.replace(
        verdict,
        verdict="unknown" if finding.name in NOT_JUDGED else "failure",
        cause="unknown",
        action="manual-check",
        diag=compose(finding.name, finding.text, ""),
        signature=signature_of(telling_tail(ruleset, matches)[1], case.exit),
    )


def _by_rule(ruleset: RuleSet, verdict: Verdict, winner: RuleMatch, matches: Matches, case: Case) -> Verdict:
    text, code = winner.rule.text, winner.rule.code
    evidence = tuple(dict.fromkeys(winner.evidence))[:MAX_EVIDENCE]
    named, said = None, sentence(winner)
    nameless = text.cause == "unknown" or winner.precedence is Precedence.ABSENT  # a missing marker never says why
    if nameless or winner.precedence is Precedence.EXIT:
        stream, lines = telling_tail(ruleset, matches)
        named = signature_of(lines, case.exit) if nameless else None
        if lines and not any(one.line for one in evidence):
            evidence += (quote_tail(text.id, stream, lines),)
            said = f"{said}: {evidence[-1].text.strip()}" if text.cause == "unknown" else said
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
        diag=compose(f"{code.label} {text.id}", said, place(evidence)),
        remedy=text.remedy,
        evidence=evidence,
        signature=named,
    )


def _match(one: RuleMatch) -> Match:
    return Match(
        rule=one.rule.id,
        code=one.rule.code.label,
        action=one.rule.text.action,
        count=one.count,
        evidence=one.evidence[:1],
    )


MAX_DIAG_CHARS = 256
"""Length of PanDA's columns for diagnostics."""

MAX_PLACE_CHARS = 60
_FIELD = re.compile(r"\{(\w+)\}")


def sentence(rule_match: RuleMatch) -> str:
    """Return the rule's message with its fields; its title if a field is missing; for a finding, the facts."""
    text = rule_match.rule.text
    fields = rule_match.fields
    if text.message and all(name in fields for name in _FIELD.findall(text.message)):
        return _FIELD.sub(lambda found: str(fields[found[1]]), text.message)
    return str(fields.get("text") or text.title)


def place(evidence: Iterable[Evidence]) -> str:
    """Return the place of the evidence, `stderr:812`; empty if none is in a line of a stream."""
    first = next((one for one in evidence if one.line), None)
    if first is None:
        return ""
    line = f":{first.line}"
    return first.stream[: MAX_PLACE_CHARS - len(line)] + line


def compose(key: str, said: str, where: str) -> str:
    """Compose `SHINE-1241 cannot-allocate: <sentence> (stderr:812)`: ASCII, one line, cut within the sentence."""
    tail = f" ({_plain(where)})" if where else ""
    head = f"{_plain(key)}: "[: MAX_DIAG_CHARS - len(tail)]
    room = MAX_DIAG_CHARS - len(head) - len(tail)
    return f"{head}{one_line(said, room)}{tail}"


def one_line(text: str, longest: int) -> str:
    """Return the text as printable ASCII in one line, cut to `longest` characters."""
    plain = _plain(text)
    return plain if len(plain) <= longest else f"{plain[: max(0, longest - 3)].rstrip()}..."[:longest]


def _plain(text: str) -> str:
    printable = "".join(letter if letter.isprintable() or letter.isspace() else "?" for letter in text)
    return " ".join(printable.encode("ascii", "replace").decode().split())
