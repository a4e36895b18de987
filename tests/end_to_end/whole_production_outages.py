"""EOS and the tape server go away during a whole production, each for longer than anybody tries in one go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psutil

from fixtures.servers.xrootd import XrdServer
from pilotext.api.schemas.attempts import OUTPUTS_KEPT
from pilotext.profile.records import STORAGE_BREAKER
from pilotext.server.times import EPOCH, later, now
from pilotext.storage.urls import server_of
from tests.end_to_end.whole_production import Outage, Production, again
from tests.support.processes import command_of

from pilotext.server.production.models import (  # isort: skip  needs the boot
    Attempt,
    Breaker,
    AuditEntry,
    AvoidedPlace,
    LogArchive,
    Product,
    StagedFile,
    Verification,
)

KEPT = 2
"""So many attempts have left their outputs to their agents when EOS comes back."""

_HELD_S = 15.0
_LET_GO_S = 2.0


def lose_both_storages(production: Production) -> None:
    """EOS is away, then the tape server too, then the tape server alone; each comes back, and nobody decides anything.

    EOS goes while a reported success waits to be compared, and is away until the jobs of two agents have tried for as
    long as they do; the tape server is away until an attempt has given up its stage-in. The clock is the true one
    meanwhile: nobody is hurried into using up his tries.
    """
    eos, tape = production.eos, production.tape
    eos_went = _stop_while_a_success_waits(production)
    production.wait_in_true_time(lambda: _is_open(eos))
    production.wait_in_true_time(lambda: len(_kept()) >= KEPT)
    kept = _kept()
    tape_went = now()
    tape.stop()
    eos.start()
    production.outages.append(Outage(server_of(eos.url()), eos_went, time.time()))
    production.wait_in_true_time(lambda: _is_open(tape), lambda: hours_pass(eos))
    production.wait_in_true_time(lambda: _gave_up(tape_went), lambda: hours_pass(eos))
    tape.start()
    production.outages.append(Outage(server_of(tape.url()), tape_went.timestamp(), time.time()))
    production.wait_until(lambda: not Breaker.objects.exclude(state="closed").exists(), lambda: hours_pass(eos, tape))
    production.wait_until(lambda: not Attempt.objects.filter(pk__in=kept).exclude(state="finished").exists())


def hours_pass(*servers: XrdServer) -> None:
    """What waits for these servers, or for a breaker of theirs, is due; jobs that failed for them may go anywhere."""
    names = [server_of(each.url()) for each in servers]
    again(Breaker.objects.filter(rule=STORAGE_BREAKER, scope__in=names, state="open", due__gt=EPOCH).update, due=EPOCH)
    again(Breaker.objects.exclude(rule=STORAGE_BREAKER).filter(state="open", due__gt=EPOCH).update, due=EPOCH)
    for model in (Verification, Product, StagedFile, LogArchive):
        again(model.objects.filter(busy_until__gt=later(now(), 1.0)).update, busy_until=EPOCH)
    again(AvoidedPlace.objects.filter(job__state="ready", job__cause="storage", job__code__contains="-3").delete)


def outages_cost_nothing_but_time(production: Production) -> None:
    """A breaker was opened for each server and closed by the server itself; nothing was charged or left to a person."""
    for outage in production.outages:
        rows = AuditEntry.objects.filter(subject="breaker", why__contains=outage.server).order_by("pk")
        moves = list(rows.values_list("after", "actor"))
        assert moves[0] == ("open", "cycle"), moves
        assert moves[-1] == ("closed", "cycle"), moves
        assert {actor for _, actor in moves} == {"cycle"}
    failed = Attempt.objects.filter(cause="storage", code__contains="-3")
    assert failed.exists(), "the outages were longer than the tries of one attempt"
    assert not failed.filter(charged=True).exists()
    given_up = (
        AuditEntry.objects.exclude(subject="job").filter(after__in=("manual", "failed")).exclude(subject="attempt")
    )
    assert not given_up.exists(), list(given_up.values())


def _stop_while_a_success_waits(production: Production) -> float:
    """Hold the cycle until a success was reported, then stop EOS: the server has to look there next.

    A cycle that is held may have the database locked, so it is let go from time to time.
    """
    while True:
        with _held(production):
            end = time.monotonic() + _HELD_S
            while time.monotonic() < end:
                if Verification.objects.filter(busy_until__lt=now()).exists():
                    production.eos.stop()
                    return time.time()
                time.sleep(0.1)
        time.sleep(_LET_GO_S)


@contextmanager
def _held(production: Production) -> Iterator[None]:
    whole = psutil.Process(production.server.processes[-1].pid)
    (cycle,) = (process for process in whole.children() if "cycle" in command_of(process))
    cycle.suspend()
    try:
        yield
    finally:
        cycle.resume()


def _is_open(server: XrdServer) -> bool:
    return Breaker.objects.filter(rule=STORAGE_BREAKER, scope=server_of(server.url())).exclude(state="closed").exists()


def _kept() -> list[int]:
    return list(Attempt.objects.filter(state="running", phase=OUTPUTS_KEPT).values_list("pk", flat=True))


def _gave_up(since: datetime) -> bool:
    return Attempt.objects.filter(phase="stage-in", state="failed", cause="storage", ended__gt=since).exists()
