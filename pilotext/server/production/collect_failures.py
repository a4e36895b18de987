"""Many things, each dealt with for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def collect_failures(things: Iterable[T], work: Callable[[T], int]) -> int:
    """Do `work` with each; returns how much they moved together.

    One that fails does not keep the others waiting: what went wrong is raised as one ExceptionGroup at the end.
    """
    moved, failed = 0, []
    for thing in things:
        try:
            moved += work(thing)
        except Exception as error:  # noqa: BLE001  raised below
            failed.append(error)
    if failed:
        raise ExceptionGroup("some of them failed", failed)
    return moved
