"""Tasks: submission, dry run, lists, moves and settings."""

from __future__ import annotations

from dmr import Path
from msgspec.structs import replace

from pilotext.api.schemas.fields import Id, Move, Moved
from pilotext.api.schemas.tasks import DryRun, Submitted, TaskDocument, TaskFilter, TaskList, TaskPage, TaskSettings
from pilotext.errors import StorageError, UsageError
from pilotext.formatting import counted_words
from pilotext.model import Record
from pilotext.profile.records import Experiment
from pilotext.server.api.base import MEGA, ApiController, Body, Query, operation
from pilotext.server.database import transact
from pilotext.server.production.manual_decisions.tasks import change_task, move_task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.tasks import describe_task, list_tasks
from pilotext.server.production.submission.chains import plan_task
from pilotext.server.production.submission.document import WholeTask, from_plain
from pilotext.server.production.submission.dry_run import dry_run, site_warnings
from pilotext.server.production.submission.listing import lister_for_others
from pilotext.server.production.submission.plan import Plan
from pilotext.server.production.submission.store import store

MAX_TASK_BYTES = 64 * MEGA


class TaskPath(Record, frozen=True):
    task: Id


class TasksController(ApiController):
    @operation("viewer")
    def get(self, parsed_query: Query[TaskFilter]) -> TaskList:
        """List tasks with their counts."""
        return TaskList(tuple(list_tasks(state=parsed_query.state, name=parsed_query.name)))

    @operation("manager", max_body_bytes=MAX_TASK_BYTES)
    def post(self, parsed_body: Body[TaskDocument]) -> Submitted:
        """Submit a task."""
        experiment, whole, plan = _planned(parsed_body)
        if plan.refused and not parsed_body.leave_out:
            first = "; ".join(f"{entry.file}: {entry.why}" for entry in plan.refused[:5])
            raise RefusalError("invalid", f"{counted_words(len(plan.refused), 'input', 'is')} refused: {first}")
        done = store(experiment, whole.task, plan, self.caller.who)
        return replace(done, warnings=(*done.warnings, *site_warnings(experiment, whole.task)))


class DryRunController(ApiController):
    @operation("manager", max_body_bytes=MAX_TASK_BYTES)
    def post(self, parsed_body: Body[TaskDocument]) -> DryRun:
        """Plan a submission, with all reasons to refuse it; nothing is stored."""
        experiment, whole, plan = _planned(parsed_body)
        return dry_run(experiment, whole.task, plan)


class TaskController(ApiController):
    @operation("viewer")
    def get(self, parsed_path: Path[TaskPath]) -> TaskPage:
        """Return one task, and why it is not further."""
        return describe_task(parsed_path.task)


class TaskMoveController(ApiController):
    @operation("manager")
    def post(self, parsed_path: Path[TaskPath], parsed_body: Body[Move]) -> Moved:
        """Start, pause, cancel… a task."""
        reason = self.reason(parsed_body.why)
        return Moved(tuple(transact(lambda: move_task(parsed_path.task, parsed_body.to, reason))))


class TaskSettingsController(ApiController):
    @operation("manager")
    def post(self, parsed_path: Path[TaskPath], parsed_body: Body[TaskSettings]) -> Moved:
        """Change the priority, the share or the attempts of a task."""
        reason = self.reason(parsed_body.why)
        return Moved(tuple(transact(lambda: change_task(parsed_path.task, parsed_body, reason))))


def _planned(document: TaskDocument) -> tuple[Experiment, WholeTask, Plan]:
    try:
        whole = from_plain(document.task)
        experiment = profile_of(whole.task.experiment)
        return experiment, *plan_task(experiment, whole, lister_for_others())
    except (UsageError, StorageError) as error:
        raise RefusalError("invalid", str(error)) from None
