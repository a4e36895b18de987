"""Decisions of people on merged runs, by the words of the command line; in a transaction."""

from __future__ import annotations

from pilotext.errors import did_you_mean, known_words
from pilotext.formatting import counted_words
from pilotext.profile.records import Merge
from pilotext.server.production.manual_decisions.resend import ENDED, hindrances, resend_jobs
from pilotext.server.production.models import Job, Output, Product, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.published_names import refuse_if_replaced
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import (
    JOB,
    PRODUCT,
    TASK,
    JobState,
    MergeGroupState,
    ProductState,
    TaskState,
)
from pilotext.server.production.transitions import Reason, advance, hold_tasks, leave_out, reopen

WORDS = ("merge-without", "resend-missing", "remerge", "accept")


def move_product(product_id: int, word: str, reason: Reason) -> list[int]:
    """Merge a run without its chunks that have not succeeded, or resend these; merge it anew, or accept a difference.

    `merge-without` is for all products of the run, and fails those of its jobs that wait for a decision;
    `resend-missing` is for all of them, too. Raises RefusalError for another word, or no such product.
    """
    if word not in WORDS:
        hint = did_you_mean(word, WORDS, otherwise=known_words(WORDS))
        raise RefusalError("invalid", f"{word!r:.40} is unknown. {hint}")
    hold_tasks(Task.objects.filter(products=product_id))
    product = Product.objects.select_related("task__experiment").filter(pk=product_id).first()
    if product is None:
        raise RefusalError("not-found", f"there is no product {product_id}.")
    if product.task.state in (TaskState.ARCHIVING, TaskState.ARCHIVED):
        raise RefusalError("conflict", f"the files of {product.task.name} are being archived.")
    refuse_if_replaced(product.task)
    mine = Product.objects.filter(pk=product.pk)
    if word == "merge-without":
        return _merge_without(product, reason)
    if word == "resend-missing":
        return _resend_missing(product, reason)
    if word == "remerge":
        moved = reopen(mine, reason)
        if moved:
            advance(TASK, Task.objects.filter(pk=product.task_id), (TaskState.DONE,), TaskState.RUNNING, reason)
        return moved
    return _accept(product, reason)


def _accept(product: Product, reason: Reason) -> list[int]:
    """Only what was merged can be accepted: a run that waits for chunks or merges has no merged files yet."""
    held = Product.objects.select_for_update(of=("self",)).filter(pk=product.pk, state=ProductState.MANUAL).first()
    if held is None:
        return []
    groups = held.groups.filter(round=held.round)
    if groups.exclude(state=MergeGroupState.MERGED).exists() or not groups.exists():
        raise RefusalError("conflict", f"the {held.merge} of run {held.run} is not merged: {held.finding}")
    mine = Product.objects.filter(pk=held.pk)
    return advance(
        PRODUCT, mine, (ProductState.MANUAL,), ProductState.CHECKED, reason, finding=f"accepted: {reason.why}"
    )


def _merge_without(product: Product, reason: Reason) -> list[int]:
    jobs = Job.objects.chunks(product.task, product.run)
    if busy := jobs.exclude(
        state__in=(JobState.FINISHED, JobState.FAILED, JobState.CANCELLED, JobState.MANUAL)
    ).count():
        chunks = counted_words(busy, f"chunk of run {product.run}", "is")
        raise RefusalError("conflict", f"{chunks} not finished yet.")
    advance(JOB, jobs, (JobState.MANUAL,), JobState.FAILED, reason)
    bad = set(jobs.exclude(state=JobState.FINISHED).values_list("pk", flat=True))
    merges = profile_of(product.task.experiment.name).merges
    moved = []
    held = list(
        Product.objects.filter(
            task=product.task, run=product.run, state__in=(ProductState.WAITING, ProductState.MANUAL)
        )
    )
    if strange := [each.merge for each in held if each.merge not in merges]:
        raise RefusalError("conflict", f"the profile has no merge {strange[0]!r} (any more).")
    for each in held:
        left_out = sorted(bad | _without_files(each, merges[each.merge]))
        mine = Product.objects.filter(pk=each.pk)
        leave_out(each, left_out, reason)
        moved += reopen(mine.filter(state=ProductState.MANUAL), reason) or (
            [each.pk] if each.state == ProductState.WAITING else []
        )
    return moved


def _resend_missing(product: Product, reason: Reason) -> list[int]:
    """Resend all chunks that have not succeeded, were left out, or have no file that is merged; return the products.

    Either all of them are sent again, or none is.
    """
    of_run = list(Product.objects.filter(task=product.task, run=product.run).order_by("pk"))
    merges = profile_of(product.task.experiment.name).merges
    ended = Job.objects.chunks(product.task, product.run).filter(state__in=ENDED)
    missing = set(ended.exclude(state=JobState.FINISHED).values_list("pk", flat=True))
    for each in of_run:
        missing |= set(each.left_out)
        if each.state in (ProductState.WAITING, ProductState.MANUAL) and each.merge in merges:
            missing |= _without_files(each, merges[each.merge])
    again = ended.filter(pk__in=missing)
    if why := next(iter(hindrances(again).items()), None):
        raise RefusalError("conflict", f"job {why[0]} of run {product.run} cannot be sent again: {why[1]}.")
    if not resend_jobs(again, reason):
        raise RefusalError("conflict", f"no chunk is missing in the {product.merge} of run {product.run}.")
    return [each.pk for each in of_run]


def _without_files(product: Product, rule: Merge) -> set[int]:
    """Finished chunks that have no file of the kind that is merged."""
    jobs = Job.objects.chunks(product.task, product.run).filter(state=JobState.FINISHED)
    having = Output.objects.valid().filter(job__in=jobs, kind=rule.of)
    return set(jobs.values_list("pk", flat=True)) - set(having.values_list("job_id", flat=True))
