"""Jobs: pages, decisions on one or on many, reclassification."""

from __future__ import annotations

from dmr import Path

from pilotext.api.schemas.fields import Id, Move, Moved, Note
from pilotext.api.schemas.jobs import Assignment, BulkMove, BulkMoved, JobFilter, JobList, JobPage, JobQuery, WorkList
from pilotext.api.schemas.rules import BulkReclassified, Reclassify
from pilotext.model import Record
from pilotext.server.api.base import ApiController, Body, Query, operation
from pilotext.server.database import transact
from pilotext.server.production.manual_decisions import jobs as decisions
from pilotext.server.production.manual_decisions import worklist
from pilotext.server.production.manual_decisions.bulk_preview import preview_many
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports import reclassify
from pilotext.server.production.statistics.jobs import describe_job, list_jobs


class JobPath(Record, frozen=True):
    job: Id


class JobsController(ApiController):
    @operation("viewer")
    def get(self, parsed_query: Query[JobQuery]) -> JobList:
        """List a page of jobs."""
        return list_jobs(parsed_query)


class JobController(ApiController):
    @operation("viewer")
    def get(self, parsed_path: Path[JobPath]) -> JobPage:
        """Return a job with its attempts and its history."""
        return describe_job(parsed_path.job)


class JobMoveController(ApiController):
    @operation("expert")
    def post(self, parsed_path: Path[JobPath], parsed_body: Body[Move]) -> Moved:
        """Resend, accept, fail, cancel or hurry a job."""
        reason = self.reason(parsed_body.why)
        return Moved(tuple(transact(lambda: decisions.move_job(parsed_path.job, parsed_body.to, reason))))


class JobNoteController(ApiController):
    @operation("expert")
    def post(self, parsed_path: Path[JobPath], parsed_body: Body[Note]) -> Moved:
        """Write a note on a job."""
        transact(lambda: decisions.note(parsed_path.job, self.reason(parsed_body.why)))
        return Moved((parsed_path.job,))


class JobAssignController(ApiController):
    @operation("expert")
    def post(self, parsed_path: Path[JobPath], parsed_body: Body[Assignment]) -> Moved:
        """Assign a job to somebody."""
        transact(lambda: decisions.assign(parsed_path.job, parsed_body.to, self.reason(parsed_body.why)))
        return Moved((parsed_path.job,))


class WorkListController(ApiController):
    @operation("viewer")
    def get(self, parsed_query: Query[JobQuery]) -> WorkList:
        """List jobs that wait for a decision."""
        return worklist.worklist(parsed_query)


class BulkMoveController(ApiController):
    @operation("expert")
    def post(self, parsed_body: Body[BulkMove]) -> BulkMoved:
        """Resend, accept, fail, cancel or hurry the jobs of a choice."""
        _check_choice(parsed_body.jobs, all_tasks=parsed_body.all_tasks)
        if parsed_body.jobs == JobFilter():
            raise RefusalError("invalid", "all jobs of all tasks are too many; name a run, a state, or a code as well.")
        if parsed_body.dry_run:
            return preview_many(parsed_body)
        reason = self.reason(parsed_body.why)
        return transact(lambda: worklist.move_many(parsed_body, reason))


class ReclassifyController(ApiController):
    @operation("expert")
    def post(self, parsed_body: Body[Reclassify]) -> BulkReclassified:
        """Apply the rules of today to kept reports."""
        if parsed_body.act and not parsed_body.only:
            _check_choice(parsed_body.jobs, all_tasks=parsed_body.all_tasks)
        if parsed_body.act and not parsed_body.why:
            raise RefusalError("invalid", "a decision needs a reason: `why`.")
        return reclassify.rejudge(parsed_body, self.caller.who)


def _check_choice(jobs: JobFilter, *, all_tasks: bool) -> None:
    """Raise RefusalError for a decision on many that does not say whose jobs it means, or says it twice."""
    if jobs.task is not None and all_tasks:
        raise RefusalError("invalid", "a decision is on one task or on all tasks, not on both.")
    if jobs.task is None and not all_tasks:
        raise RefusalError("invalid", "a decision on many jobs needs the name of a task, or `all_tasks`.")
