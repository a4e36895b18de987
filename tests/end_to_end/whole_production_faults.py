"""What goes wrong in the whole production, and what the server is to make of each: the test's data."""

from __future__ import annotations

from dataclasses import dataclass

from fixtures import software_area
from fixtures.software_area import ONCE, fail_once, hadd

Place = tuple[int, int]
"""Run and chunk."""

RUNS = (275772, 275773, 275774)
CHUNKS = tuple(range(11, 19))


@dataclass(frozen=True)
class Fault:
    """The first attempt of a chunk fails with this verdict, upon which the policy decides `then`.

    How: the stand-in CORAL goes wrong in this `mode`, or `shell` says what happens instead of it. What happens
    elsewhere than in the program has neither.
    """

    place: Place
    code: str
    cause: str
    action: str
    then: str
    mode: str = ""
    instead: str = ""
    cut: bool = False
    """The raw file ends too early on tape, for good."""

    @property
    def shell(self) -> str:
        """The line of the program for this chunk."""
        if self.mode:
            return fail_once(self.place, self.mode)
        name = f"{self.place[0]}-{self.place[1]}"
        return f"once {name} && {{ {self.instead} }}" if self.instead else ""


FIRST, SECOND, HELD = RUNS
KILLED_AGENT = (FIRST, 13)
TRUNCATED, ASKED_ABOUT = (HELD, 11), (HELD, 12)
"""Both wait for somebody: one is hopeless, the other one is sent again."""

_NO_CALIBRATION = 'echo "MySQLDB::read: can\'t open calibration file /cvmfs/calib/EC01P1__~~start-2016" >&2; exit 1;'
_NO_WRITEBACK = "echo '`Cannot open WriteBack stream \"testevtdump.raw\"' >&2; exit 1;"
_IO_ERROR = 'echo "cat: $TMPRAWFILE: Input/output error" >&2; exit 1;'
_NO_HISTOGRAMS = '"@PAYLOADS@/coral.exe" "$@"; rm -f "$TMPHISTFILE"; exit 0;'
_KILLED_AGENT = 'echo $$ > "@MARKS@/pid.new"; mv "@MARKS@/pid.new" "@MARKS@/pid"; exec sleep 600;'

FAULTS = (
    Fault((FIRST, 12), "COMPASS-1241", "memory", "retry-more-memory", "ready", mode="tlattice"),
    Fault(KILLED_AGENT, "", "", "", "ready", instead=_KILLED_AGENT),
    Fault((FIRST, 14), "COMPASS-2020", "crash", "retry", "ready", mode="segv"),
    Fault((FIRST, 15), "COMPASS-1240", "incomplete", "retry", "ready", mode="no-end-of-job"),
    Fault((FIRST, 16), "COMPASS-5033", "software-setup", "retry-elsewhere", "ready"),
    Fault((FIRST, 17), "COMPASS-1246", "killed", "retry", "ready", mode="killed"),
    Fault((SECOND, 11), "COMPASS-4004", "output-invalid", "retry", "ready", mode="truncated-mdst"),
    Fault((SECOND, 12), "COMPASS-1238", "unhandled-exception", "retry", "ready", mode="abnormal"),
    Fault((SECOND, 13), "COMPASS-1244", "conditions-db", "retry", "ready", mode="exception"),
    Fault((SECOND, 14), "COMPASS-1267", "calibration", "retry-elsewhere", "ready", instead=_NO_CALIBRATION),
    Fault((SECOND, 15), "COMPASS-1250", "input-missing", "retry", "ready", instead='rm "$TMPRAWFILE";'),
    Fault((SECOND, 16), "COMPASS-1269", "output-write", "retry-elsewhere", "ready", instead=_NO_WRITEBACK),
    Fault((SECOND, 17), "COMPASS-2045", "storage", "retry-elsewhere", "ready", instead=_IO_ERROR),
    Fault((SECOND, 18), "COMPASS-4001", "output-invalid", "retry", "ready", instead=_NO_HISTOGRAMS),
    Fault(TRUNCATED, "COMPASS-4007", "input-corrupt", "restage", "defined", cut=True),
    Fault(ASKED_ABOUT, "COMPASS-1235", "fatal-error", "manual-check", "manual", mode="fatal"),
    Fault((HELD, 13), "COMPASS-1260", "software-setup", "retry-elsewhere", "ready", mode="fatal-geometry"),
)

BAD_MERGE = FIRST
"""The merge of this run's mDSTs cannot read one of them, once: COMPASS-2105, root-io."""

# Whoever has the lock runs this job; a second one at the same time tells so in `twice`.
_ALONE = f"""#!/bin/bash
{ONCE}
alone() {{ exec 9>"@MARKS@/running-$1"; flock -n 9 || echo "$1 $$" >> "@MARKS@/twice"; }}
"""
CORAL = f"""{_ALONE}
alone "$TMPRAWFILE"
{software_area.CORAL}"""
SETUP = f"""echo "setup of the production"
if [ "$TMPRAWFILE" = cdr16-{FIRST}.raw ] && mkdir "@MARKS@/setup" 2>/dev/null; then return 3; fi
{software_area.SETUP}"""
PHAST = f"""{_ALONE}
alone "$MERGEDMDSTFILE"
if [ "$MERGEDMDSTFILE" = mDST-{BAD_MERGE}-0-7.root ] && once merge; then
    echo "Error in <TFile::ReadBuffer>: error reading all requested bytes from file mDST-{BAD_MERGE}-12.root" >&2
    exit 0
fi
exec "@PAYLOADS@/phast.exe" "$@"
"""
HADD = hadd(f"{_ALONE}\n", then='alone "$2"\n')


def events_of(place: Place) -> int:
    """How many physics events a raw file was written with, as the catalogue says."""
    return 20 + place[1]
