"""Cleaning of logs: bytes in chunks of any size become lines that rules are matched against.

A line ends at `\\n`, `\\r\\n` or `\\r` (a progress bar is many lines). ANSI escapes, C0 controls but tab, and DEL are
removed: some programs write BEL bytes inside their messages, which the author of a rule cannot see on a screen. A tab
becomes a blank, and the byte order mark at the begin of a stream is removed. Bytes that are not UTF-8 become `\\xNN`.
Of a line longer than MAX_LINE_BYTES the head and the tail are kept, so memory stays bounded by the chunk. Number and
offset of a line always refer to the original bytes, and how the bytes were cut into chunks never changes a line.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from pilotext.classify.prefilter.hyperscan import is_plain, may_be_utf8, may_have_dos_line_ends
from pilotext.rules import patterns
from pilotext.rules.line_prefix import has_prefix

MAX_LINE_BYTES = 64 * 1024
HALF_LINE_BYTES = MAX_LINE_BYTES // 2
"""Bytes kept at either end of a longer line."""

MAX_PREFIX_BYTES = 400

SAMPLE_BYTES = 4096
SPARSE = 0.02
MAX_REPLACED_ONE_BY_ONE = 4
"""Different bytes; a text has few letters beyond ASCII, other data have many."""

_LINE_END = re.compile(patterns.LINE_END.encode())
_ANSI = re.compile(patterns.ANSI_ESCAPE.encode())
_CONTROLS = patterns.CONTROLS.encode()
_REPLACED = _CONTROLS + b"\r\t"
_BEYOND_ASCII = bytes(range(0x80, 0x100))
_LINE_ENDS_AND_TABS = bytes.maketrans(b"\r\t", b"\n ")
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Line:
    """A cleaned line: its number from 1, the offset of its first byte in the stream, its text without line end."""

    number: int
    offset: int
    text: str


@dataclass(frozen=True)
class Block:
    """Some whole lines: the number and the offset of the first, and their bytes (shortened, if it is one long line)."""

    number: int
    offset: int
    raw: bytes
    unwrapped: bytes | None = None
    """Cleaned lines that stand for the raw ones, as many, if broken ones were joined; see `wrapping`."""

    @cached_property
    def cleaned(self) -> bytes:
        """Cleaned lines as UTF-8 with `\\n` at their ends, as many as in `raw`; `raw` itself if it is clean."""
        if self.unwrapped is not None:
            return self.unwrapped
        text = self.raw
        if self.offset == 0:
            text = _without_mark(text)
        if is_plain(text):
            return text.replace(b"\t", b" ")
        if b"\r" in text and may_have_dos_line_ends(text):
            text = text.replace(b"\r\n", b"\n")
        if b"\x1b" in text:
            text = _ANSI.sub(b"", text)
        text = _without_controls(text)
        if text.isascii():
            return text
        if may_be_utf8(text):
            return text.decode(errors="backslashreplace").encode()
        return _as_ascii(text)

    @cached_property
    def is_prefixed(self) -> bool:
        """Whether something put a prefix in front of the lines, by the first and the last of them."""
        text = self.cleaned
        ends = text[: text.find(b"\n")], text[text.rfind(b"\n", 0, -1) + 1 :]
        return any(has_prefix(line[:MAX_PREFIX_BYTES].decode(errors="replace")) for line in ends)

    @cached_property
    def is_ascii(self) -> bool:
        return self.cleaned is self.raw or self.cleaned.isascii()

    @cached_property
    def count(self) -> int:
        return self._line_ends + (not self.cleaned.endswith(b"\n"))

    @cached_property
    def _line_ends(self) -> int:
        text = self.cleaned
        if _is_sparse(text, b"\n"):  # `count` looks at each byte, `replace` searches
            return len(text) - len(text.replace(b"\n", b""))
        return text.count(b"\n")

    @property
    def end(self) -> int:
        """The number of the first line behind the block."""
        return self.number + self.count

    def cut(self, number: int) -> tuple[Block, Block]:
        """Return the lines before the one of this number, and those from it on."""
        at = self._offsets[number - self.number]
        return Block(self.number, self.offset, self.raw[:at]), Block(number, self.offset + at, self.raw[at:])

    def line(self, number: int) -> Line:
        index = number - self.number
        start = self._start_of(index)
        stop = self.cleaned.find(b"\n", start)
        text = self.cleaned[start:stop] if stop >= 0 else self.cleaned[start:]
        offset = start if self.cleaned is self.raw else self._offsets[index]
        return Line(number, self.offset + offset, text.decode())

    def text_at(self, place: int) -> str:
        """Return the line that contains this byte of `cleaned`."""
        stop = self.cleaned.find(b"\n", place)
        return self.cleaned[self.cleaned.rfind(b"\n", 0, place) + 1 : stop if stop >= 0 else None].decode()

    def lines_at(self, places: Iterable[int]) -> bytes:
        """Return the lines that contain these bytes of `cleaned`, each once; `places` are sorted."""
        text, lines, behind = self.cleaned, [], -1
        for place in places:
            if place > behind:
                behind = text.find(b"\n", place)
                behind = behind if behind >= 0 else len(text)
                lines.append(text[text.rfind(b"\n", 0, place) + 1 : behind])
        return b"\n".join(lines)

    def number_at(self, place: int) -> int:
        """Return the number of the line that contains this byte of `cleaned`; fast near the last one asked for."""
        index, start = self._last_place
        if place - start > len(self.cleaned) - place:  # the end is nearer
            index, start = self._line_ends, len(self.cleaned)
        if place >= start:
            index += self.cleaned.count(b"\n", start, place)
        else:
            index -= self.cleaned.count(b"\n", place, start)
        self._remember(index, self.cleaned.rfind(b"\n", 0, place) + 1)
        return self.number + index

    def _start_of(self, index: int) -> int:
        """Return the position in `cleaned` at which the line with this index begins."""
        at, start = (index, self._known[index]) if index in self._known else self._last_place
        while at < index:
            at, start = at + 1, self.cleaned.index(b"\n", start) + 1
        while at > index:
            at, start = at - 1, self.cleaned.rfind(b"\n", 0, start - 1) + 1
        self._remember(at, start)
        return start

    def _remember(self, index: int, start: int) -> None:
        self._known[index] = start
        self._last_place[:] = index, start

    @cached_property
    def _last_place(self) -> list[int]:
        """Index and start in `cleaned` of the line asked for last."""
        return [0, 0]

    @cached_property
    def _known(self) -> dict[int, int]:
        """Starts in `cleaned` of the lines asked for, by index."""
        return {}

    @cached_property
    def _offsets(self) -> list[int]:
        return [0, *(found.end() for found in _LINE_END.finditer(self.raw))]


def _without_controls(text: bytes) -> bytes:
    """Return text with line feeds for carriage returns, blanks for tabs, and no other controls."""
    if not _is_sparse(text, _REPLACED):
        return text.translate(_LINE_ENDS_AND_TABS, _CONTROLS)
    text = text.replace(b"\r", b"\n").replace(b"\t", b" ")
    for control in _CONTROLS:
        text = text.replace(bytes((control,)), b"")
    return text


def _as_ascii(text: bytes) -> bytes:
    """Return text in which `\\xNN` stands for each byte beyond ASCII."""
    for _ in range(MAX_REPLACED_ONE_BY_ONE if _is_sparse(text, _BEYOND_ASCII) else 0):
        try:
            text.decode("ascii")
        except UnicodeDecodeError as error:
            byte = text[error.start]
            text = text.replace(bytes((byte,)), b"\\x%02x" % byte)
        else:
            return text
    return text.decode("latin-1").encode("ascii", errors="backslashreplace")


def _is_sparse(text: bytes, some: bytes) -> bool:
    """Whether few of the first bytes are some of these: to replace each by itself is faster then."""
    sample = text[:SAMPLE_BYTES]
    return len(sample) - len(sample.translate(None, some)) < SPARSE * len(sample)


def _without_mark(text: bytes) -> bytes:
    """Return the begin of a stream without its byte order mark; the NULs of UTF-16 are controls."""
    return next((text[len(mark) :] for mark in _MARKS if text.startswith(mark)), text)


class Splitter:
    """Splitter of a stream into blocks of whole lines; an incomplete last line waits for the next chunk."""

    def __init__(self) -> None:
        self._number = 1
        self._offset = 0
        self._waiting = b""
        self._long: _LongLine | None = None

    def feed(self, chunk: bytes) -> list[Block]:
        """Return the blocks that this chunk completes."""
        if self._long is not None or b"\r" in (self._waiting[-1:], chunk[-1:]):  # a line feed may follow
            return self._feed_parts(self._waiting + chunk)
        stop = _last_end(chunk, 0, len(chunk))
        whole = b"".join((self._waiting, memoryview(chunk)[:stop])) if stop else b""
        self._wait_for_end_of(chunk[stop:] if stop else self._waiting + chunk)
        return [*self._blocks(whole)]

    def _feed_parts(self, data: bytes) -> list[Block]:
        held = data[-1:] if data.endswith(b"\r") else b""
        data = data[: len(data) - len(held)]
        blocks = []
        if self._long is not None:
            end = _LINE_END.search(data)
            self._long.add(data[: end.start()] if end else data)
            if end is None:
                self._waiting = held
                return []
            blocks.append(self._block(self._long.shortened(), self._long.length + len(end[0])))
            self._long = None
            data = data[end.end() :]
        stop = _last_end(data, 0, len(data))
        blocks += self._blocks(data[:stop])
        self._wait_for_end_of(data[stop:], held)
        return blocks

    def close(self) -> list[Block]:
        """Return the last line, if the stream does not end with a line end."""
        waiting, self._waiting = self._waiting, b""
        if self._long is not None:
            block = self._block(self._long.shortened(), self._long.length + len(waiting))
            self._long = None
            return [block]
        return list(self._blocks(waiting))

    def _wait_for_end_of(self, line: bytes, held: bytes = b"") -> None:
        if len(line) > MAX_LINE_BYTES:
            self._long = _LongLine(line)
            line = b""
        self._waiting = line + held

    def _blocks(self, whole: bytes) -> Iterator[Block]:
        """Yield blocks of these whole lines: each overlong line as one block, and the lines between."""
        start = at = 0
        while len(whole) - at > MAX_LINE_BYTES:
            if end := _last_end(whole, at, at + MAX_LINE_BYTES + 1):
                at = end
                continue
            found = _LINE_END.search(whole, at)
            stop, after = found.span() if found else (len(whole), len(whole))
            if at > start:
                yield self._block(whole[start:at], at - start)
            yield self._block(_LongLine(whole[at:stop]).shortened(), after - at)
            start = at = after
        if start < len(whole):
            yield self._block(whole[start:], len(whole) - start)

    def _block(self, raw: bytes, length: int) -> Block:
        block = Block(self._number, self._offset, raw)
        self._number += block.count
        self._offset += length
        return block


class _LongLine:
    """Line of which only head and tail are kept."""

    def __init__(self, begin: bytes) -> None:
        self._head = begin[:HALF_LINE_BYTES]
        self._tail = begin[-HALF_LINE_BYTES:]
        self.length = len(begin)

    def add(self, more: bytes) -> None:
        self._tail = (self._tail + more)[-HALF_LINE_BYTES:]
        self.length += len(more)

    def shortened(self) -> bytes:
        cut = self.length - len(self._head) - len(self._tail)
        return b"%b [... %d bytes cut ...] %b\n" % (self._head, cut, self._tail)


def _last_end(data: bytes, start: int, stop: int) -> int:
    """Return the position behind the last line end in this part of `data`, or 0."""
    line_feed = data.rfind(b"\n", start, stop)
    return max(line_feed, data.rfind(b"\r", max(start, line_feed), stop)) + 1
