"""Group commit: the writes of a process that wait at the same time go to the disk together.

SQLite has one writer at a time, and a commit lasts as long as the disk takes to say that it is safe. So one thread
does all writes of a process in the order in which they came, each as a savepoint of a transaction that a few share,
and nobody is answered before that transaction is on disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from django.db import DatabaseError, close_old_connections, connection, transaction

T = TypeVar("T")

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
    """The writing thread of this process. It ends with the process."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[_Write] = SimpleQueue()
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

    def _run(self) -> None:
        with connection.cursor() as cursor:
            cursor.connection.executescript(_CACHE)
        while True:
            batch = [self._waiting.get()]
            while len(batch) < MOST:
                try:
                    batch.append(self._waiting.get_nowait())
                except Empty:
                    break
            self._commit(batch)

    def _commit(self, batch: list[_Write]) -> None:
        close_old_connections()
        try:
            with transaction.atomic():
                for write in batch:
                    _in_savepoint(write)
        except DatabaseError:
            for write in batch:
                write.shared, write.error = False, None
        finally:
            for write in batch:
                write.done.release()


def _in_savepoint(write: _Write) -> None:
    try:
        with transaction.atomic():
            write.answer = write.work()
    except Exception as error:  # noqa: BLE001  raised again where the answer is waited for
        write.error = error
