"""Hyperscan, where it is installed: which patterns and texts a large block holds, in one pass at memory speed.

It only saves looking at what holds nothing; without it everything is looked at with what Python has, with the same
results. It is loaded when the first large block comes, because most jobs write logs too small for it. What it compiles
is never kept on disk: whoever could change that would decide what is seen, or crash the library.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import ModuleType
from typing import Any

LARGE = 16 * 1024
"""Blocks below this are looked at before hyperscan would be loaded."""

CONTROLS = bytes([*range(0x09), *range(0x0B, 0x20), 0x7F])
"""C0 controls but tab and line feed, and DEL."""


@lru_cache
def hyperscan() -> ModuleType | None:
    """The library; None if it is not installed, or not for this processor."""
    try:
        import hyperscan as library  # noqa: PLC0415
    except ImportError:
        return None
    return library


def is_fast_for(data: bytes) -> bool:
    """Whether there is so much of it that hyperscan pays, and hyperscan."""
    return len(data) >= LARGE and hyperscan() is not None


def is_plain(data: bytes) -> bool:
    """Whether it is all ASCII, and nothing of CONTROLS is in it."""
    if is_fast_for(data):
        return not _NOT_PLAIN.present(data)
    return data.isascii() and len(data.translate(None, CONTROLS)) == len(data)


def has_long_lines(data: bytes) -> bool:
    """Whether there is a line of 1000 bytes or more; it may say so if it is not known."""
    return not is_fast_for(data) or bool(_LONG_LINE.present(data))


@dataclass(frozen=True)
class Look:
    """What to look for under a number: a pattern for bytes that crosses no line end, or the texts that stand for it.

    Where the pattern is None or unknown to hyperscan, the texts are looked for; `folded` ones in any ASCII case.
    """

    number: int
    pattern: bytes | None = None
    texts: tuple[bytes, ...] = ()
    folded: bool = False


class Present:
    """A database of hyperscan that tells of each number at most once in a block. Only for blocks that are ASCII,
    unless no look has a pattern."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self._looks = looks

    def present(self, data: bytes) -> Collection[int]:
        """The numbers of all the looks that may have a match somewhere in `data`; for every other it is certain."""
        seen: set[int] = set()
        if self._looks:
            self._database.scan(data, lambda number, *_: seen.add(number))
        return seen

    @cached_property
    def _database(self) -> Any:
        return _compiled(self._looks)

    def compile(self) -> None:
        """Compile now what would be compiled for the first block; the interpreter runs other threads meanwhile."""
        if self._looks:
            self._database  # noqa: B018


def _compiled(looks: Sequence[Look]) -> Any:
    try:
        return _compile([expression for look in looks for expression in _expressions(look)])
    except _library().error:  # of some pattern, and it does not say of which
        understood = [
            look if _is_understood(look) else Look(look.number, None, look.texts, look.folded) for look in looks
        ]
        return _compile([expression for look in understood for expression in _expressions(look)])


def _expressions(look: Look) -> list[tuple[int, bytes, int]]:
    library = _library()
    flags = library.HS_FLAG_SINGLEMATCH | library.HS_FLAG_PREFILTER | library.HS_FLAG_MULTILINE
    if look.pattern is not None:
        return [(look.number, look.pattern, flags)]
    flags |= library.HS_FLAG_CASELESS if look.folded else 0
    return [(look.number, re.escape(text), flags) for text in look.texts]


def _is_understood(look: Look) -> bool:
    try:
        _compile(_expressions(look))
    except _library().error:
        return False
    return True


def _compile(expressions: Sequence[tuple[int, bytes, int]]) -> Any:
    library = _library()
    database = library.Database(mode=library.HS_MODE_BLOCK)
    database.compile(
        expressions=[pattern for _, pattern, _ in expressions],
        ids=[number for number, _, _ in expressions],
        flags=[flags for _, _, flags in expressions],
    )
    return database


_NOT_PLAIN = Present([Look(0, rb"[\x00-\x08\x0b-\x1f\x7f-\xff]")])
_LONG_LINE = Present([Look(0, rb"[^\n]{1000}")])


def _library() -> ModuleType:
    library = hyperscan()
    if library is None:
        raise RuntimeError("hyperscan is asked for where it is not installed")
    return library
