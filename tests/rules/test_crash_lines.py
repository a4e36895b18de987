"""A crash after a good end is a crash: no end marker forgives a signal, or a shell's or launcher's line about one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from pilotext.classify import classify_files
from pilotext.model.verdict import ExitStatus
from pilotext.rules.loader import load_rules
from tests.classify.inline import WELL, logs

CASES = Path(__file__).resolve().parents[2] / "fixtures" / "logs"
GOOD = {"DDD filtering": ("decoding", "good-filter-decoding"), "coral": ("reconstruction", "good-coral-low-verbosity")}

CRASHES = """\
bash: line 1: 24833 Segmentation fault      (core dumped) ./ddd --filter-CAL run.raw
Segmentation fault
./job.sh: line 3: 12 Aborted                 (core dumped) ./ddd
Aborted
bash: line 1: 12 Floating point exception(core dumped) ./ddd
Illegal instruction
Bus error
bash: line 1: 12 Killed                  ./ddd
Terminated
Bad system call
rc=139
exit code: 134
exited with code 139
ddd exited with status 139
ended with status 136
Return code: -11
exit code -6
Command terminated by signal 11
Command '['ddd']' died with <Signals.SIGSEGV: 11>.
srun: error: node17: task 0: Segmentation fault (core dumped)
make: *** [Makefile:3: run] Segmentation fault (core dumped)
zsh: segmentation fault (core dumped)  ./ddd
job.sh: line 7: 4711 Segmentation fault: 11  ./ddd run.raw
[1]    4711 segmentation fault (core dumped)  ./ddd
[1]  + 4711 abort (core dumped)  ./ddd
timeout: the monitored command dumped core
killed by signal 11
Child process exited on signal 11
fish: Job 1, './ddd' terminated by signal SIGSEGV (Address boundary error)
 *** Break *** segmentation violation
""".splitlines()

rules_of = cache(load_rules)

DOUBTS = """\
cat: /eos/x/a.raw: Input/output error
ls: cannot access '/cvmfs/x': Transport endpoint is not connected
cat: /afs/x: Stale file handle
OSError: [Errno 116] Stale file handle
flock: 9: No locks available
virtual memory exhausted: Cannot allocate memory
""".splitlines()


def judge(folder: Path, job_type: str, line: str, exit: ExitStatus = WELL, *, verified: bool = False) -> str:
    kind, case = GOOD[job_type]
    stdout, stderr = ((CASES / case / name).read_text() for name in ("stdout", "stderr"))
    streams = logs(folder, stdout=stdout, stderr=f"{stderr}{line}\n")
    found = classify_files(
        rules_of("COMPASS"), kind=kind, job_type=job_type, streams=streams, exit=exit, verified=verified
    )
    return found.verdict


@pytest.mark.parametrize("job_type", GOOD)
def test_the_logs_are_good_ones(tmp_path: Path, job_type: str) -> None:
    assert judge(tmp_path, job_type, "") == "success"


@pytest.mark.parametrize("job_type", GOOD)
@pytest.mark.parametrize("line", CRASHES)
def test_a_crash_after_a_good_end_is_a_failure_whatever_was_checked(tmp_path: Path, job_type: str, line: str) -> None:
    assert judge(tmp_path, job_type, line, verified=True) == "failure"


@pytest.mark.parametrize("status", [ExitStatus(code=139), ExitStatus(code=134), ExitStatus(signal="SIGSEGV")])
def test_a_status_is_never_forgiven(tmp_path: Path, status: ExitStatus) -> None:
    assert judge(tmp_path, "coral", "", status, verified=True) == "failure"


@pytest.mark.parametrize("line", DOUBTS)
def test_an_error_of_storage_or_memory_is_no_silent_success_of_a_log_alone(tmp_path: Path, line: str) -> None:
    assert judge(tmp_path, "coral", line) in ("unknown", "failure")
    assert judge(tmp_path, "coral", line, verified=True) == "success"
