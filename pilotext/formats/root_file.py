"""Proof that a ROOT file is whole: header, size, the records at its end, and, where uproot is installed, every basket.

A damaged file may do anything to its reader, so the worker lets a child process read it: `check_in_child` runs
`python -m pilotext.formats.root_file FILE...`, which prints a line of JSON for each.

The header has big-endian numbers; files written by version 1000000 and above (files that passed 2 GB) have 64-bit
positions. Layout: ROOT's class TFile, and TDirectoryFile for the record of the top directory.
"""

from __future__ import annotations

import gc
import importlib
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import IO, Any, BinaryIO, Literal

import msgspec

from pilotext.model import Record
from pilotext.model.verdict import signal_name
from pilotext.process_lifetime import tied
from pilotext.serialization.json import from_json

Method = Literal["every branch read", "header, size and trailer", "not checked"]

_DIRECTORIES = ("TDirectory", "TDirectoryFile")
TREES = ("TTree", "TNtuple", "TNtupleD")
NTUPLE = "ROOT::RNTuple"
HISTOGRAMS = ("TH1", "TH2", "TH3")
PROFILES = ("TProfile",)
"""Beginnings of the names of the classes."""
_TICK_S = 0.2
_MAX_ANSWER_BYTES = 1 << 20
_MAX_MEMORY_BYTES = 2 << 30  # a size that damage has made huge is refused by the system, not granted


class RootSummary(Record, frozen=True):
    """Contents of a ROOT file: entries of each tree and histogram (newest cycle), objects read, and the way of reading.

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
        importlib.import_module("uproot")
    except ImportError:
        return RootSummary(size, "header, size and trailer")
    found = _Found()
    trees, read = found.trees, found.read
    try:
        with open_root(path) as file:
            for name, key in keys_of(file):
                read.append(name)
                _read_object(key, name, found)
    except Exception as error:  # noqa: BLE001  # any error that damage can cause: see the reader's own, zlib, assertions
        reason = f"{type(error).__name__}: {_one_line(str(error))}"
        place = f"reading {read[-1]}" if read else "opening it"
        return RootSummary(size, "every branch read", trees, len(read), f"{place} failed: {reason}")
    partly = tuple(found.partly)
    return RootSummary(size, "every branch read", trees, len(read), histograms=found.histograms, partly=partly)


def open_root(path: Path) -> Any:
    """Open a ROOT file with uproot, as a context. Raises ImportError where the extra `uproot` is not installed."""
    import uproot  # noqa: PLC0415  # takes half a second, and is an extra

    # Reads by position: a mapped file that somebody shortens would end the reader with SIGBUS.
    return uproot.open(path, handler=uproot.MultithreadedFileSource, num_workers=1)


@dataclass
class _Found:
    """Objects read so far: names, and entries by name."""

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
    """Answer of one child on the first of these files, and the reason why it ended."""
    command = [sys.executable, "-P", "-m", "pilotext.formats.root_file", *(str(path.resolve()) for path in paths)]
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=errors,
            env=reader_environment(),
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


def limit_reader(max_bytes: int) -> None:
    """Bound the memory of this process, which reads files that may be damaged, and let it dump no core."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    bound = max_bytes if most == resource.RLIM_INFINITY else min(most, max_bytes)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, most))


def reader_environment() -> dict[str, str]:
    """Return the environment of a process that reads files.

    It finds this package from anywhere, and numpy takes no memory for threads that it will not use.
    """
    here = str(Path(__file__).resolve().parents[2])
    ignored = ("PYTHONPATH", "PYTHONHOME") if sys.flags.ignore_environment else ()  # we run with -E: they are not ours
    ours = {name: value for name, value in os.environ.items() if name not in ignored}
    paths = [here, *filter(None, [ours.get("PYTHONPATH")])]
    return ours | {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}


def _content(file: IO[bytes], answers: int = 1) -> bytes:
    file.seek(0)
    return file.read(_MAX_ANSWER_BYTES * answers)


def keys_of(directory: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All keys of a directory and those inside it, named `path/name`, with `;cycle` where a newer cycle exists."""
    newest: dict[str, int] = {}
    keys = [directory.key(name) for name in directory.keys(recursive=False, cycle=True)]
    for key in keys:
        newest[key.fName] = max(newest.get(key.fName, 0), key.fCycle)
    for key in keys:
        name = path + key.fName
        if key.fClassName in _DIRECTORIES:
            yield from keys_of(key.get(), f"{name}/")
        else:
            yield name if key.fCycle == newest[key.fName] else f"{name};{key.fCycle}", key


def is_newest(name: str, key: Any) -> bool:
    """Whether a key with its name from `keys_of` is the newest cycle of its object."""
    return not name.endswith(f";{key.fCycle}")


def _read_object(key: Any, name: str, found: _Found) -> None:
    """Read one object of the file, a tree basket by basket.

    Baskets are decompressed, which proves their bytes by the compressor's checksum, and not interpreted: classes
    of programs need not be known here. An older cycle is a backup that no program reads: its bytes have to be there.
    """
    newest = is_newest(name, key)
    if newest and key.fClassName in TREES:
        tree = key.get()
        for branch in tree.itervalues(recursive=True):
            _read_branch(branch)
        found.trees[name] = int(tree.num_entries)
    elif newest and key.fClassName.startswith(HISTOGRAMS + PROFILES):
        found.histograms[name] = float(key.get().member("fEntries"))
    elif newest and key.fClassName == NTUPLE:
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


class _DeferredModule(ModuleType):
    """Stand-in for a module until something of it is asked for: then it is imported."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def _defer_awkward() -> None:
    """Let uproot be imported without awkward, which takes nearly half of the time.

    uproot needs it to make arrays of what it has read; the baskets of a tree are counted without.
    """
    sys.modules.setdefault("awkward", _DeferredModule("awkward"))


def main(arguments: list[str]) -> int:
    """Check the files named, within bounds of memory, and print the summary of each as a line of JSON."""
    _defer_awkward()
    limit_reader(_MAX_MEMORY_BYTES)
    for path in arguments:
        print(msgspec.json.encode(check(Path(path))).decode(), flush=True)
        gc.collect()  # what one file took of the memory, the next one has again
    return 0


_START = struct.Struct(">4sii")
_SMALL = struct.Struct(">iiiiibiii")
_LARGE = struct.Struct(">qqiiibiqi")
_LARGE_FILE = 1_000_000
# The top directory's record: version, two dates, bytes of its keys, bytes of its name; then three positions.
_DIRECTORY = struct.Struct(">hIIii")
_LARGE_DIRECTORY = 1000
_KEY_SIZE = struct.Struct(">i")


class Fault(Record, frozen=True):
    """Damage of a ROOT file in a sentence, and the byte where it shows (None if no single byte does)."""

    text: str
    offset: int | None = None


class _Header(Record, frozen=True):
    """The numbers of a file's first record, with ROOT's names for them."""

    begin: int
    end: int
    seek_free: int
    bytes_free: int
    bytes_name: int
    seek_info: int
    bytes_info: int


def header_fault(path: Path) -> Fault | None:
    """Return the damage of header, size and trailing records of a ROOT file; None when all agree.

    Raises OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(_START.size + _LARGE.size)
        if fault := _start_fault(start, size):
            return fault
        header = _decode(start)
        return _size_fault(header, size) or _records_fault(file, header)


def _start_fault(start: bytes, size: int) -> Fault | None:
    if not start:
        return Fault("the file is empty.", 0)
    if start[:4] != b"root":
        return Fault(f"this is not a ROOT file: it begins with {start[:4]!r}.", 0)
    if len(start) < _START.size + _LARGE.size:
        return Fault(f"the file ends inside its header, after {size} bytes.", size)
    return None


def _decode(start: bytes) -> _Header:
    _, version, begin = _START.unpack_from(start)
    layout = _LARGE if version >= _LARGE_FILE else _SMALL
    end, seek_free, bytes_free, _, bytes_name, _, _, seek_info, bytes_info = layout.unpack_from(start, _START.size)
    return _Header(begin, end, seek_free, bytes_free, bytes_name, seek_info, bytes_info)


def _size_fault(header: _Header, size: int) -> Fault | None:
    if not _START.size + _SMALL.size <= header.begin < size:
        return Fault(f"the header says that the first record is at byte {header.begin}, of {size}.", 8)
    if header.end > size:
        return Fault(f"the file is truncated at {size} bytes: should be {header.end}.", size)
    if header.end < size:
        text = f"the header says that the file has {header.end} bytes, it has {size}: it was not closed."
        return Fault(text, _START.size)
    return None


def _records_fault(file: BinaryIO, header: _Header) -> Fault | None:
    """Check that the records which are written last, when a file is closed, are there."""
    directory = header.begin + header.bytes_name
    found = _key_list(file, directory) if header.bytes_name > 0 and directory + 42 <= header.end else None
    if found is None:
        return Fault(f"the header says that the name of the file has {header.bytes_name} bytes.", _START.size)
    records = {"list of keys": found, "list of free segments": (header.seek_free, header.bytes_free)}
    if header.seek_info:  # a file without objects has no classes to describe
        records["description of classes"] = (header.seek_info, header.bytes_info)
    for name, (position, length) in records.items():
        if fault := _record_fault(file, header, name, position, length):
            return fault
    return None


def _key_list(file: BinaryIO, directory: int) -> tuple[int, int]:
    """Return position and length of the list of keys of the top directory."""
    file.seek(directory)
    record = file.read(_DIRECTORY.size + 24)
    version, _, _, bytes_keys, _ = _DIRECTORY.unpack_from(record)
    positions = struct.Struct(">3q" if version > _LARGE_DIRECTORY else ">3i")
    return positions.unpack_from(record, _DIRECTORY.size)[2], bytes_keys


def _record_fault(file: BinaryIO, header: _Header, name: str, position: int, length: int) -> Fault | None:
    if position == 0:
        return Fault(f"the {name} was never written: the file was not closed.")
    if position < header.begin or length < _KEY_SIZE.size or position + length > header.end:
        return Fault(f"the {name} should be at byte {position}, {length} bytes long: that is outside the file.")
    file.seek(position)
    (written,) = _KEY_SIZE.unpack(file.read(_KEY_SIZE.size))
    if not 0 < written <= length:  # less where ROOT has written a shorter one into the old place
        return Fault(f"the {name} should have {length} bytes, its record says {written}.", position)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
