"""Merged files to the place where they are kept for good; `kept` is what was verified there, byte by checksum."""

from __future__ import annotations

import logging
from functools import partial

from django.db.models import QuerySet

from pilotext.errors import ChecksumError, ExistsError, NotFoundError, PilotextError, StorageError
from pilotext.formatting import counted_words
from pilotext.profile.job_builder import printed
from pilotext.server.database import transact
from pilotext.server.production.job_builder import task_facts
from pilotext.server.production.models import Output, Product
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.published_names import NamesTakenError, claim_urls
from pilotext.server.production.states import GOING_ON, PRODUCT, ProductState
from pilotext.server.production.storage import operations
from pilotext.server.production.transitions import Reason, advance, reopen
from pilotext.server.times import now
from pilotext.storage.transfer import Mover

log = logging.getLogger("pilotext.keeping")

MAX_ROUNDS = 3
"""A merged file that is gone or damaged before it could be kept is merged anew by itself in so many rounds."""

BEFORE = (ProductState.CHECKED, ProductState.COPYING)

_WHO = "keeping"


def keep_products() -> int:
    """Products that passed their check are copied to where they are kept, one at a time.

    Nothing is written over there: another file stays unless it has no bytes, and the product waits for a decision.
    Of a task that was cancelled meanwhile, also during a copy, nothing gets its name there.
    """
    return operations.work_through(_due(Product.objects.all()), _keep, _failed)


def _due(products: QuerySet[Product]) -> QuerySet[Product]:
    return products.filter(state__in=BEFORE, task__state__in=GOING_ON, task__successor=None)


def merged_outputs(product: Product) -> list[Output]:
    """The merged files of the round that counts."""
    return list(
        Output.objects.valid().filter(job__group__product=product, job__group__round=product.round).order_by("pk")
    )


def _keep(product: Product, mover: Mover) -> int:
    try:
        return _copy_all(product, mover)
    except operations.StoppedError:
        log.info("product %d: it is not copied; its task was cancelled, or its run is merged again", product.pk)
        return 0


def _look_again(product: Product) -> None:
    """Raise StoppedError for a product that is not to be kept any more."""
    if not _due(Product.objects.filter(pk=product.pk, round=product.round)).exists():
        raise operations.StoppedError


def _copy_all(product: Product, mover: Mover) -> int:
    _look_again(product)
    mine = Product.objects.filter(pk=product.pk, round=product.round)
    task = product.task
    experiment = profile_of(task.experiment.name)
    facts = task_facts(task)
    tape = [printed(experiment, facts, text, run=product.run) for text in experiment.merges[product.merge].tape]
    outputs = merged_outputs(product)
    if tape and outputs:
        transact(
            lambda: advance(
                PRODUCT, mine, (ProductState.CHECKED,), ProductState.COPYING, Reason(_WHO, f"to {tape[0]}", "cycle")
            )
        )
    for output in outputs:
        file = operations.File(output.url, output.size, output.adler32)
        if not operations.is_there(file, mover):
            raise NotFoundError(output.url, "the merged file is not there any more.")
        url = _keep_one(product, output, tape, mover) if tape else output.url
        Output.objects.valid().filter(pk=output.pk).update(kept=url)
    where = f"at {tape[0]}" if tape else "where they were made"
    why = f"{counted_words(len(outputs), 'merged file')} verified {where}"
    return len(transact(lambda: advance(PRODUCT, mine, BEFORE, ProductState.KEPT, Reason(_WHO, why, "cycle"), tries=0)))


def _keep_one(product: Product, output: Output, tape: list[str], mover: Mover) -> str:
    """Copy a merged file to where it is kept; what the task has kept there of an earlier round makes place."""
    own = [operations.place(each, output.name) for each in tape]
    _look_again(product)
    transact(lambda: claim_urls(product.task, own))
    mine = Output.objects.filter(job__task=product.task, job__product=product.merge, job__run=product.run)
    same = mine.filter(name=output.name).exclude(pk=output.pk)
    earlier = [operations.File(url, each.size, each.adler32) for each in same for url in own]
    file = operations.File(output.url, output.size, output.adler32)
    return operations.keep(
        file,
        tape,
        output.name,
        mover,
        earlier=earlier,
        kept=output.kept,
        look_again=partial(_look_again, product),
    )


def _failed(product: Product, error: PilotextError) -> float:
    """Act on a failure; returns how long to wait before the next try."""
    why = str(error)
    log.warning("product %d: %s", product.pk, why)
    mine = _due(Product.objects.filter(pk=product.pk, round=product.round))
    own = isinstance(error, StorageError) and error.url in {output.url for output in merged_outputs(product)}
    if own and isinstance(error, (NotFoundError, ChecksumError)) and product.round < MAX_ROUNDS:
        transact(lambda: reopen(mine, Reason(_WHO, f"merged again: {why}", "cycle")))
        return 0.0
    tries = product.tries + 1
    transact(lambda: mine.update(tries=tries, finding=why, changed=now()))
    undecided = isinstance(error, (ExistsError, NamesTakenError))  # nothing changes that but somebody's decision
    wait_s = None if undecided else operations.next_try(error, tries)
    if wait_s is None:
        reason = Reason(_WHO, f"tried {counted_words(tries, 'time')}: {why}", "cycle")
        transact(lambda: advance(PRODUCT, mine, BEFORE, ProductState.MANUAL, reason, tries=0))
    return wait_s or 0.0
