"""A production of three runs on real parts, in which a dozen things go wrong, each once unless said otherwise."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from fixtures.servers.tape import TapeServer
from fixtures.servers.xrootd import XrdServer
from pilotext.formats.rawmake import make_raw, raw_name
from tests.support.jobs import PAYLOADS
from tests.support.pilotext_server import ProductionServer

RAW = "/castor/cern.ch/compass/data/2016/raw/W14"
RUNS = (275772, 275773, 275774)
CHUNKS = tuple(range(11, 19))
TRUNCATED = (RUNS[2], 11)
"""A raw file that ends too early on tape, for good: its run is held for somebody's decision."""

MODES = {
    (RUNS[0], 11): "tlattice",
    (RUNS[0], 12): "exception",
    (RUNS[0], 13): "segv",
    (RUNS[0], 14): "killed",
    (RUNS[0], 15): "no-end-of-job",
    (RUNS[1], 11): "truncated-mdst",
    (RUNS[1], 12): "abnormal",
    (RUNS[1], 13): "abort",
    (RUNS[1], 14): "fatal-geometry",
}
"""How the first attempt of a chunk goes wrong; what the other failures are stands in the programs below."""

NO_SETUP, NO_HISTOGRAMS, KILLED_AGENT = (RUNS[0], 16), (RUNS[1], 15), (RUNS[1], 16)
BAD_MERGE = RUNS[1]

CAUSES = {
    (RUNS[0], 11): "memory",
    (RUNS[0], 12): "conditions-db",
    (RUNS[0], 13): "crash",
    (RUNS[0], 14): "killed",
    (RUNS[0], 15): "incomplete",
    NO_SETUP: "software-setup",
    (RUNS[1], 11): "output-invalid",
    (RUNS[1], 12): "unhandled-exception",
    (RUNS[1], 13): "crash",
    (RUNS[1], 14): "software-setup",
    NO_HISTOGRAMS: "output-invalid",
    TRUNCATED: "input-corrupt",
}
"""The cause of the first verdict on each of these chunks; that of the killed agent has none."""

CORAL = """#!/bin/bash
once() {{ mkdir "{marks}/$1" 2>/dev/null; }}
case $TMPRAWFILE in
{modes}
{histograms}) once no-hist && {{ "{payloads}/coral.exe" "$@"; rm -f "$TMPHISTFILE"; exit 0; }} ;;
{agent}) once agent && {{ echo $$ > "{marks}/pid.new"; mv "{marks}/pid.new" "{marks}/pid"; sleep 600; }} ;;
esac
exec "{payloads}/coral.exe" "$@"
"""
SETUP = """echo "setup of the production"
if [ "$TMPRAWFILE" = {file} ] && mkdir "{marks}/setup" 2>/dev/null; then return 3; fi
export COMPASS_FILES={payloads} PATH="{bin}:$PATH"
"""
PHAST = """#!/bin/bash
if [ "$MERGEDMDSTFILE" = mDST-{run}-0-7.root ] && mkdir "{marks}/merge" 2>/dev/null; then
    echo "Error in <TFile::ReadBuffer>: error reading all requested bytes from file mDST-{run}-12.root" >&2
    exit 0
fi
exec "{payloads}/phast.exe" "$@"
"""
HADD = """#!/bin/bash
[ "$1" = -f ] || exit 1
echo "hadd Target file: $2"
exec "{payloads}/phast.exe" -m -o "${{@:2}}" > /dev/null
"""


def events_of(chunk: int) -> int:
    return 20 + chunk


@dataclass
class Production:
    """The parts, and what has become of them so far."""

    server: ProductionServer
    tape: TapeServer
    eos: XrdServer
    agents: dict[str, psutil.Process] = field(default_factory=dict)

    @property
    def marks(self) -> Path:
        return self.server.folder / "marks"

    def prepare(self) -> Path:
        """Raw files on tape, the software area; returns the task file."""
        self.marks.mkdir()
        for run in RUNS:
            for chunk in CHUNKS:
                path = self.server.folder / "made.raw"
                make_raw(path, run=run, events=events_of(chunk), truncate=(run, chunk) == TRUNCATED)
                place = self.tape.tape / RAW.lstrip("/") / raw_name(run, chunk)
                place.parent.mkdir(parents=True, exist_ok=True)
                path.replace(place)
        self.tape.give_to_server()
        self._install_software()
        return self._write_task()

    def _install_software(self) -> None:
        area = self.server.folder / "sw/gen/soft"
        (area / "coral").mkdir(parents=True)
        (area / "template.opt").symlink_to(PAYLOADS / "template.opt")
        names = {"marks": self.marks, "payloads": PAYLOADS, "bin": area}
        modes = "\n".join(
            f"{_raw(place)}) once {place[0]}-{place[1]} && export PILOTEXT_STANDIN={mode} ;;"
            for place, mode in MODES.items()
        )
        coral = CORAL.format(**names, modes=modes, histograms=_raw(NO_HISTOGRAMS), agent=_raw(KILLED_AGENT))
        setup = SETUP.format(**names, file=_raw(NO_SETUP))
        for name, text in (
            ("coral.exe", coral),
            ("coral/setup.sh", setup),
            ("phast.exe", PHAST.format(**names, run=BAD_MERGE)),
            ("hadd", HADD.format(**names)),
        ):
            (area / name).write_text(text)
            (area / name).chmod(0o755)

    def _write_task(self) -> Path:
        files = [(run, chunk) for run in RUNS for chunk in CHUNKS]
        catalogue = [f"{RAW}/{raw_name(*place)},{events_of(place[1])}" for place in files]
        (self.server.folder / "catalogue.csv").write_text("\n".join(["file,events", *catalogue, ""]))
        task = {
            "experiment": "COMPASS",
            "name": "dvcs2016P09t1",
            "type": "mass production",
            "files": {"runs": list(RUNS)},
            "catalogue": "catalogue.csv",
            "parameters": {
                "production": "dvcs",
                "home": f"{self.server.folder}/sw/",
                "path": "gen/",
                "soft": "soft",
                "year": 2016,
                "eos_server": self.eos.url().rstrip("/") + "/",
                "tape_server": self.tape.url().rstrip("/") + "/",
            },
        }
        path = self.server.folder / "task.yaml"
        path.write_text(yaml.safe_dump(task))
        return path

    def start_agent(self, name: str, site: str) -> None:
        process = self.server.agent("--site", site, "--slots", "1", name=name, host=name)
        self.agents[name] = psutil.Process(process.pid)

    def kill_the_agent_that_waits_for_it(self) -> str | None:
        """SIGKILL for the agent whose job says that it waits for this; its name, or None as long as none does."""
        mark = self.marks / "pid"
        if not mark.exists():
            return None
        parents = {each.pid for each in psutil.Process(int(mark.read_text())).parents()}
        name = next(name for name, process in self.agents.items() if process.pid in parents)
        self.agents.pop(name).kill()
        return name

    def hurry(self) -> None:
        """Nobody waits minutes for another attempt here: what is due later is due now."""
        with sqlite3.connect(self.server.folder / "server.sqlite3", timeout=30) as database:
            database.execute("UPDATE production_job SET not_before = 0 WHERE not_before > 0 AND state = 'ready'")


def _raw(place: tuple[int, int]) -> str:
    return raw_name(*place)


def host_names() -> tuple[str, ...]:
    return tuple(f"wn{number}.{os.getpid()}" for number in (1, 2, 3))
