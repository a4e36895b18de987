"""Waiting for something that knows no bound itself, such as a web server that sends one byte a minute."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

STEP_S = 0.1


class NotInTimeError(Exception):
    """An action was not done in time; it may go on in its thread, which is not waited for."""


def bounded(action: Callable[[], T], *, within_s: float, tick: Callable[[], None] = lambda: None) -> T:
    """Return or raise what the action does. Raises NotInTimeError.

    `tick` is called several times a second and may raise. The action runs in a thread, so call this only when the
    process forks no more.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(action())
        except BaseException as error:  # noqa: BLE001  it is raised again, in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    for _ in range(max(1, round(within_s / STEP_S))):
        thread.join(STEP_S)
        if not thread.is_alive():
            break
        tick()
    if errors:
        raise errors[0]
    if not results:
        raise NotInTimeError(f"no answer within {within_s:g} s")
    return results[0]
