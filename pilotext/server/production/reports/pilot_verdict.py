"""Verdict on a job where no report of the wrapper came: by its PanDA pilot's last update, or by the batch system."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from pilotext.errors import FieldError
from pilotext.model import Record
from pilotext.model.codes import Exit
from pilotext.model.verdict import Verdict
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import Rule, RuleSet
from pilotext.serialization.json import from_json, from_plain

# The pilot's own codes (pilot3 `common/errorcodes.py`) that say more than that the job failed.
_PAYLOAD_FAILED = 1305
_FINDING_OF = {
    **dict.fromkeys((1144, *range(1200, 1208), 1236), "pilot-was-ended"),
    1201: "pilot-evicted",  # SIGTERM
    **dict.fromkeys((1104, 1106, 1150, 1213, 1317, 1375), "pilot-limit"),
    **dict.fromkeys((1212, 1223, 1235), "pilot-memory"),
    **dict.fromkeys(
        (*(1098, 1110, 1186, 1199, 1211, 1327, 1342, 1359, 1372), *range(1306, 1310), 1325, 1340, 1345, 1348),
        "pilot-node-unusable",
    ),
    **dict.fromkeys((1143, 1149, 1346), "pilot-without-pilotext"),
}
_FINDING_OF_BATCH_END: dict[str, tuple[str, str]] = {
    "preempted": ("batch-job-ended", "preempted"),
    "cancelled": ("batch-job-ended", "cancelled"),
    "time-limit": ("batch-job-ended", "its time limit was over"),
    "node-failed": ("node-failed", ""),
    "memory": ("batch-job-memory", ""),
}
"""Findings by the ways in which batch jobs end, with what the title of the rule leaves open."""
_OUR_CODE = re.compile(r"(?:^|:)([A-Z][A-Z0-9]*-\d{4}) ")
_LONGEST = 256


class PilotSaid(Record, frozen=True):
    """The last update of a pilot, as far as it says how the job ended; `code` is that of our own metadata."""

    state: str
    pilot_code: int = 0
    pilot_diag: str = ""
    payload_status: int = 0
    error_code: int = 0
    error_diag: str = ""
    code: str = ""
    batch: str = ""

    @classmethod
    def of(cls, update: Mapping[str, Any]) -> PilotSaid:
        return cls(
            state=_text(update, "state"),
            pilot_code=_number(update, "pilotErrorCode"),
            pilot_diag=_text(update, "pilotErrorDiag"),
            payload_status=_number(update, "transExitCode"),
            error_code=_number(update, "exeErrorCode"),
            error_diag=_text(update, "exeErrorDiag"),
            code=_code_in(update.get("metaData")),
            batch=_text(update, "batchID"),
        )


def verdict_without_report(said: PilotSaid, experiment: str) -> Verdict:
    """Return the verdict by a pilot's last update when no report came; never a success, since nothing proves one."""
    rules = rules_of(experiment)
    told = said.error_diag or said.pilot_diag
    rule = _rule_told(said, rules)
    if rule is None:
        rule = rules.for_finding(_finding(said))
        told = f"{rule.text.title if rule else ''}; pilot {said.pilot_code}: {said.pilot_diag or said.state}"
    assert rule is not None, "every finding has a rule"
    return _verdict(rule, told)


def verdict_of_batch_end(end: str, experiment: str) -> Verdict | None:
    """Return the verdict by the batch system's word on how a batch job has ended; None where that gives no reason."""
    finding, more = _FINDING_OF_BATCH_END.get(end, ("", ""))
    rule = rules_of(experiment).for_finding(finding) if finding else None
    return None if rule is None else _verdict(rule, f"{rule.text.title}{f': {more}' if more else ''}")


def _verdict(rule: Rule, told: str) -> Verdict:
    key = f"{rule.code.label} {rule.id}: "
    diag = key + told.rpartition(key)[2]
    return Verdict(
        verdict="failure",
        code=rule.code.label,
        number=rule.code.number,
        cause=rule.text.cause,
        action=rule.text.action,
        rule=rule.id,
        title=rule.text.title,
        diag=" ".join(diag.encode("ascii", "replace").decode().split())[:_LONGEST],
        remedy=rule.text.remedy,
    )


def _rule_told(said: PilotSaid, rules: RuleSet) -> Rule | None:
    """The rule that the wrapper elected, as far as the pilot passed that on."""
    found = _OUR_CODE.search(said.pilot_diag)
    labels = {said.code, found[1] if found else ""} - {""}
    for rule in rules.rules:
        if rule.text.action != "note" and (rule.code.number == said.error_code or rule.code.label in labels):
            return rule
    return None


def _finding(said: PilotSaid) -> str:
    if said.pilot_code == _PAYLOAD_FAILED and said.payload_status == Exit.USAGE:
        return "pilot-without-pilotext"  # the transformation refused, before there was a report
    if said.state == "finished":
        return "pilot-says-done"
    return _FINDING_OF.get(abs(said.pilot_code), "pilot-says-failed")


@functools.cache
def rules_of(experiment: str) -> RuleSet:
    """The rules of an experiment, loaded once in this process."""
    return load_rules(experiment)


def _text(update: Mapping[str, Any], name: str) -> str:
    """Old pilots send every value as text, an absent one as `None`; PanDA writes NULL for none."""
    value = update.get(name)
    return "" if value in (None, "None", "NULL") else str(value).replace("\0", "?")[:_LONGEST]


def _number(update: Mapping[str, Any], name: str) -> int:
    text = _text(update, name).strip()
    return int(text) if re.fullmatch(r"-?\d{1,9}", text, re.ASCII) else 0


class _Ours(msgspec.Struct, frozen=True):
    """The fields that are read of the wrapper's part of the metadata; the rest may be of another version."""

    code: str | None = None


class _Metadata(msgspec.Struct, frozen=True):
    pilotext: _Ours = _Ours()


def _code_in(metadata: Any) -> str:
    try:
        told = from_json(metadata, _Metadata) if isinstance(metadata, str) else from_plain(metadata, _Metadata)
    except (FieldError, RecursionError):
        return ""
    return (told.pilotext.code or "").replace("\0", "?")[:_LONGEST]
