"""Group commit: the writes of a process that wait at the same time go to the disk together.

SQLite has one writer at a time, and a commit lasts as long as the disk takes to say that it is safe. So one thread
does all writes of a process in the order in which they came, each as a savepoint of a transaction that a few share,
and nobody is answered before that transaction is on disk.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from django.db import close_old_connections, connection, transaction

T = TypeVar("T")

log = logging.getLogger("pilotext.writer")

MOST = 100
"""Writes in one transaction: other processes must get their turn."""

_CACHE = "PRAGMA cache_size=-131072; PRAGMA wal_autocheckpoint=8000"


@dataclass
class _Write:
    """One piece of work, and what became of it."""

    work: Callable[[], Any]
    done: threading.Lock = field(default_factory=threading.Lock)
    answer: Any = None
    error: BaseException | None = None
    shared: bool = True
    """False when the transaction that it shared was broken off: it has to be done again."""


class Writer:
    """The writing thread of this process. It ends with the process, if it is not stopped before."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[_Write | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], T]) -> tuple[bool, T | None]:
        """Do `work` and return what it returned, once that is on disk; raises what it raised, and then wrote nothing.

        (False, None) when the transaction could not be finished, for reasons that need not be those of this work.
        """
        write = _Write(work)
        write.done.acquire()
        self._waiting.put(write)
        write.done.acquire()
        if write.error is not None:
            raise write.error
        return write.shared, write.answer

    def stop(self) -> None:
        """Do what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        with connection.cursor() as cursor:
            cursor.connection.executescript(_CACHE)
        while (first := self._waiting.get()) is not None:
            self._commit([first, *self._more()])
        connection.close()

    def _more(self) -> Iterator[_Write]:
        """Number of other waiting writes."""
        for _ in range(MOST - 1):
            try:
                write = self._waiting.get_nowait()
            except Empty:
                return
            if write is None:
                self._waiting.put(None)
                return
            yield write

    def _commit(self, batch: list[_Write]) -> None:
        close_old_connections()
        try:
            with transaction.atomic():
                for write in batch:
                    _in_savepoint(write)
        except Exception:  # whatever it was, nothing of this is on disk
            log.exception("a commit of %d writes failed; each is done again by itself", len(batch))
            for write in batch:
                write.shared, write.error = False, None
        finally:
            for write in batch:
                write.done.release()


def _in_savepoint(write: _Write) -> None:
    raw = connection.connection
    raw.execute("SAVEPOINT one_write")
    try:
        write.answer = write.work()
    except Exception as error:  # noqa: BLE001  raised again where the answer is waited for
        write.error = error
        raw.execute("ROLLBACK TO one_write")
        transaction.set_rollback(False)  # something within may have asked for it, and has it
    raw.execute("RELEASE one_write")
