"""Prove that a ROOT file is whole: header, size, the records at its end, and, where uproot is installed, every basket.

A damaged file may do anything to its reader, so the worker lets a child process read it: `check_in_child` runs
`python -m pilotext.formats.rootfile FILE...`, which prints a line of JSON for each.
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from pilotext.formats.rootheader import header_fault
from pilotext.model import Record
from pilotext.model.verdict import signal_name
from pilotext.process_lifetime import tied
from pilotext.serialization.json import from_json

Method = Literal["every branch read", "header, size and trailer", "not checked"]

_DIRECTORIES = ("TDirectory", "TDirectoryFile")
_TREES = ("TTree", "TNtuple", "TNtupleD")
_NTUPLE = "ROOT::RNTuple"
_HISTOGRAMS = ("TH1", "TH2", "TH3", "TProfile")
_TICK_S = 0.2
_LARGEST_ANSWER = 1 << 20
_MEMORY = 2 << 30  # a size that damage has made huge is refused by the system, not granted


class RootSummary(Record, frozen=True):
    """What was found in a ROOT file: entries of each tree and histogram (newest cycle), objects read, and how.

    `partly` names objects of which only the frame was read, such as an RNTuple, whose pages are not looked at.
    `problem` is None for a whole file, else the sentence that says what is wrong, with the byte `offset` where one is
    known. Method `not checked` says that the check itself failed; `problem` then says why, and the file is not blamed.
    """

    size: int
    method: Method
    trees: dict[str, int] = {}
    objects: int = 0
    problem: str | None = None
    offset: int | None = None
    histograms: dict[str, float] = {}
    partly: tuple[str, ...] = ()


def check(path: Path) -> RootSummary:
    """Read a ROOT file through, in this process. Raises OSError when the file cannot be opened."""
    size = path.stat().st_size
    if fault := header_fault(path):
        return RootSummary(size, "header, size and trailer", problem=fault.text, offset=fault.offset)
    try:
        import uproot  # noqa: PLC0415  # takes half a second, and is an extra
    except ImportError:
        return RootSummary(size, "header, size and trailer")
    found = _Found()
    trees, read = found.trees, found.read
    try:
        # Reads by position: a mapped file that somebody shortens would end the check with SIGBUS.
        with uproot.open(path, handler=uproot.MultithreadedFileSource, num_workers=1) as file:
            for name, key in _keys(file):
                read.append(name)
                _read_object(key, name, found)
    except Exception as error:  # noqa: BLE001  # any error that damage can cause: see the reader's own, zlib, assertions
        reason = f"{type(error).__name__}: {_one_line(str(error))}"
        place = f"reading {read[-1]}" if read else "opening it"
        return RootSummary(size, "every branch read", trees, len(read), f"{place} failed: {reason}")
    partly = tuple(found.partly)
    return RootSummary(size, "every branch read", trees, len(read), histograms=found.histograms, partly=partly)


@dataclass
class _Found:
    """What was read so far: names of objects, and entries by name."""

    read: list[str] = field(default_factory=list)
    trees: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, float] = field(default_factory=dict)
    partly: list[str] = field(default_factory=list)


def check_in_child(path: Path, timeout_s: float, tick: Callable[[], None]) -> RootSummary:
    """Read a ROOT file through in a process of its own, which is killed after `timeout_s`.

    `tick` is called several times a second; when it raises, the child is killed and the exception goes on. A child that
    is killed or crashes gives a summary with method `not checked`. Raises OSError when the file is not there.
    """
    return check_all_in_child([path], timeout_s, tick)[0]


def check_all_in_child(paths: Sequence[Path], timeout_s: float, tick: Callable[[], None]) -> list[RootSummary]:
    """The same for several files, each of which may take `timeout_s`; one child reads all that does not kill it."""
    sizes = [path.stat().st_size for path in paths]
    found: list[RootSummary] = []
    while len(found) < len(paths):
        answers, problem = _ask_child(paths[len(found) :], timeout_s, tick)
        found += answers
        if problem and len(found) < len(paths):
            found.append(RootSummary(sizes[len(found)], "not checked", problem=problem))
    return found


def _ask_child(paths: Sequence[Path], timeout_s: float, tick: Callable[[], None]) -> tuple[list[RootSummary], str]:
    """What one child says of the first of these files, and why it says no more."""
    command = [sys.executable, "-P", "-m", "pilotext.formats.rootfile", *(str(path.resolve()) for path in paths)]
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=errors,
            env=_environment(),
            cwd="/",
            preexec_fn=tied(),  # noqa: PLW1509  the wrapper has one thread
        )
        try:
            status = _wait(child, answer, timeout_s, tick)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        *lines, _ = _content(answer, len(paths)).split(b"\n")  # what follows the last line was not finished
        found = [from_json(line, RootSummary, where=f"the check of {paths[0].name}") for line in lines[: len(paths)]]
        return found, "" if len(found) == len(paths) else _why_not(status, timeout_s, _content(errors))


def _wait(child: subprocess.Popen[bytes], answer: IO[bytes], timeout_s: float, tick: Callable[[], None]) -> int | None:
    """The child's return code, or None when it has answered nothing for this time."""
    said, end = 0, time.monotonic() + timeout_s
    while time.monotonic() < end:
        tick()
        try:
            return child.wait(timeout=min(_TICK_S, timeout_s))
        except subprocess.TimeoutExpired:
            if (size := os.fstat(answer.fileno()).st_size) > said:
                said, end = size, time.monotonic() + timeout_s
    return None


def _why_not(status: int | None, timeout_s: float, errors: bytes) -> str:
    if status is None:
        return f"the check was not finished after {timeout_s:g} s."
    how = f"exit status {status}" if status >= 0 else f"signal {signal_name(-status)}"
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return f"the check ended with {how}: {lines[-1][:300] if lines else 'it said nothing'}"


def _environment() -> dict[str, str]:
    """The child finds this package from anywhere, and numpy takes no memory for threads that it will not use."""
    here = str(Path(__file__).resolve().parents[2])
    ignored = ("PYTHONPATH", "PYTHONHOME") if sys.flags.ignore_environment else ()  # we run with -E: they are not ours
    ours = {name: value for name, value in os.environ.items() if name not in ignored}
    paths = [here, *filter(None, [ours.get("PYTHONPATH")])]
    return ours | {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}


def _content(file: IO[bytes], answers: int = 1) -> bytes:
    file.seek(0)
    return file.read(_LARGEST_ANSWER * answers)


def _keys(directory: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All keys of a directory and those inside it, named `path/name`, with `;cycle` where a newer cycle exists."""
    newest: dict[str, int] = {}
    keys = [directory.key(name) for name in directory.keys(recursive=False, cycle=True)]
    for key in keys:
        newest[key.fName] = max(newest.get(key.fName, 0), key.fCycle)
    for key in keys:
        name = path + key.fName
        if key.fClassName in _DIRECTORIES:
            yield from _keys(key.get(), f"{name}/")
        else:
            yield name if key.fCycle == newest[key.fName] else f"{name};{key.fCycle}", key


def _read_object(key: Any, name: str, found: _Found) -> None:
    """Read one object of the file, a tree basket by basket.

    Baskets are decompressed, which proves their bytes by the compressor's checksum, and not interpreted: PHAST's
    classes need not be known here. An older cycle is a backup that no program reads: its bytes have to be there.
    """
    newest = not name.endswith(f";{key.fCycle}")
    if newest and key.fClassName in _TREES:
        tree = key.get()
        for branch in tree.itervalues(recursive=True):
            _read_branch(branch)
        found.trees[name] = int(tree.num_entries)
    elif newest and key.fClassName.startswith(_HISTOGRAMS):
        found.histograms[name] = float(key.get().member("fEntries"))
    elif newest and key.fClassName == _NTUPLE:
        found.trees[name] = int(key.get().num_entries)
        found.partly.append(name)
    else:
        key.get_uncompressed_chunk_cursor()


def _read_branch(branch: Any) -> None:
    entries = sum(int(branch.basket(number).num_entries) for number in range(branch.num_baskets))
    if branch.num_baskets and entries != branch.num_entries:
        raise ValueError(f"branch {branch.name} has {branch.num_entries} entries, its baskets hold {entries}")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def main(arguments: list[str]) -> int:
    """Check the files named, within bounds of memory, and print the summary of each as a line of JSON."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    bound = _MEMORY if most == resource.RLIM_INFINITY else min(most, _MEMORY)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, most))
    for path in arguments:
        print(msgspec.json.encode(check(Path(path))).decode(), flush=True)
        gc.collect()  # what one file took of the memory, the next one has again
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
