"""One pattern, tried on one text in bounded time."""

from __future__ import annotations

from pilotext.rules.patterns import Found, search
from pilotext.rules.schema import Condition

TIMEOUT_S = 1.0
"""For one text: a thousand times what a pattern needs, so that a busy node does not change a verdict."""

MOST_TIMEOUTS = 3
"""After so many a pattern is not tried again in this stream."""


class Probe:
    """A text condition; `timeouts` counts the texts that it could not judge in time."""

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        self.timeouts = 0

    def look(self, window: str, first_line: int) -> Found | None:
        """Where the condition is fulfilled in `window`, if that begins in its first line, which is that long."""
        if self.timeouts >= MOST_TIMEOUTS:
            return None
        try:
            found = search(self.condition, window, TIMEOUT_S)
        except TimeoutError:
            self.timeouts += 1
            return None
        return found if found and found.start <= first_line else None
