"""Two that work at the same rows at once: what the second one does while the first is in the middle of it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import connection

WITHIN_S = 1.0
"""The other one has so long before the first goes on; one that waits for the first needs longer, and shall."""


class Meanwhile:
    """Another thread's work, with a connection of its own; begun once, however often `begin` is called."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._failed: list[Exception] = []
        self._thread = threading.Thread(target=self._run)

    def begin(self) -> None:
        if self._thread.ident is None:
            self._thread.start()
            self._thread.join(WITHIN_S)

    def end(self) -> None:
        """Wait for the other one's end, which it must have begun; what went wrong there is raised here."""
        assert self._thread.ident is not None, "nobody came to where the other one was to begin"
        self._thread.join()
        if self._failed:
            raise self._failed[0]

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  raised by `end`
            self._failed.append(error)
        finally:
            connection.close()
