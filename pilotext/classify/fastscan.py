"""Hyperscan, where it is installed: which bytes and which texts a large block holds, in one pass at memory speed.

It only saves looking at what holds nothing; without it everything is looked at with what Python has, with the same
results. It is loaded when the first large block comes, because most jobs write logs too small for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache
from types import ModuleType

LARGE = 16 * 1024
"""Blocks below this are looked at before hyperscan would be loaded."""

CONTROLS = bytes([*range(0x09), *range(0x0B, 0x20), 0x7F])
"""C0 controls but tab and line feed, and DEL."""

TOGETHER_AT = (4, 64)
"""After so many blocks it is known which patterns are asked about regularly."""


@cache
def hyperscan() -> ModuleType | None:
    """The library; None if it is not installed, or not for this processor."""
    try:
        import hyperscan as library  # noqa: PLC0415
    except ImportError:
        return None
    return library


def has_controls(data: bytes) -> bool:
    """Whether there is any of CONTROLS in it."""
    if len(data) < LARGE or hyperscan() is None:
        return len(data.translate(None, CONTROLS)) != len(data)
    return bool(_controls().present(data))


class Texts:
    """Many texts to look for at once; those with `folded` stand for every ASCII upper and lower case of theirs."""

    def __init__(self, texts: Sequence[tuple[bytes, bool]]) -> None:
        self._texts = texts
        self._present: Present | None = None

    def present(self, data: bytes) -> Collection[int]:
        """The indices of all the texts that stand somewhere in `data`."""
        if len(data) < LARGE or hyperscan() is None:
            lower = data.lower() if any(folded for _, folded in self._texts) else b""
            return [index for index, (text, folded) in enumerate(self._texts) if text in (lower if folded else data)]
        if self._present is None:
            self._present = Present(self._texts, literal=True)
        return self._present.present(data)


class Present:
    """A database of hyperscan that tells of each expression at most once in a block."""

    def __init__(self, texts: Sequence[tuple[bytes, bool]], *, literal: bool, flags: int = 0) -> None:
        library = _library()
        single, folding = library.HS_FLAG_SINGLEMATCH | flags, library.HS_FLAG_CASELESS
        self._database = library.Database(mode=library.HS_MODE_BLOCK) if texts else None
        if self._database is not None:
            self._database.compile(
                expressions=[text for text, _ in texts],
                ids=[*range(len(texts))],
                flags=[single | folding if folded else single for _, folded in texts],
                literal=literal,
            )

    def present(self, data: bytes) -> Collection[int]:
        """The indices of all the expressions that match somewhere in `data`."""
        seen: set[int] = set()
        if self._database is not None:
            self._database.scan(data, lambda index, *_: seen.add(index))
        return seen


def may_match(pattern: bytes, data: bytes) -> bool:
    """False if it is certain that no line of `data`, all ASCII, matches; `pattern` must not cross line ends."""
    if len(data) < LARGE or hyperscan() is None:
        return True
    known = _pattern(pattern)
    return known is None or bool(known.present(data))


class Suspects:
    """Patterns that are asked about in one block after another: those that come regularly are looked for together."""

    def __init__(self) -> None:
        self._asked: Counter[bytes] = Counter()
        self._blocks = 0
        self._regular: dict[bytes, int] = {}
        self._together: Present | None = None

    def nowhere(self, patterns: Sequence[bytes], data: bytes) -> set[bytes]:
        """Those that certainly match no line of `data`, as `may_match` says it for one."""
        if len(data) < LARGE or hyperscan() is None:
            return set()
        self._asked.update(patterns)
        self._blocks += 1
        if self._blocks in TOGETHER_AT:
            self._look_together()
        found = set(self._together.present(data)) if self._together else set()
        return {one for one in patterns if not self._is_possible(one, found, data)}

    def _is_possible(self, pattern: bytes, found: set[int], data: bytes) -> bool:
        index = self._regular.get(pattern)
        return may_match(pattern, data) if index is None else index in found

    def _look_together(self) -> None:
        often = [one for one, times in self._asked.items() if 2 * times > self._blocks and _pattern(one) is not None]
        if set(often) == self._regular.keys():
            return
        self._regular = {one: index for index, one in enumerate(often)}
        self._together = Present([(one, False) for one in often], literal=False, flags=_pattern_flags())


@cache
def _pattern(pattern: bytes) -> Present | None:
    """None for a pattern that hyperscan does not understand."""
    library = _library()
    try:
        return Present([(pattern, False)], literal=False, flags=_pattern_flags())
    except library.error:
        return None


def _pattern_flags() -> int:
    library = _library()
    return int(library.HS_FLAG_PREFILTER | library.HS_FLAG_MULTILINE)


@cache
def _controls() -> Present:
    return Present([(rb"[\x00-\x08\x0b-\x1f\x7f]", False)], literal=False)


def _library() -> ModuleType:
    library = hyperscan()
    if library is None:
        raise RuntimeError("hyperscan is asked for where it is not installed")
    return library
