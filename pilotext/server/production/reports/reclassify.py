"""The rules of today on the kept reports of attempts that failed before: what they say otherwise, and acting on it."""

from __future__ import annotations

from functools import partial

import msgspec

from pilotext.api.schemas.rules import BulkReclassified, Reclassified, Reclassify
from pilotext.classify.reclassify import reclassify
from pilotext.errors import UsageError
from pilotext.model.report import Report
from pilotext.model.verdict import Verdict
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import RuleSet
from pilotext.serialization.json import from_json
from pilotext.server.database import transact
from pilotext.server.production.job_builder import build_job
from pilotext.server.production.lookup import refuse_unknown
from pilotext.server.production.models import Attempt, AttemptReport, Job
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.retry import decide_on, follow_failure
from pilotext.server.production.states import ATTEMPT, AttemptState, JobState
from pilotext.server.production.statistics.job_choice import choose_jobs
from pilotext.server.production.statistics.jobs import verdict_in
from pilotext.server.production.transitions import Reason, record


def rejudge(asked: Reclassify, who: str) -> BulkReclassified:
    """Judge the next failed attempts of a choice of jobs again; each is written down in a transaction of its own."""
    chosen_ones = choose_jobs(asked.jobs)
    if asked.only:
        chosen_ones = chosen_ones.filter(pk__in=_known(asked.only))
    elif not asked.after and not chosen_ones.exists():
        refuse_unknown(asked.jobs)
    jobs = chosen_ones.values("pk")
    rows = Attempt.objects.filter(
        state=AttemptState.FAILED, verdict__in=("failure", "unknown"), job__in=jobs, final_report__late=False
    )
    ahead = rows.filter(pk__gt=asked.after).order_by("pk")
    found = list(ahead.select_related("job", "task__experiment", "site", "final_report")[: asked.limit])
    rules: dict[str, RuleSet] = {}
    changed = []
    for attempt in found:
        name = attempt.task.experiment.name
        if name not in rules:
            rules[name] = load_rules(name)
        new = reclassify(rules[name], from_json(attempt.final_report.report, Report), software=_software(attempt))
        if _same(new, verdict_in(attempt.final_report)):
            continue
        reason = Reason(who, f"rules {new.ruleset}: {asked.why}", "person")
        decision = transact(partial(_act, attempt, new, reason)) if asked.act else ""
        changed.append(_told(attempt, new, decision))
    left = ahead.filter(pk__gt=found[-1].pk).count() if len(found) == asked.limit else 0
    return BulkReclassified(len(found), tuple(changed), found[-1].pk if left else None, left)


def _known(numbers: tuple[int, ...]) -> list[int]:
    """The numbers of jobs. Raises RefusalError for one that there is not."""
    known = {*Job.objects.filter(pk__in=numbers).values_list("pk", flat=True)}
    if missing := [number for number in numbers if number not in known]:
        raise RefusalError("not-found", f"there is no job {missing[0]}.")
    return sorted(known)


def _software(attempt: Attempt) -> str:
    try:
        return build_job(attempt.task, attempt.job, attempt.number).software
    except UsageError:  # the profile cannot make this job any more; rules for some versions may all apply then
        return ""


def _same(new: Verdict, old: Verdict) -> bool:
    return (new.verdict, new.code, new.cause, new.action) == (old.verdict, old.code, old.cause, old.action)


def _told(attempt: Attempt, new: Verdict, decision: str) -> Reclassified:
    before = attempt.code or attempt.verdict
    return Reclassified(attempt.pk, attempt.job_id, before, new.code or new.verdict, new.rule or "", new.diag, decision)


def _act(given: Attempt, new: Verdict, reason: Reason) -> str:
    """Write the new verdict down, and decide anew on the job where it is the last word; returns the decision."""
    rows = Attempt.objects.select_for_update(of=("self",)).select_related("job", "task__experiment", "site")
    attempt = rows.get(pk=given.pk)
    AttemptReport.objects.filter(pk=attempt.pk).update(reclassified=msgspec.json.encode(new).decode())
    fields = {"code": new.code or "", "cause": new.cause or "", "action": new.action or "", "diag": new.diag}
    changes = {**fields, "code_number": new.number, "rule": new.rule or ""}
    if new.signature is None:
        changes["signature"] = None
    Attempt.objects.filter(pk=attempt.pk).update(**changes)
    what = Reason(reason.who, f"attempt {attempt.number} is {new.code or new.verdict} by {reason.why}", reason.actor)
    record(
        ATTEMPT.name, new.code or new.verdict, what, [(attempt.pk, attempt.code or attempt.verdict, attempt.task_id)]
    )
    if attempt.job.state != JobState.MANUAL or attempt.job.attempts != attempt.number:
        return ""
    fault = (new.cause or "", new.action or "retry")
    decision = decide_on(attempt, fault)
    if decision.state == JobState.MANUAL:
        known = {"code": new.code or "", "cause": fault[0], "diag": new.diag}
        Job.objects.filter(pk=attempt.job_id, state=JobState.MANUAL).update(**known)
        record("note", JobState.MANUAL, what, [(attempt.job_id, JobState.MANUAL, attempt.task_id)])
    else:
        follow_failure(
            attempt, fault, new.diag, states=(JobState.MANUAL,), actor=reason.actor, code=new.code or "", assigned=""
        )
    return f"{decision.state}: {decision.why}"
