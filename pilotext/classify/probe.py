"""One pattern, tried on one text in bounded time."""

from __future__ import annotations

from pilotext.rules.patterns import Found, search
from pilotext.rules.schema import Condition

TIMEOUT_S = 1.0
"""For one text: a thousand times what a pattern needs, so that a busy node does not change a verdict."""


class Probe:
    """A text condition; one that hits its time limit is given up, because the lines of a flood are alike."""

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        self.given_up = False

    def look(self, window: str, first_line: int) -> Found | None:
        """Where the condition is fulfilled in `window`, if that begins in its first line, which is that long."""
        if self.given_up:
            return None
        try:
            found = search(self.condition, window, TIMEOUT_S)
        except TimeoutError:
            self.given_up = True
            return None
        return found if found and found.start <= first_line else None
