"""Merging: which files of a run become which merged file, by jobs that are given out like every other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from django.db.models import Exists, F, OuterRef, QuerySet, Sum

from pilotext.formatting import counted_words, verb_for
from pilotext.profile import records as profile
from pilotext.profile.job_builder import merged_name
from pilotext.profile.places import merged_places
from pilotext.profile.records import Merge
from pilotext.server.database import transact
from pilotext.server.production.chained_inputs import all_taken
from pilotext.server.production.collect_failures import collect_failures
from pilotext.server.production.job_builder import MERGE_ORDER, task_facts
from pilotext.server.production.merging.packing import Piece, pack
from pilotext.server.production.models import Attempt, Experiment, Job, MergeGroup, Output, Product, Site, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.published_names import NamesTakenError, claim_urls
from pilotext.server.production.states import (
    GOING_ON,
    GROUP,
    JOB,
    PRODUCT,
    JobState,
    MergeGroupState,
    ProductState,
    TaskState,
)
from pilotext.server.production.submission.naming import url_of
from pilotext.server.production.transitions import Reason, advance, cancel_jobs, record
from pilotext.server.times import now

AT_ONCE = 500

ENDED = (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED)
PAST_THE_CHECK = (ProductState.CHECKED, ProductState.COPYING, ProductState.KEPT, ProductState.CLEANED)

_WHO = "merging"


def start_merges() -> int:
    """Runs whose chunks have all ended are merged; one with chunks that did not succeed waits for a decision."""
    return collect_failures(Experiment.objects.all(), _start_some)


def _start_some(experiment: Experiment) -> int:
    open_chunk = Job.objects.chunks(OuterRef("task"), OuterRef("run")).exclude(state__in=ENDED)
    due = Product.objects.filter(
        ~Exists(open_chunk),
        all_taken("task__"),
        state=ProductState.WAITING,
        task__state=TaskState.RUNNING,
        task__experiment=experiment,
    )
    # Those that wait for another product must not take the places of those that could begin.
    same = Product.objects.filter(task=OuterRef("task"), run=OuterRef("run")).exclude(state__in=PAST_THE_CHECK)
    for name, rule in profile_of(experiment.name).merges.items():
        due = due.exclude(Exists(same.filter(merge__in=rule.after)), merge=name) if rule.after else due
    found = list(due.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    return collect_failures(found, lambda pk: transact(partial(_start, pk)))


def dissolve_merges() -> int:
    """Groups of runs that are merged anew are dissolved: their merges are cancelled, their files are free again."""
    return transact(_dissolve)


def _dissolve() -> int:
    reason = Reason(_WHO, "its run is merged again", "cycle")
    old = MergeGroup.objects.filter(round__lt=F("product__round"))
    ids = advance(
        GROUP,
        old,
        (MergeGroupState.OPEN, MergeGroupState.SENT, MergeGroupState.MERGED),
        MergeGroupState.DISSOLVED,
        reason,
    )
    cancel_jobs(Job.objects.filter(group__in=ids), reason)
    Output.objects.filter(group__in=ids).update(group=None)
    Output.objects.filter(job__group__in=ids).supersede()
    return len(ids)


def finish_merges() -> int:
    """Runs whose merge jobs have all finished are merged; one with a job that has failed for good needs a decision.

    Those of a cancelled task stay as they are: its merge jobs were cancelled with it, and go on when it is resumed.
    """
    done = transact(_take_up_again)
    job_of_mine = MergeGroup.objects.filter(product=OuterRef("pk"), round=OuterRef("round"))
    failed = Product.objects.filter(
        Exists(job_of_mine.filter(job__state__in=(JobState.FAILED, JobState.CANCELLED))),
        state=ProductState.MERGING,
        task__state__in=GOING_ON,
    )
    done += transact(lambda: len(_to_manual(failed, "a merge job has failed for good: resend it, or merge again")))
    merged = Product.objects.filter(
        ~Exists(job_of_mine.exclude(job__state=JobState.FINISHED)),
        state=ProductState.MERGING,
        task__state__in=GOING_ON,
    )
    return done + transact(lambda: _finish(merged))


@dataclass(frozen=True)
class _Run:
    """The chunks of a run as a merge sees them: those to be merged, and those that are not there to be merged."""

    wanted: tuple[Output, ...]
    empty: int
    missing: tuple[int, ...]
    """Jobs that did not finish, or finished without a file of this kind."""
    jobs: int


def _start(pk: int) -> int:
    product = Product.objects.select_for_update(of=("self",)).select_related("task__experiment").get(pk=pk)
    if product.state != ProductState.WAITING or not _may_begin(product):
        return 0
    mine, run = Product.objects.filter(pk=pk), _run(product)
    if undecided := sorted({*run.missing} - {*product.left_out}):
        of = f"{counted_words(run.jobs, 'chunk')} {verb_for(len(undecided), 'is')}"
        why = f"{len(undecided)} of {of} not there ({_some(undecided)})"
        return len(_to_manual(mine, f"{why}: resend them, or merge without them"))
    experiment = profile_of(product.task.experiment.name)
    rule = experiment.merges[product.merge]
    groups = _packed(rule, run)
    if why := _taken(experiment, product, len(groups)):
        return len(_to_manual(mine, why))
    _make_groups(experiment, product, rule, groups)
    why = f"round {product.round}: {counted_words(len(run.wanted), 'file')} into {len(groups)}"
    if run.missing:
        why += f", without {len(run.missing)} of {counted_words(run.jobs, 'chunk')} by decision ({_some(run.missing)})"
    if run.empty:
        why += f", {run.empty} without data"
    state, finding = ProductState.MERGING if groups else ProductState.MERGED, why if run.missing else ""
    return len(
        advance(
            PRODUCT,
            mine,
            (ProductState.WAITING,),
            state,
            Reason(_WHO, why, "cycle"),
            left_out=list(run.missing),
            finding=finding,
        )
    )


def _run(product: Product) -> _Run:
    rule = profile_of(product.task.experiment.name).merges[product.merge]
    jobs = dict(Job.objects.chunks(product.task, product.run).values_list("pk", "state"))
    outputs = Output.objects.valid().filter(job__in=jobs, job__state=JobState.FINISHED, kind=rule.of)
    ordered = list(outputs.order_by(*MERGE_ORDER, "pk"))
    wanted = tuple(output for output in ordered if not (rule.leave_out_empty and output.placeholder))
    missing = tuple(sorted(jobs.keys() - {output.job_id for output in ordered}))
    return _Run(wanted, len(ordered) - len(wanted), missing, len(jobs))


def _packed(rule: Merge, run: _Run) -> list[list[Piece]]:
    return pack([Piece(each.pk, each.size) for each in run.wanted], limit=rule.limit, files=rule.files)


def _taken(experiment: profile.Experiment, product: Product, number: int) -> str:
    """Give the names of so many merged files to the task; which of them are another task's, in words, if any are."""
    facts = task_facts(product.task)
    places = (
        place
        for each in range(number)
        for place in merged_places(experiment, facts, product.merge, run=product.run, number=each)
    )
    try:
        claim_urls(product.task, map(url_of, places))
    except NamesTakenError as error:
        return str(error)
    return ""


def _may_begin(product: Product) -> bool:
    """All chunks have ended and no more will come, what it comes after is checked, no earlier round is at work."""
    rule = profile_of(product.task.experiment.name).merges[product.merge]
    same = {"task": product.task, "run": product.run}
    return not (
        Job.objects.filter(**same, product="").exclude(state__in=ENDED).exists()
        or Product.objects.filter(**same, merge__in=rule.after).exclude(state__in=PAST_THE_CHECK).exists()
        or product.groups.filter(round__lt=product.round).exclude(state=MergeGroupState.DISSOLVED).exists()
        or Attempt.objects.active().filter(job__group__product=product).exists()
        or not Task.objects.filter(all_taken(), pk=product.task_id).exists()
    )


def _make_groups(
    experiment: profile.Experiment, product: Product, rule: Merge, groups: Sequence[Sequence[Piece]]
) -> None:
    task = product.task
    for number, pieces in enumerate(groups):
        name = merged_name(experiment, task_facts(task), product.merge, run=product.run, number=number)
        size = sum(piece.size for piece in pieces)
        job = Job.objects.create(
            task=task,
            type=rule.type,
            product=product.merge,
            # A round has jobs of its own, whose attempts count anew; the merged file has the same name in each.
            file=name if product.round == 1 else f"{name} (round {product.round})",
            run=product.run,
            priority=experiment.type(rule.type).priority + task.priority,
            site=_merging_site(experiment, task.sites),
            size=size,
        )
        group = MergeGroup.objects.create(
            product=product, round=product.round, number=number, state=MergeGroupState.SENT, job=job, size=size
        )
        ids = [piece.output for piece in pieces]
        linked = Output.objects.valid().filter(pk__in=ids, group=None).update(group=group)
        assert linked == len(ids), "no file is in two merges"
        files = counted_words(len(ids), f"file of run {product.run}", "becomes")
        reason = Reason(_WHO, f"{files} {name}", "cycle")
        record(GROUP.name, MergeGroupState.SENT, reason, [(group.pk, "", task.pk)])
        record(JOB.name, JobState.READY, reason, [(job.pk, "", task.pk)])


def _merging_site(experiment: profile.Experiment, sites: Iterable[str]) -> Site | None:
    """The queue for merges that the task's sites name, if they do."""
    named = [experiment.sites[site].merging for site in sites if site in experiment.sites]
    first = next((site for site in named if site), None)
    return None if first is None else Site.objects.get(name=first)


def _take_up_again() -> int:
    """Runs go on that waited for a decision about their chunks, or about a merge job, when it was taken there."""
    mine = MergeGroup.objects.filter(product=OuterRef("pk"), round=OuterRef("round"))
    at_work = Product.objects.filter(
        Exists(mine.filter(state=MergeGroupState.SENT)),
        ~Exists(mine.filter(job__state__in=(JobState.FAILED, JobState.CANCELLED))),
        state=ProductState.MANUAL,
        task__state__in=GOING_ON,
    )
    done = len(
        advance(
            PRODUCT,
            at_work,
            (ProductState.MANUAL,),
            ProductState.MERGING,
            Reason(_WHO, "its merge job goes on", "cycle"),
            finding="",
        )
    )
    held = Product.objects.filter(~Exists(mine), state=ProductState.MANUAL, task__state__in=GOING_ON)
    held = held.select_related("task__experiment")
    again = [each.pk for each in held if _is_known(each) and _may_go_on(each)]
    reason = Reason(_WHO, "its chunks are there now", "cycle")
    return done + len(
        advance(
            PRODUCT,
            Product.objects.filter(pk__in=again),
            (ProductState.MANUAL,),
            ProductState.WAITING,
            reason,
            finding="",
        )
    )


def _may_go_on(product: Product) -> bool:
    run, experiment = _run(product), profile_of(product.task.experiment.name)
    if not {*run.missing} <= {*product.left_out}:
        return False
    return not _taken(experiment, product, len(_packed(experiment.merges[product.merge], run)))


def _is_known(product: Product) -> bool:
    """Whether the profile has its merge (still); else it waits for somebody."""
    return product.merge in profile_of(product.task.experiment.name).merges


def _finish(products: QuerySet[Product]) -> int:
    done = 0
    for pk, finding, number in products.values_list("pk", "finding", "round"):
        mine = products.filter(pk=pk, round=number).select_for_update(of=("self",))
        if not list(mine.values_list("pk")):  # it was reopened meanwhile
            continue
        groups = MergeGroup.objects.filter(product=pk, round=number)
        advance(
            GROUP,
            groups,
            (MergeGroupState.SENT,),
            MergeGroupState.MERGED,
            Reason(_WHO, "its merge job has finished", "cycle"),
        )
        size = groups.aggregate(size=Sum("size"))["size"]
        reason = Reason(_WHO, f"{groups.count()} merge jobs have finished, {size} bytes of chunks", "cycle")
        done += len(
            advance(
                PRODUCT,
                Product.objects.filter(pk=pk),
                (ProductState.MERGING,),
                ProductState.MERGED,
                reason,
                finding=finding,
            )
        )
    return done


def _to_manual(products: QuerySet[Product], why: str) -> list[int]:
    return advance(
        PRODUCT,
        products,
        (ProductState.WAITING, ProductState.MERGING),
        ProductState.MANUAL,
        Reason(_WHO, why, "cycle"),
        finding=why,
        changed=now(),
    )


def _some(jobs: Sequence[int]) -> str:
    """`job 5, 6, 7…`"""
    return f"job {', '.join(map(str, jobs[:10]))}{'…' if len(jobs) > 10 else ''}"
