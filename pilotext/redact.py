"""What must not leave the node: proxies, tokens, passwords and keys are made illegible wherever we write or send text.

Secrets are known by their value (from the job and the environment) or by their shape (`authz=…`, a private key). Every
byte of one becomes `*`, so that positions in a log stay true and nothing gets longer; blanks and newlines stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pilotext.secretshapes import shapes_in

LONGEST_SECRET = 32 * 1024
"""Bytes; what is longer may be seen only in part where a text is read piece by piece."""

STEP = 1 << 20
LONGEST_TEXT = 20_000
"""Characters of a text that travels in a report; nobody reads more, and a server may say anything."""

_STARS = bytes(byte if chr(byte).isspace() else ord("*") for byte in range(256))
_SHORTEST_PART = 6
_CUT = "..."
_CUT_MARKS = ("[...]", _CUT)

NAMES_OF_THINGS = frozenset(
    [
        *("action", "cause", "code", "phase", "rule", "ruleset", "signature", "state", "stream", "outcome"),
        *("adler32", "format", "host", "job", "kind", "name", "number", "pilotext"),
    ]
)
"""Fields of a report that hold words of our own or of the production system, and are looked up by them."""

Read = Callable[[int, int], bytes]
"""The bytes of a file from an offset on, at most so many."""


class Redactor:
    """Makes known values, and everything that has the shape of a secret, illegible."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        longest_first = sorted({value for value in values if value}, key=len, reverse=True)
        self._texts = [value for value in longest_first if len(value.encode("utf-8", "replace")) <= LONGEST_SECRET]
        self._values = [value.encode("utf-8", "replace") for value in self._texts]

    def data(self, data: bytes) -> bytes:
        """The same bytes, secrets illegible."""
        spans = [*shapes_in(data), *self._known_in(data)]
        if not spans:
            return data
        masked = bytearray(data)
        for start, end in spans:
            masked[start:end] = data[start:end].translate(_STARS)
        return bytes(masked)

    def text(self, text: str) -> str:
        """The same text, secrets illegible, and what cannot be written as UTF-8 escaped."""
        masked = self.data(text.encode("utf-8", "backslashreplace")).decode("utf-8", "replace")
        return self._without_parts(masked)

    def pieces(self, read: Read, start: int, end: int) -> Iterator[bytes]:
        """The bytes of a file from `start` to `end`, a piece at a time, as `data` would show them in the whole file.

        Ends earlier if the file does. Secrets may begin before `start`, end behind `end`, or lie across two pieces.
        """
        while start < end:
            before = min(start, LONGEST_SECRET)
            size = min(STEP, end - start)
            piece = self.data(read(start - before, before + size + LONGEST_SECRET))[before : before + size]
            if piece:
                yield piece
            if len(piece) < size:
                return
            start += size

    def plain(self, value: Any, key: str = "") -> Any:
        """Plain data, as a record becomes for JSON, with every text in it fit to travel."""
        if key in NAMES_OF_THINGS:
            return value
        if isinstance(value, str):
            return shortened(self.text(value))
        if isinstance(value, dict):
            shown = self._quote(value) if {"text", "before", "after"} <= value.keys() else value
            return {self.text(name): self.plain(each, name) for name, each in shown.items()}
        if isinstance(value, list | tuple):
            return [self.plain(each, key) for each in value]
        return value

    def _quote(self, evidence: dict[str, Any]) -> dict[str, Any]:
        """A line with its neighbours, looked at as one text: a key has many lines."""
        texts = [*evidence["before"], evidence["text"], *evidence["after"]]
        lines = self.text("\n".join(texts)).split("\n")
        shown: list[str] = []
        for text in texts:
            count = text.count("\n") + 1
            shown.append("\n".join(lines[:count]))
            del lines[:count]
        middle = len(evidence["before"])
        return {**evidence, "before": shown[:middle], "text": shown[middle], "after": shown[middle + 1 :]}

    def _known_in(self, data: bytes) -> Iterator[tuple[int, int]]:
        for value in self._values:
            place = data.find(value)
            while place >= 0:
                yield place, place + len(value)
                place = data.find(value, place + len(value))

    def _without_parts(self, text: str) -> str:
        """A quoted line may have been cut within a known value: what is left of that goes too."""
        for mark in _CUT_MARKS:
            if mark in text:
                text = mark.join(self._without_ends(part) for part in text.split(mark))
        return self._without_ends(text)

    def _without_ends(self, text: str) -> str:
        inner = text.strip()
        for value in self._texts:
            if (size := _overlap(inner, value)) >= _SHORTEST_PART:
                text = _starred_last(text, inner[-size:])
            if (size := _overlap(value, inner)) >= _SHORTEST_PART:
                text = text.replace(inner[:size], "*" * size, 1)
        return text


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    """The begin of a text that is too long to travel."""
    return text if len(text) <= longest else text[: longest - len(_CUT)] + _CUT


def _overlap(first: str, second: str) -> int:
    """How many characters at the end of `first` are the begin of `second`."""
    longest = min(len(first), len(second))
    if second[:_SHORTEST_PART] not in first[-longest:]:
        return 0
    return next((size for size in range(longest, _SHORTEST_PART - 1, -1) if first.endswith(second[:size])), 0)


def _starred_last(text: str, part: str) -> str:
    place = text.rfind(part)
    return text[:place] + "*" * len(part) + text[place + len(part) :]
