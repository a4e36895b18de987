"""Temporary names of a stage-out, and tidying up after an attempt that was killed in the middle of one.

`.<name>.<tag>.part` is a file that is not whole yet, `.<name>.<tag>.old` one that is replaced, until all are published.
Each try of an upload has a name of its own, `.<name>.<tag>.2.part` and so on, because the server may keep a lock on the
name of a try whose connection broke. There are `PARTS` such names, so that those of a killed attempt can be found
without listing a folder of a hundred thousand files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pilotext.errors import NotFoundError, StorageError, TransientError
from pilotext.model.report import Try
from pilotext.storage.transfer import Mover
from pilotext.storage.urls import name_of, server_of, sibling

PARTS = 8
"""Temporary names for the tries of one upload. A lock ends when the server notices that its connection is dead; after
so many tries with growing waits, the first name is free again."""


def part_of(target: str, tag: str, number: int = 0) -> str:
    """URL of a file in the upload's try `number` (from 0) until it is published at `target`."""
    place = number % PARTS
    counted = f".{place + 1}" if place else ""
    return sibling(target, f".{name_of(target)}.{_plain(tag)}{counted}.part")


def parts_of(target: str, tag: str) -> list[str]:
    """URLs of every part that an upload to `target` can leave behind."""
    return [part_of(target, tag, number) for number in range(PARTS)]


def aside_of(target: str, tag: str) -> str:
    """Return the URL at which the earlier file of `target` waits."""
    return sibling(target, f".{name_of(target)}.{_plain(tag)}.old")


def remove_if_there(url: str, mover: Mover) -> None:
    """Raises StorageError, but not because there is nothing to remove."""
    try:
        mover.do("remove", url=url)
    except NotFoundError:
        return


def clear(targets: Iterable[str], tags: Sequence[str], mover: Mover) -> list[Try]:
    """Remove what killed attempts with these tags have left at the targets, and bring back what they had replaced.

    A server that does not answer at once is left alone; the returned list names it.
    """
    problems: dict[str, Try] = {}
    with mover.hurried():
        for target in targets:
            server = server_of(target)
            if server in problems:
                continue
            try:
                for tag in tags:
                    _undo(target, tag, mover)
            except StorageError as error:
                message = f"not looked for leftovers: {error.reason}"
                problems[server] = Try(target, error.fault, message, 0.0)
    return list(problems.values())


def discard(parts: Iterable[str], mover: Mover) -> list[Try]:
    """Remove parts of files from places that were given up; the returned list names what may be left.

    A server that does not answer is not asked again.
    """
    problems = []
    silent: dict[str, TransientError] = {}
    with mover.hurried():
        for part in parts:
            try:
                if earlier := silent.get(server_of(part)):
                    raise earlier
                remove_if_there(part, mover)
            except StorageError as error:
                problems.append(Try(part, error.fault, f"perhaps left behind: {error.reason}", 0.0))
                if isinstance(error, TransientError):
                    silent[server_of(part)] = error
    return problems


def _undo(target: str, tag: str, mover: Mover) -> None:
    for part in parts_of(target, tag):
        remove_if_there(part, mover)
    try:
        mover.do("move", source=aside_of(target, tag), target=target)
    except NotFoundError:
        return


def _plain(tag: str) -> str:
    return tag.replace("/", "_")
