"""What a payload cannot do to its wrapper, its agent, and other jobs, although it runs as their user."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hostile import SITE, WITHIN_S, hostile_server, page, submit, wait_until_finished
from tests.support.pilotext_server import ProductionServer, production_server

serving = production_server  # a whole server is started: not for the fast tests

FORGE = """
import json, os, signal, time
def parent(pid): return int([l for l in open(f"/proc/{pid}/status") if l.startswith("PPid")][0].split()[1])
pid, chain = os.getpid(), []
while pid > 1:
    chain.append((pid, open(f"/proc/{pid}/cmdline").read().replace(chr(0), " ")))
    pid = parent(pid)
wrapper = [pid for pid, words in chain if "pilotext run" in words][-1]
report = json.load(open("job.report.json"))
report.update(state="done", exit_status=0, phase="report", ended=time.time())
report["verdict"].update(verdict="success", code=None, number=0, cause=None, action=None, rule=None, title="", diag="")
output = {"name": "advout-1-1.txt", "url": "file:///nowhere", "size": 12345, "adler32": "00000001", "seconds": 0.1}
report["outputs"] = [output]
open("forged", "w").close()
json.dump(report, open("job.report.json", "w"))
os.kill(wrapper, signal.SIGKILL)
time.sleep(600)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProductionServer]:
    with hostile_server(tmp_path) as running:
        yield running


@pytest.mark.fault("payload", "report forged and wrapper killed")
def test_a_forged_report_and_a_killed_wrapper_are_a_failure(server: ProductionServer) -> None:
    program = server.folder / "forge.py"
    program.write_text(FORGE)
    submit(server, "forged", f"{sys.executable} {program}")
    agent = server.agent("--site", SITE, "--jobs", "1", "--keep")
    assert agent.wait(WITHIN_S) == 0
    assert list((server.folder / "agent").glob("attempt-*/forged")), "the payload has come so far"
    (attempt,) = page(server, "forged").attempts
    assert (attempt.state, attempt.verdict, attempt.code) == ("failed", "failure", "ADV-5001")
    assert page(server, "forged").job.state != "finished"


def test_nothing_of_the_agents_is_in_the_environment_of_setup_and_payload(server: ProductionServer) -> None:
    server.environment |= {
        "PANDA_AUTH_TOKEN": "t", "DJANGO_SECRET": "d", "PGPASSWORD": "p", "X509_USER_PROXY": "/x", "BEARER_TOKEN": "b",
        "SITE_SETTING": "kept",
    }  # fmt: skip
    seen = server.folder / "seen"
    submit(server, "env", f"env -0 > {seen}; echo x > advout-1-1.txt")
    assert server.agent("--site", SITE, "--jobs", "1").wait(WITHIN_S) == 0
    variables = dict(line.split("=", 1) for line in seen.read_text().split("\0") if line)
    assert variables["SITE_SETTING"] == "kept"
    assert "PILOTEXT_DEADLINE" in variables
    foreign = {"DATABASE_URL", "DJANGO_SECRET", "PANDA_AUTH_TOKEN", "PGPASSWORD", "X509_USER_PROXY", "BEARER_TOKEN"}
    assert foreign.isdisjoint(variables)
    assert {name for name in variables if name.startswith("PILOTEXT_")} == {"PILOTEXT_DEADLINE"}
    assert server.token("agent") not in seen.read_text()
    wait_until_finished(server, "env")


@pytest.mark.fault("payload", "a work directory that rmtree cannot remove")
def test_a_tree_without_end_takes_no_slot(server: ProductionServer) -> None:
    deep = "import os\nfor _ in range(1100): os.mkdir('d'); os.chdir('d')\n"
    (server.folder / "deep.py").write_text(deep)
    submit(server, "deep", f"echo x > advout-1-1.txt; {sys.executable} {server.folder}/deep.py; mkdir c; chmod 0 c")
    submit(server, "after", "echo x > advout-2-1.txt", chunk=2)
    assert server.agent("--site", SITE, "--jobs", "2").wait(WITHIN_S) == 0
    wait_until_finished(server, "after")
    assert not list((server.folder / "agent").glob("attempt-*"))


SUSPEND = """
import os, signal, time
def parent(pid): return int([l for l in open(f"/proc/{pid}/status") if l.startswith("PPid")][0].split()[1])
subreaper = os.getppid()
while "pilotext" not in open(f"/proc/{subreaper}/cmdline").read(): subreaper = parent(subreaper)
all_three = subreaper, parent(subreaper), parent(parent(subreaper))
open("advout-1-1.txt", "w").write("x")
end = time.time() + 3
while time.time() < end:
    for pid in all_three: os.kill(pid, signal.SIGSTOP)
"""


@pytest.mark.fault("payload", "it stops wrapper, watchdog and subreaper at once")
def test_a_payload_that_stops_all_who_watch_it_takes_no_slot(server: ProductionServer) -> None:
    program = server.folder / "suspend.py"
    program.write_text(SUSPEND)
    submit(server, "suspend", f"{sys.executable} {program}")
    assert server.agent("--site", SITE, "--jobs", "1").wait(WITHIN_S) == 0
    wait_until_finished(server, "suspend")
