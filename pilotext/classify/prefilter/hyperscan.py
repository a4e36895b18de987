"""Hyperscan databases, where the library is installed: one pass tells which patterns and texts a large block holds.

Hyperscan only skips blocks and conditions without a match; without it Python searches everything, with the same
results. It is loaded with the first large block, because most jobs write logs too small for it. Compiled databases are
never stored on disk: a changed file could hide matches or crash the library.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import ModuleType
from typing import Any

MIN_HYPERSCAN_BYTES = 16 * 1024
"""Smaller blocks are searched by Python before hyperscan would be loaded."""

MANY_EXPRESSIONS = 100
"""Number of expressions from which on FILLERS are added; fewer take little memory anyway."""

FILLERS = [rb"\x00%03d" % number + b"-" * 60 for number in range(140)]
"""Texts that no cleaned block contains. For up to 8000 letters of text Hyperscan 5.4 builds a second engine, for data
under 70 bytes (`smallWrite` in its source), which takes 30 MB; these texts are so many that it builds none."""

NOBODY = 0xFFFFFFFF
"""Number of these texts, which nothing asks for."""

CONTROLS = bytes([*range(0x09), *range(0x0B, 0x20), 0x7F])
"""C0 controls but tab and line feed, and DEL."""


@lru_cache
def hyperscan() -> ModuleType | None:
    """Return the library; None if it is not installed, or not for this processor."""
    try:
        import hyperscan as library  # noqa: PLC0415
    except ImportError:
        return None
    return library


def is_fast_for(data: bytes) -> bool:
    """Whether the data is large enough for hyperscan, and hyperscan is installed."""
    return len(data) >= MIN_HYPERSCAN_BYTES and hyperscan() is not None


def is_plain(data: bytes) -> bool:
    """Whether the data is ASCII without any of CONTROLS."""
    if is_fast_for(data):
        return not _NOT_PLAIN.candidates(data)
    return data.isascii() and len(data.translate(None, CONTROLS)) == len(data)


def has_long_lines(data: bytes) -> bool:
    """Whether there may be a line of 1000 bytes or more."""
    return not is_fast_for(data) or bool(_LONG_LINE.candidates(data))


def may_have_dos_line_ends(data: bytes) -> bool:
    """Whether there may be a `\\r\\n`; to replace none takes longer than to look."""
    return not is_fast_for(data) or bool(_DOS_LINE_END.candidates(data))


def may_be_utf8(data: bytes) -> bool:
    """Whether there may be a character of several bytes in UTF-8; other bytes beyond ASCII are none."""
    return not is_fast_for(data) or bool(_SEVERAL_BYTES.candidates(data))


@dataclass(frozen=True)
class SearchTerm:
    """Search term with a number: a bytes pattern that crosses no line end, or the literal texts that it requires.

    If the pattern is None or unknown to hyperscan, the texts are searched; `folded` ones in any ASCII case.
    """

    number: int
    pattern: bytes | None = None
    texts: tuple[bytes, ...] = ()
    folded: bool = False


class BlockDatabase:
    """Hyperscan database that reports each number at most once a block; only for ASCII blocks if any term has a
    pattern."""

    def __init__(self, looks: Sequence[SearchTerm]) -> None:
        self._looks = looks

    def candidates(self, data: bytes) -> Collection[int]:
        """Return the numbers of all terms that may match somewhere in `data`; no other term does."""
        seen: set[int] = set()
        if self._looks:
            self._database.scan(data, lambda number, *_: seen.add(number))
        return seen

    @cached_property
    def _database(self) -> Any:
        return _compiled(self._looks)

    def compile(self) -> None:
        """Compile the database now instead of with the first block; other threads run meanwhile."""
        if self._looks:
            self._database  # noqa: B018


def _compiled(looks: Sequence[SearchTerm]) -> Any:
    try:
        return _compile([expression for look in looks for expression in _expressions(look)])
    except _library().error:  # of some pattern, without saying which
        supported = [
            look if _is_supported(look) else SearchTerm(look.number, None, look.texts, look.folded) for look in looks
        ]
        return _compile([expression for look in supported for expression in _expressions(look)])


def _expressions(look: SearchTerm) -> list[tuple[int, bytes, int]]:
    library = _library()
    flags = library.HS_FLAG_SINGLEMATCH | library.HS_FLAG_PREFILTER | library.HS_FLAG_MULTILINE
    if look.pattern is not None:
        return [(look.number, look.pattern, flags)]
    flags |= library.HS_FLAG_CASELESS if look.folded else 0
    return [(look.number, re.escape(text), flags) for text in look.texts]


def _is_supported(look: SearchTerm) -> bool:
    try:
        _compile(_expressions(look))
    except _library().error:
        return False
    return True


def _compile(expressions: Sequence[tuple[int, bytes, int]]) -> Any:
    library = _library()
    if len(expressions) > MANY_EXPRESSIONS:
        expressions = [*expressions, *((NOBODY, text, library.HS_FLAG_SINGLEMATCH) for text in FILLERS)]
    database = library.Database(mode=library.HS_MODE_BLOCK)
    database.compile(
        expressions=[pattern for _, pattern, _ in expressions],
        ids=[number for number, _, _ in expressions],
        flags=[flags for _, _, flags in expressions],
    )
    return database


_NOT_PLAIN = BlockDatabase([SearchTerm(0, rb"[\x00-\x08\x0b-\x1f\x7f-\xff]")])
_LONG_LINE = BlockDatabase([SearchTerm(0, rb"[^\n]{1000}")])
_DOS_LINE_END = BlockDatabase([SearchTerm(0, rb"\r\n")])
_SEVERAL_BYTES = BlockDatabase([SearchTerm(0, rb"[\xc2-\xf4][\x80-\xbf]")])


def _library() -> ModuleType:
    library = hyperscan()
    if library is None:
        raise RuntimeError("hyperscan is not installed: check is_fast_for first")
    return library
