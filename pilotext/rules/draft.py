"""Draft of a rule for a line that no rule matches, for an expert to correct."""

from __future__ import annotations

import json
import re

from pilotext.errors import UsageError
from pilotext.model.codes import BLOCKS
from pilotext.model.verdict import Evidence
from pilotext.rules.lint.identity import PLACEHOLDER
from pilotext.rules.patterns import find
from pilotext.rules.schema import FORMAT, RuleSet

MAX_PATTERN_CHARS = 160
MAX_ID_CHARS = 40

_WEEKDAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"

# Parts that differ between two cases of one failure: paths and URLs, days and months, quoted names of fields, detectors
# and the like, names with digits, numbers. The first of each kind but days becomes a named group for the message.
_VARIABLE = re.compile(
    r"(?P<file>\w+://\S+|(?<![\w.])(?:/[\w.+~%$@=-]+)+)|(?P<hex>0[xX][0-9a-fA-F]+)"
    rf"|(?P<day>\b(?:{_WEEKDAYS})(?:day|sday|nesday|rsday|urday)?\b)|(?P<month>(?<![A-Za-z])(?:{_MONTHS})(?![a-z]))"
    r"|(?P<field>(?<=')[A-Za-z_][\w.]*(?=')|(?<=\")[A-Za-z_][\w.]*(?=\")|(?<=`)[A-Za-z_][\w.]*(?=['`]))"
    r"|(?P<name>\b(?=\w*\d)(?=\w*[A-Za-z])\w+)|(?P<number>\d+(?:\.\d+)?)"
)
_PIECES = {
    "file": r"\S+",
    "hex": "0[xX][0-9a-fA-F]+",
    "day": r"\w+",
    "month": r"\w{3}",
    "field": r"[\w.]+",
    "name": r"\w+",
    "number": r"[\d.]+",
}
_UNNAMED = ("day", "month")
_FOR_PEOPLE = {
    "file": "a file",
    "hex": "an address",
    "day": "a day",
    "month": "a month",
    "field": "a name",
    "name": "X",
    "number": "N",
}
SCHEMA = "../../docs/rules.schema.json"
"""Path of the JSON Schema from the folder of a shipped pack."""

_SPECIAL = re.compile(r"[\\.^$*+?{}\[\]|()]")


def draft(
    evidence: Evidence, ruleset: RuleSet, *, since: str, signature: str = "", common: bool = False, schema: str = SCHEMA
) -> str:
    """Return the text of a rule file with one rule for the quoted line, for every experiment if it is `common`.

    Its `no-match` example is a line from the same log. What its author must write begins with PLACEHOLDER: lint refuses
    it, and the classifier takes it. Raises UsageError if the evidence has no line.
    """
    line = evidence.text.split("\n")[0].strip()
    if not line or not evidence.line:
        raise UsageError("there is no line to draft a rule from.", advice="Choose one with --line STREAM:N.")
    pattern = _pattern(line)
    stream = evidence.stream if evidence.stream in ("stdout", "stderr") else "any"
    title = _VARIABLE.sub(lambda found: _FOR_PEOPLE[found.lastgroup or "number"], line)[:80].strip()
    code = _free_code(ruleset, common=common)
    rows = [
        f"# yaml-language-server: $schema={schema}",
        f"format: {FORMAT}",
        *([] if common else [f"experiment: {ruleset.experiment}"]),
        "",
        "rules:",
        f"  - id: {_id(line, ruleset)}  # choose a better one: it never changes",
        f"    code: {code}  # the first that is free; it never changes either",
        f"    title: {_scalar(f'{PLACEHOLDER}: {title}')}  # what it means, not what it prints",
        "    cause: unknown  # docs/rules.md lists the causes",
        "    action: manual-check",
        f"    match: {_scalar(pattern)}",
        f"    stream: {stream}",
        f"    remedy: '{PLACEHOLDER}: what the reader of the verdict should do'",
        f"    owner: '{PLACEHOLDER}'  # a team of the profile, or an address",
        f"    since: '{since}'",
        *([f"    references: [{_scalar(f'signature {signature}')}]"] if signature else []),
        "    examples:",
        f"      - match: {_scalar(line)}",
        f"      - no-match: {_scalar(_harmless(evidence, pattern))}",
    ]
    return "\n".join(rows) + "\n"


def _pattern(line: str) -> str:
    parts, at, named = [], 0, set()
    for found in _VARIABLE.finditer(line):
        kind = found.lastgroup or "number"
        piece = _PIECES[kind] if kind in named or kind in _UNNAMED else f"(?<{kind}>{_PIECES[kind]})"
        named.add(kind)
        parts += [_escaped(line[at : found.start()]), piece]
        at = found.end()
        if sum(map(len, parts)) > MAX_PATTERN_CHARS:
            return "".join(parts)
    return "".join([*parts, _escaped(line[at : at + MAX_PATTERN_CHARS])])


def _escaped(text: str) -> str:
    """Escape `text` for a pattern; unlike `re.escape`, without a backslash before every blank."""
    return _SPECIAL.sub(lambda found: "\\" + found[0], text)


def _harmless(evidence: Evidence, pattern: str) -> str:
    around = [*reversed(evidence.before), *evidence.after]
    wanted = (line for line in around if line.strip() and not find(pattern, line, 1.0))
    return next(wanted, f"{PLACEHOLDER}: a harmless line")


def _id(line: str, ruleset: RuleSet) -> str:
    words = re.findall(r"[a-z]+", _VARIABLE.sub(" ", line).lower())
    name = "-".join(words)[:MAX_ID_CHARS].rsplit("-", 1)[0] if len("-".join(words)) > MAX_ID_CHARS else "-".join(words)
    name = name or "new-rule"
    return name if ruleset.rule(name) is None else f"{name}-2"


def _free_code(ruleset: RuleSet, *, common: bool) -> int:
    taken = {rule.text.code for rule in ruleset.rules}
    blocks = [BLOCKS["common"]] if common else [range(first, last + 1) for first, last in ruleset.codes]
    free = next((code for block in blocks for code in block if code not in taken), None)
    if free is None:
        whose = "the common rules" if common else ruleset.experiment
        advice = "Extend a rule that means the same" + ("." if common else ", or add to `codes` in the profile.")
        raise UsageError(f"every code of {whose} is taken.", advice=advice)
    return free


def _scalar(text: str) -> str:
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text)
