"""A log as lines: slices of it, its true line numbers, and a search, whatever its size."""

from __future__ import annotations

import mmap
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import regex

from pilotext.model.log_index import Part
from pilotext.server.production.storage.log_cache import CachedLog, LogUnavailableError

MAX_LINES = 400
MAX_LINE_BYTES = 2000
"""Of a line that are shown; the whole one is in the file to download."""

MAX_HITS = 100
MAX_QUERY = 200
SEARCH_WITHIN_S = 2.0
STEP_BYTES = 1 << 16
"""From one place whose number of lines is remembered to the next."""

_LINE_END = re.compile(rb"\r\n|\r|\n")


class SearchError(ValueError):
    """A search that cannot be made: the sentence says why."""


@dataclass(frozen=True)
class NumberedLine:
    """A line of a log: `number` is that in the whole log, None where it is not known; `at` is its byte in the file."""

    number: int | None
    at: int
    text: str
    cut: int = 0
    """Bytes at its end that are not in `text`."""


class LogText:
    """A log on the disk of the server. All of it is gone through once, so archives bound its size."""

    def __init__(self, log: CachedLog) -> None:
        self.data: bytes | mmap.mmap = b""
        try:
            if log.size:
                with log.path.open("rb") as file:
                    self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise LogUnavailableError("The archive has just left the cache.", advice="Reload the page.") from error
        self.parts = log.index.parts if log.index is not None else (Part(0, len(self.data), 0, 1),)
        self._bounds, self._ends = [0], [0]
        """Places in the file, and the number of line ends before each."""
        for begin in range(0, len(self.data), STEP_BYTES):
            end = self._whole(min(begin + STEP_BYTES, len(self.data)))
            self._ends.append(self._ends[-1] + self._count(self._bounds[-1], end))
            self._bounds.append(end)
        self.lines = self._ends[-1] + (len(self.data) > 0 and self.data[-1:] not in (b"\n", b"\r"))
        self._first_places = [self.place_of(part.at) for part in self.parts]

    def place_of(self, at: int) -> int:
        """Return the place, from 0, of the line that holds this byte."""
        at = self._whole(min(max(0, at), len(self.data)), back=True)
        bound = bisect_right(self._bounds, at) - 1
        return self._ends[bound] + self._count(self._bounds[bound], at)

    def place_of_line(self, number: int) -> int | None:
        """Return the place of the line of this number in the whole log; None where that was left out, or is unknown."""
        for index, part in enumerate(self.parts):
            if part.first_line is None or number < part.first_line:
                continue
            first = self._first_places[index]
            last = self.place_of(self._end_of(index) - 1)
            if number - part.first_line <= last - first:
                return first + number - part.first_line
        return None

    def slice(self, first: int, count: int = MAX_LINES) -> list[NumberedLine]:
        """Return lines from a place on."""
        first = max(0, first)
        if first >= self.lines:
            return []
        found = list(islice(self._from(first), count))
        return [
            NumberedLine(self._number(at, place), at, *_shown(self.data, at, end))
            for place, (at, end) in enumerate(found, first)
        ]

    def search(self, query: str, *, pattern: bool = False) -> list[NumberedLine]:
        """Return the first lines that hold a text, or match a pattern, in any case; one more than MAX_HITS at the most.

        Raises SearchError for a pattern that is none, or that needs too long.
        """
        if len(query) > MAX_QUERY:
            raise SearchError(f"the search is longer than {MAX_QUERY} characters.")
        text = query if pattern else regex.escape(query)
        hits: dict[int, NumberedLine] = {}
        try:
            compiled = regex.compile(text.encode(), regex.IGNORECASE | regex.MULTILINE | regex.VERSION0)
            for found in compiled.finditer(self.data, timeout=SEARCH_WITHIN_S, concurrent=True):
                place = self.place_of(found.start())
                if place not in hits and (line := self.slice(place, 1)):
                    hits[place] = line[0]
                if len(hits) > MAX_HITS:
                    break
        except TimeoutError:
            raise SearchError(f"the pattern needs longer than {SEARCH_WITHIN_S:g} s for this log.") from None
        except (regex.error, RecursionError, OverflowError, MemoryError) as error:
            raise SearchError(f"{query!r} is not a pattern: {error}") from None
        return list(hits.values())

    def _from(self, place: int) -> Iterator[tuple[int, int]]:
        """Yield begin and end of the lines from a place on, their line ends left out."""
        bound = max(0, bisect_left(self._ends, place) - 1)
        begin, number = self._bounds[bound], self._ends[bound]
        for found in _LINE_END.finditer(self.data, begin):
            if number >= place:
                yield begin, found.start()
            begin, number = found.end(), number + 1
        if begin < len(self.data):
            yield begin, len(self.data)

    def _count(self, begin: int, end: int) -> int:
        """Count the line ends between two places, neither of which is within one."""
        piece = self.data[begin:end]
        return piece.count(b"\n") + piece.count(b"\r") - piece.count(b"\r\n")

    def _whole(self, at: int, *, back: bool = False) -> int:
        """Return a place that is not between the two bytes of a line end: behind it, or before it."""
        within = self.data[max(0, at - 1) : at + 1] == b"\r\n"
        return at + (-1 if back else 1) * within

    def _number(self, at: int, place: int) -> int | None:
        """Return the number in the whole log of the line that begins at this byte, at this place."""
        index = bisect_right([part.at for part in self.parts], at) - 1
        if index < 0 or at >= self._end_of(index):
            return None
        part = self.parts[index]
        return None if part.first_line is None else part.first_line + place - self._first_places[index]

    def _end_of(self, index: int) -> int:
        part = self.parts[index]
        return part.at + part.end - part.start


def _shown(data: bytes | mmap.mmap, begin: int, end: int) -> tuple[str, int]:
    cut = max(0, end - begin - MAX_LINE_BYTES)
    return data[begin : end - cut].decode("utf-8", "replace"), cut
