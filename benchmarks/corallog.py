"""Logs like CORAL's, of any size: normal, a flood of errors, nothing but counters, and full of dirty bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random

from fixtures.payloads.standin import texts

RUN = 275772
PIECE = 1 << 20


def write_log(path: Path, kind: str, size: int) -> None:
    """A log of one of KINDS, of about `size` bytes, that ends as a good production does."""
    with path.open("wb") as file:
        for piece in pieces(kind, size):
            file.write(piece)


def pieces(kind: str, size: int) -> Iterator[bytes]:
    """The same in pieces, the first of which comes at once."""
    buffer = bytearray("".join([*_begin()]).encode())
    done = 0
    for event in count(1):
        buffer += KINDS[kind](event).encode("latin-1")
        if len(buffer) >= PIECE:
            yield bytes(buffer)
            done += len(buffer)
            buffer.clear()
        if done + len(buffer) >= size:
            break
    end = [*texts.statistics(event, 0, 0.1), texts.LOGGER_DUMP, "18640 events had been written to miniDST.\n"]
    yield bytes(buffer) + "".join([*end, texts.END_OF_JOB]).encode()


def _begin() -> Iterator[str]:
    yield texts.LOGGER
    yield texts.RELEASE
    yield from texts.geometry(RUN)
    yield from texts.first_event(f"cdr12019-{RUN}.raw")


def _error(event: int, source: str, message: str) -> str:
    clock = f"{event // 3600 % 24:02}:{event // 60 % 60:02}:{event % 60:02}.{event * 7919 % 1000000:06}"
    return f"\nERROR, on Mon, 11/Sep/2017 {clock} (GMT)\n from: {source}\n`{message}'\n"


def _tracks(event: int) -> str:
    random = Random(event)  # noqa: S311  any numbers
    return "".join(
        f"track {number}: chi2/ndf {random.random() * 9:.4f} in {texts.DETECTORS[(event + number) % 9]}, "
        f"residual {random.random():.6f} cm, momentum {random.random() * 160:.3f} GeV/c\n"
        for number in range(6)
    )


def _normal(event: int) -> str:
    said = f"Event: {event}\n" if event % 5 == 0 else ""
    said += _tracks(event % 1000)
    if event % 6 == 0:
        said += _error(event, "CsVrtPattern.cc   412", f"too few tracks ({event % 4}) for a vertex in event {event}")
    return said + (_error(event, "CsEvent.cc   1005", texts.skipped(RUN, event)) if event % 50 == 0 else "")


def _flood(event: int) -> str:
    said = f"Event: {event}\n" if event % 5 == 0 else ""
    said += _error(event, "CsEvent.cc   1105", texts.decoding_error(event))
    return said + (_error(event, "CsEvent.cc   1005", texts.skipped(RUN, event)) if event % 7 == 0 else "")


def _counters(event: int) -> str:
    return f"Event: {5 * event}\n"


def _dirty(event: int) -> str:
    return (
        f"\rSkipping events {event}...\x1b[31mwarning\x1b[0m: caf\xe9 {event}\x07 in "
        f"{texts.DETECTORS[event % 9]} with \0 bytes\n" + _tracks(event % 1000)
    )


KINDS: dict[str, Callable[[int], str]] = {
    "normal": _normal,
    "flood": _flood,
    "counters": _counters,
    "dirty": _dirty,
}
