"""Sending of what waits in a spool: oldest first, each report until it is taken or refused."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from msgspec.structs import replace

from pilotext.api.spool import Held, Spool, Spooled
from pilotext.errors import UsageError
from pilotext.model import Record

KEEP_FOR_S = 30 * 86_400.0
"""A report that no server has taken for so long is of a job that was given up long ago."""


class Answer(Record, frozen=True):
    """Result of sending a report.

    `later` can be tried again, `refused` never: the server knows this attempt no more, or has its report. `said` is
    the reason, without anything that the server writes itself; `wait_s` is what it asks to wait (Retry-After).
    """

    outcome: Literal["delivered", "later", "refused"]
    said: str = ""
    wait_s: float | None = None
    soon: bool = False
    """Whether another try within seconds may help."""


Sender = Callable[[Spooled], Answer]


def settle(spool: Spool, held: Held, answer: Answer) -> str:
    """Carry out what the answer asks for, and return a sentence about it. Raises OSError."""
    if answer.outcome == "delivered":
        held.remove()
        return "it was taken"
    if answer.outcome == "refused":
        spool.set_aside(held, answer.said)
        return f"it is set aside in {spool.aside}"
    spooled = held.read()
    not_before = 0.0 if answer.wait_s is None else time.time() + answer.wait_s
    told = replace(spooled, tries=spooled.tries + 1, problem=answer.said, not_before=not_before)
    with contextlib.suppress(OSError):  # the report itself stays, without a note of this try
        held.replace(told)
    return f"it is kept in {spool.folder} and sent later"


class Told(Record, frozen=True):
    """A report of the spool that is not delivered, and why."""

    name: str
    label: str
    reason: str


class Flushed(Record, frozen=True):
    """Result of a flush: the labels of the reports that were taken, what stays, and what was set aside.

    `busy` counts reports that another process is sending at this moment.
    """

    sent: tuple[str, ...] = ()
    kept: tuple[Told, ...] = ()
    aside: tuple[Told, ...] = ()
    busy: int = 0


def flush(spool: Spool, sender: Sender, *, within_s: float) -> Flushed:
    """Send what waits, oldest first. A server that did not answer once is not asked again in the same flush.

    Raises SpoolError where the spool cannot be used, and what `sender` raises, which leaves every report where it is.
    """
    deadline = time.monotonic() + within_s
    work = _Flush(spool, sender)
    for path in spool.waiting():
        if time.monotonic() >= deadline:
            work.kept.append(Told(path.stem, "", "the time was over"))
            continue
        try:
            work.take(path)
        except OSError as error:
            work.kept.append(Told(path.stem, "", error.strerror or str(error)))
    return Flushed(tuple(work.sent), tuple(work.kept), tuple(work.aside), work.busy)


class _Flush:
    """One flush: what it has done so far, and the servers that were silent."""

    def __init__(self, spool: Spool, sender: Sender) -> None:
        self.sent: list[str] = []
        self.kept: list[Told] = []
        self.aside: list[Told] = []
        self.busy = 0
        self._spool = spool
        self._sender = sender
        self._silent: dict[str, str] = {}

    def take(self, path: Path) -> None:
        held = self._spool.take(path)
        if held is None:
            self.busy += 1
            return
        try:
            self._do(held)
        finally:
            held.release()

    def _do(self, held: Held) -> None:
        name = held.path.stem
        try:
            spooled = held.read()
        except UsageError as error:  # one that cannot be read must not be in the way of the others
            self._spool.set_aside(held, str(error))
            self.aside.append(Told(name, "", str(error)))
            return
        server = urlsplit(spooled.target.url).netloc
        if why := _not_now(spooled, self._silent.get(server, "")):
            self.kept.append(Told(name, spooled.label, why))
            return
        answer = self._sender(spooled)
        if answer.outcome == "later" and time.time() - spooled.since > KEEP_FOR_S:
            answer = Answer("refused", f"not taken for {KEEP_FOR_S / 86_400:g} days: {answer.said}")
        if answer.outcome == "later":
            self._silent[server] = answer.said
        settle(self._spool, held, answer)
        if answer.outcome == "delivered":
            self.sent.append(spooled.label)
        else:
            done = self.aside if answer.outcome == "refused" else self.kept
            done.append(Told(name, spooled.label, answer.said))


def _not_now(spooled: Spooled, silent: str) -> str:
    if silent:
        return f"its server was asked already: {silent}"
    return "its server asked to wait" if time.time() < spooled.not_before else ""
