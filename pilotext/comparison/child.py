"""Comparison in a process of its own: a damaged file may do anything to its reader, and a large one takes memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec

from pilotext.comparison.records import FilesFinding, Tolerances
from pilotext.errors import PilotextError
from pilotext.formats.root_file import limit_reader, reader_environment
from pilotext.model import Record
from pilotext.process_lifetime import tied
from pilotext.serialization.json import from_json

MAX_MEMORY_BYTES = 4 << 30
MAX_ANSWER_BYTES = 64 << 20


class ComparisonError(PilotextError):
    """Two sets of files could not be compared; the message says which file, and why."""


class _Request(Record, frozen=True):
    old: tuple[str, ...]
    new: tuple[str, ...]
    tolerances: Tolerances


class _Answer(Record, frozen=True):
    """The findings, or the problem with a file."""

    found: FilesFinding | None = None
    problem: str = ""


def compare_files(old: Sequence[Path], new: Sequence[Path], tolerances: Tolerances, within_s: float) -> FilesFinding:
    """Compare the contents of two sets of ROOT files, each taken as one whole.

    Raises ComparisonError when a file cannot be read, when the reader ends by itself, and when it takes longer than
    `within_s` seconds, after which it is killed.
    """
    words = _Request(tuple(map(str, old)), tuple(map(str, new)), tolerances)
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "pilotext.comparison.child"],
                input=msgspec.json.encode(words),
                stdout=answer,
                stderr=errors,
                env=reader_environment(),
                timeout=within_s,
                check=False,
                preexec_fn=tied(),
            )
        except subprocess.TimeoutExpired:
            raise ComparisonError(f"the comparison was not finished after {within_s:g} s.") from None
        if done.returncode:
            raise ComparisonError(f"the reader ended with status {done.returncode}: {_last_line(errors)}")
        said = from_json(_content(answer), _Answer, where="the answer of the reader")
    if said.found is None:
        raise ComparisonError(said.problem)
    return said.found


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(MAX_ANSWER_BYTES)


def _last_line(errors: IO[bytes]) -> str:
    lines = _content(errors).decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else "it printed no reason"


def main() -> int:
    """Answer the request on standard input, within bounds of memory, by one line of JSON."""
    limit_reader(MAX_MEMORY_BYTES)
    asked = from_json(sys.stdin.buffer.read(), _Request, where="the request")
    print(msgspec.json.encode(_answer(asked)).decode())
    return 0


def _answer(asked: _Request) -> _Answer:
    try:
        from pilotext.comparison.compare import compare  # noqa: PLC0415  numpy and scipy, for the child alone
        from pilotext.comparison.contents import read_contents  # noqa: PLC0415

        old, new = (read_contents(map(Path, names)) for names in (asked.old, asked.new))
        return _Answer(compare(old, new, asked.tolerances))
    except ImportError as error:
        return _Answer(problem=f"a comparison needs {error.name}: install pilotext[compare].")
    except (OSError, PilotextError) as error:
        return _Answer(problem=str(error))


if __name__ == "__main__":
    sys.exit(main())
