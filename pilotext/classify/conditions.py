"""Evaluation of conditions that are not about texts: exit status, files, findings, counters, and rules made of rules.

Texts of logs are matched in `matching.py`; the markers that a log lacks are evaluated here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pilotext.classify.rule_match import Matches, Precedence, RuleMatch
from pilotext.model.job import PLACEHOLDER
from pilotext.model.verdict import Evidence, ExitStatus, Finding
from pilotext.rules import event_balance
from pilotext.rules.conditions import Condition, ExitCondition, FileCondition, RateCondition, exit_range
from pilotext.rules.schema import Rule

VALIDATIONS = ("output-", "raw-", "law-")
"""Prefixes of findings about data; other findings are about the wrapper's own work."""

MAX_NEIGHBOURS = 3


@dataclass(frozen=True)
class Case:
    """Facts about a job beside its logs: kind, type, exit status (None: the payload never started), findings.

    `workdir` is the folder for conditions on files; `extra_counters` were counted by the wrapper; `software` is the
    version of the experiment's software, empty if unknown. `verified`: the outputs or event counts of the job are
    checked as well, so that a good end of its log is not all that speaks for it.
    """

    kind: str
    job_type: str
    exit: ExitStatus | None
    findings: tuple[Finding, ...] = ()
    workdir: Path | None = None
    extra_counters: Mapping[str, int | float] = field(default_factory=dict)
    software: str = ""
    verified: bool = False


def matched_rules(rules: Sequence[Rule], matches: Matches, case: Case) -> list[RuleMatch]:
    """Return one match for each rule that matched, notes and shadow rules included."""
    meant = {rule.id for rule in rules}
    seen = [one for one in matches.rule_matches if one.rule.id in meant]
    for rule in rules:
        for condition in rule.conditions:
            seen += _measured(rule, condition, case)
    counters = {**matches.counters, **case.extra_counters}
    counted = [match_counters(rule, form, counters, seen) for rule in rules for form in rule.conditions]
    seen += [one for one in counted if one is not None]
    if case.exit is not None or matches.streams:
        silencing = {one.rule.id for one in seen} | {case.kind, case.job_type}
        seen += [one for rule in rules for one in _absent(rule, matches, silencing)]
    return _with_composites(rules, merge_forms(seen))


def _with_composites(rules: Sequence[Rule], parts: list[RuleMatch]) -> list[RuleMatch]:
    """Add the matches of rules that require others (`all`), until no further rule matches."""
    composites = [(rule, form.all) for rule in rules for form in rule.conditions if form.all]
    seen = {one.rule.id: one for one in parts}
    for _ in composites:  # at most one round per rule
        made = [
            _match_composite(rule, [seen[part] for part in all_of])
            for rule, all_of in composites
            if seen.keys() >= {*all_of}
        ]
        known, seen = seen, {one.rule.id: one for one in merge_forms([*parts, *made])}
        if known.keys() == seen.keys():
            break
    return [*seen.values()]


def _match_composite(rule: Rule, parts: Sequence[RuleMatch]) -> RuleMatch:
    """Match a rule by its parts; it takes the precedence of the part that comes first."""
    nearest = min(parts, key=lambda one: (one.precedence, one.place))
    evidence = tuple(each for one in parts for each in one.evidence)
    fields = _merge_fields(one.fields for one in parts)
    return RuleMatch(rule, nearest.precedence, nearest.count, evidence, fields, nearest.place, nearest.literal)


def match_finding(rule: Rule, finding: Finding, number: int = 0) -> RuleMatch:
    """Match a rule by a finding; `number` is the position among the findings."""
    fits = [condition for condition in rule.conditions if _names(condition, finding)]
    precedence = Precedence.VALIDATION if finding.name.startswith(VALIDATIONS) else Precedence.FINDING
    if any(condition.limit is not None for condition in fits):
        precedence = Precedence.LIMIT
    evidence = Evidence(rule=rule.id, stream="wrapper", line=0, offset=0, text=finding.text)
    fields = {"text": finding.text, **finding.fields}
    return RuleMatch(rule, precedence, 1, (evidence,), fields, (0, "", number))


def merge_forms(rule_matches: Iterable[RuleMatch]) -> list[RuleMatch]:
    """Merge all matches of a rule into one: the first by precedence, with the evidence of all in order."""
    forms: dict[str, list[RuleMatch]] = {}
    for one in rule_matches:
        forms.setdefault(one.rule.id, []).append(one)
    return [_one(sorted(seen, key=lambda one: (_in_log(one), one.place))) for seen in forms.values()]


def _one(forms: list[RuleMatch]) -> RuleMatch:
    strongest = min(forms, key=lambda one: (one.precedence, one.place))
    evidence = tuple(each for one in forms for each in one.evidence)
    count = sum(one.count for one in forms if one.precedence == strongest.precedence)
    return RuleMatch(
        strongest.rule,
        strongest.precedence,
        count,
        evidence,
        _merge_fields(one.fields for one in forms),
        strongest.place,
        strongest.literal,
    )


def _merge_fields(parts: Iterable[Mapping[str, str | int | float]]) -> dict[str, str | int | float]:
    """Merge the fields of several matches of a rule; the first that has a field wins."""
    together: dict[str, str | int | float] = {}
    for part in parts:
        together = {**part, **together}
    return together


def _in_log(one: RuleMatch) -> bool:
    """Sort key that puts evidence from a log first: people trust a line that they can read."""
    return one.precedence != Precedence.TEXT


def _measured(rule: Rule, condition: Condition, case: Case) -> Iterator[RuleMatch]:
    if condition.exit is not None and case.exit is not None and exit_fits(condition.exit, case.exit):
        yield _of_exit(rule, condition.exit, case.exit)
    if condition.file is not None and case.workdir is not None and (said := file_fits(condition.file, case.workdir)):
        evidence = Evidence(rule=rule.id, stream="wrapper", line=0, offset=0, text=said)
        yield RuleMatch(rule, Precedence.FILE, 1, (evidence,), {"text": said})
    for number, finding in enumerate(case.findings):
        if _names(condition, finding):
            yield match_finding(rule, finding, number)


def _of_exit(rule: Rule, wanted: ExitCondition, status: ExitStatus) -> RuleMatch:
    sent = status.signal is not None and status.signal not in CRASH_SIGNALS and status.signal in wanted.signals
    evidence = Evidence(rule=rule.id, stream="wrapper", line=0, offset=0, text=str(status))
    fields: dict[str, str | int | float] = {"exit": str(status)}
    fields |= {"code": status.code} if status.code is not None else {"signal": status.signal or ""}
    return RuleMatch(rule, Precedence.SIGNAL if sent else Precedence.EXIT, 1, (evidence,), fields)


def _absent(rule: Rule, matches: Matches, silencing: set[str]) -> Iterator[RuleMatch]:
    for condition in rule.conditions:
        if (
            condition.absent is None
            or (rule.id, condition) in matches.markers
            or silencing & set(condition.unless.names)
        ):
            continue
        if not _was_read(condition, matches):
            continue
        tail = matches.streams[condition.stream].tail if condition.stream in matches.streams else ()
        last = [line.text for line in tail if line.text.strip()][-MAX_NEIGHBOURS:]
        where = "stdout and stderr" if condition.stream == "any" else condition.stream
        text = f"{condition.absent!r} is not in {where}"
        evidence = Evidence(rule=rule.id, stream="wrapper", line=0, offset=0, text=text, before=tuple(last))
        yield RuleMatch(rule, Precedence.ABSENT, 1, (evidence,))


def _was_read(condition: Condition, matches: Matches) -> bool:
    """Whether a stream that could contain the text was read."""
    return condition.stream in matches.streams or (condition.stream == "any" and bool(matches.streams))


def unread_markers(rules: Iterable[Rule], matches: Matches) -> Iterator[Condition]:
    """Yield required markers of streams that were not given."""
    for rule in rules:
        for condition in rule.conditions:
            asked = condition.absent is not None and rule.text.action != "note"
            if asked and (rule.id, condition) not in matches.markers and not _was_read(condition, matches):
                yield condition


def _names(condition: Condition, finding: Finding) -> bool:
    if condition.limit is not None:
        return finding.name == f"limit-{condition.limit}"
    return condition.finding == finding.name


CRASH_SIGNALS = frozenset(
    f"SIG{name}" for name in ("SEGV", "ABRT", "IOT", "BUS", "FPE", "ILL", "TRAP", "SYS", "EMT", "STKFLT")
)
"""Signals that a program causes itself; any other was sent to it."""


def exit_fits(wanted: ExitCondition, status: ExitStatus) -> bool:
    """Whether this exit status fulfils the condition."""
    if wanted.core is not None and wanted.core != status.core:
        return False
    if not (wanted.codes or wanted.ranges or wanted.signals):
        return True
    if status.signal is not None:
        return status.signal in wanted.signals
    code = status.code
    return code is not None and (code in wanted.codes or any(code in exit_range(text) for text in wanted.ranges))


def file_fits(wanted: FileCondition, workdir: Path) -> str:
    """Return a sentence naming the file that is in the wanted state; empty if none is."""
    files = sorted(path for path in workdir.glob(wanted.name.lstrip("/")) if path.is_file())
    if wanted.state == "missing":
        return "" if files else f"{wanted.name} is missing"
    return next((said for path in files if (said := _state(wanted, path))), "")


def _state(wanted: FileCondition, path: Path) -> str:
    size = path.stat().st_size
    if wanted.state == "empty":
        return f"{path.name} is empty" if size == 0 else ""
    if wanted.state == "smaller-than":
        return f"{path.name} has {size} bytes, fewer than {wanted.bytes}" if size < wanted.bytes else ""
    if wanted.state == "placeholder":
        return f"{path.name} is the placeholder for a file without events" if is_placeholder(path) else ""
    return "" if _begin(path, 4) == b"root" else f"{path.name} is not a ROOT file"


def is_placeholder(path: Path) -> bool:
    """Whether a file holds exactly the placeholder of an event dump without events."""
    return _begin(path, len(PLACEHOLDER) + 1) == PLACEHOLDER


def _begin(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        return file.read(length)


Counters = Mapping[str, int | float]


def match_counters(rule: Rule, condition: Condition, counters: Counters, seen: Sequence[RuleMatch]) -> RuleMatch | None:
    """Match a condition on counters; None if it is not fulfilled or a counter is missing."""
    if condition.events is not None:
        return _match_balance(rule, condition, counters)
    if condition.rate is not None:
        return _match_rate(rule, condition.rate, counters, seen)
    return None


def _match_balance(rule: Rule, condition: Condition, counters: Counters) -> RuleMatch | None:
    text = condition.events or ""
    if any(name not in counters for name in event_balance.parse(text).names):
        return None
    result = event_balance.check(text, counters, condition.tolerance)
    return None if result.holds else _rule_match(rule, result.sentence, ())


def _match_rate(rule: Rule, rate: RateCondition, counters: Counters, seen: Sequence[RuleMatch]) -> RuleMatch | None:
    quoted = next((one for one in seen if rate.rule is not None and one.rule.id == rate.rule), None)
    count = counters.get(rate.counter) if rate.counter is not None else None if quoted is None else quoted.count
    if count is None or (rate.more_than is not None and count <= rate.more_than):
        return None
    said = f"{rate.counter or rate.rule} is {count}"
    if rate.percent is not None:
        whole = counters.get(rate.of or "")
        if whole is None or count * 100 <= rate.percent * whole:
            return None
        said += f", more than {rate.percent:g} % of {rate.of} ({whole})"
    return _rule_match(rule, said, quoted.evidence if quoted is not None else ())


def _rule_match(rule: Rule, said: str, quoted: Sequence[Evidence]) -> RuleMatch:
    evidence = Evidence(rule=rule.id, stream="wrapper", line=0, offset=0, text=said)
    return RuleMatch(rule, Precedence.VALIDATION, 1, (evidence, *quoted), {"text": said})
