"""Core files of the payload: a stack trace in their place, and nothing left that a pilot would take notice of.

The pilot deletes whatever is named `core` or `core.*` in its work directory, and may blame the job for it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pilotext.directory_tree import is_regular
from pilotext.formats.core_file import is_core, program_of
from pilotext.model.verdict import Finding
from pilotext.process_lifetime import tied
from pilotext.worker.own_files import move_away

STACK_NAME = "payload_stack_trace.txt"
KEPT_PREFIX = "payload_"

_TRACE_WITHIN_S = 30.0
_LARGEST_TRACE = 1 << 20
_MAX_CORES = 5
_MAX_ENTRIES = 100_000
"""Entries of a work directory that are checked: to read more takes too long when the job is asked to stop."""

_TICK_S = 0.2
_GDB = ("gdb", "-nx", "-batch", "-ex", "set pagination off", "-ex", "thread apply all backtrace 60")


def find_cores(directory: Path) -> list[Path]:
    """Return the core dumps in a work directory, oldest first; files that are only named like one are left out."""
    return sorted(_cores(directory), key=lambda path: path.stat().st_mtime)


def take_cores(directory: Path, *, keep: bool, trace: bool, tick: Callable[[], None]) -> list[Finding]:
    """Take the core files away, or rename them to `payload_core...` to `keep` them; a finding for each.

    With `trace`, gdb, where there is one, writes their stacks to STACK_NAME. `tick` is called several times a second
    and may raise.
    """
    findings = []
    for number, core in enumerate(find_cores(directory)):
        program, size = program_of(core), core.stat().st_size
        traced = trace and number < _MAX_CORES and _append_trace(core, program, directory / STACK_NAME, tick)
        if keep:
            core.rename(core.with_name(KEPT_PREFIX + core.name))
        else:
            core.unlink()
        what = f"kept as {KEPT_PREFIX}{core.name}" if keep else "removed"
        where = f", its stack trace is in {STACK_NAME}" if traced else ""
        text = f"{core.name} of {program or 'an unknown program'}, {size} bytes: {what}{where}"
        findings.append(Finding(name="core-taken", text=text, phase="payload", fields={"file": core.name}))
    return findings


def discard_cores(directory: Path) -> None:
    """Remove what an earlier attempt has left: cores, and the stack traces of them."""
    for core in find_cores(directory):
        core.unlink()
    (directory / STACK_NAME).unlink(missing_ok=True)


def _cores(directory: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:  # an unreadable one must not fail the job
        for entry in itertools.islice(entries, _MAX_ENTRIES):
            if entry.name == "core" or entry.name.startswith("core."):
                path = directory / entry.name
                with contextlib.suppress(OSError):  # what cannot be read stays where it is
                    if is_regular(path) and is_core(path):
                        yield path


def _append_trace(core: Path, program: Path | None, target: Path, tick: Callable[[], None]) -> bool:
    """Let gdb write the stacks of all threads; whether there are any."""
    if shutil.which(_GDB[0]) is None:
        return False
    if not is_regular(target):  # of the payload: never written through
        move_away(target)
    before = target.stat().st_size if target.exists() else 0
    with target.open("ab") as out:
        out.write(f"== {core.name} of {program or 'an unknown program'}\n".encode(errors="replace"))
        out.flush()
        command = [*_GDB, f"--core={core}", *([str(program)] if program and program.is_file() else [])]
        ended = _run(command, out.fileno(), tick)
    if not ended:
        os.truncate(target, before)
        return False
    os.truncate(target, min(target.stat().st_size, before + _LARGEST_TRACE))
    return True


def _run(command: list[str], out: int, tick: Callable[[], None]) -> bool:
    """Whether it ended with 0 in time. No debug server is asked: a node may not reach one."""
    environment = {**os.environ, "DEBUGINFOD_URLS": ""}
    end = time.monotonic() + _TRACE_WITHIN_S
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT,
        env=environment,
        preexec_fn=tied(),  # noqa: PLW1509  the wrapper has one thread
    )
    try:
        while time.monotonic() < end:
            tick()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(_TICK_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return False
