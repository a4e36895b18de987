"""The parts of a whole production: servers, raw files on tape, the software area, the task file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fixtures import software_area
from fixtures.raw_names import raw_name
from fixtures.servers.ports import free_port
from fixtures.servers.postgres import PostgresServer, serving_postgres
from fixtures.servers.tape import TapeServer
from fixtures.servers.xrootd import XrdServer
from fixtures.software_area import cases, servers, write_catalogue
from pilotext.formats.date_raw_writer import make_raw
from tests.end_to_end.whole_production import RAW, TASK, Production, Scale
from tests.end_to_end.whole_production_faults import CORAL, HADD, PHAST, SETUP, events_of
from tests.server.conftest import use
from tests.support.pilot import installed_release
from tests.support.pilotext_server import ProductionServer, impatient_checkout, serving

from django.db import connection  # isort: skip  needs the boot of tests.server.conftest

TRANSFER_WAIT_S = 0.5
"""Before a transfer is tried again: an outage need not be long to outlast all the tries of an attempt."""


def prepare(production: Production) -> Path:
    """Raw files on tape, the software area; returns the task file."""
    production.marks.mkdir()
    for place in production.places:
        path = production.server.folder / "made.raw"
        cut = place in production.faults and production.faults[place].cut
        make_raw(path, run=place[0], events=events_of(place), truncate=cut)
        on_tape = production.raw_on_tape(place)
        on_tape.parent.mkdir(parents=True, exist_ok=True)
        path.replace(on_tape)
    production.tape.give_to_server()
    programs = {"coral.exe": CORAL, "coral/setup.sh": SETUP, "phast.exe": PHAST, "hadd": HADD}
    install_software(production, "soft", programs)
    return write_task(production, TASK, production.scale.runs, {"production": "dvcs", "soft": "soft"})


def install_software(production: Production, soft: str, texts: Mapping[str, str]) -> None:
    """An area below the home of all software, with these programs in it."""
    commands = cases({fault.place: fault.shell for fault in production.faults.values()})
    words = {"CASES": commands, "MARKS": production.marks}
    software_area.install_software(production.server.folder / "sw/gen" / soft, texts, words)


def write_task(
    production: Production,
    name: str,
    runs: Sequence[int],
    parameters: Mapping[str, str],
    merges: Sequence[str] | None = None,
) -> Path:
    """The file of a task of these runs, with these parameters beside those of the servers and folders."""
    folder = production.server.folder
    write_catalogue(folder, {f"{RAW}/{raw_name(*place)}": events_of(place) for place in production.places})
    given = {**servers(production.eos.url(), production.tape.url()), **parameters}
    more = {} if merges is None else {"merges": list(merges)}
    return software_area.write_task(folder, name, runs, given, **more)


@contextmanager
def producing(folder: Path, open_folder: Path, scale: Scale, agent_module: str = "pilotext") -> Iterator[Production]:
    """All parts but agents and pilots, running; with PostgreSQL, that too."""
    with ExitStack() as stack:
        postgres = None
        if scale.database == "postgresql":
            postgres = stack.enter_context(serving_postgres(options=["max_connections=200"]))
        tape, eos = stack.enter_context(_storing(open_folder))
        server = stack.enter_context(serving(_described(folder, postgres)))
        use(server.env["DATABASE_URL"])
        stack.callback(connection.close)
        production = Production(server, tape, eos, scale, agent_module, postgres)
        stack.callback(production.stop)
        yield production


@contextmanager
def _storing(folder: Path) -> Iterator[tuple[TapeServer, XrdServer]]:
    for name in ("tape", "eos"):
        (folder / name).mkdir()
    more = [("/castor/cern.ch/compass/gen", "r/w"), ("/castor/cern.ch/user", "r/w")]
    tape = TapeServer(folder / "tape", "/castor/cern.ch/compass/data", more=more)
    eos = XrdServer(folder / "eos", [("/eos/experiment/compass", "r/w")], name="eos")
    with tape, eos:
        yield tape, eos


def _described(folder: Path, postgres: PostgresServer | None) -> ProductionServer:
    port = free_port()
    given = {"PILOTEXT_TRF_URL": installed_release().transformation(f"http://127.0.0.1:{port}/trf")}
    database = {"DATABASE_URL": postgres.url()} if postgres else {}
    checkout = impatient_checkout(folder / "checkout", TRANSFER_WAIT_S)
    return ProductionServer(folder, port=port, environment=given | database, checkout=checkout)
