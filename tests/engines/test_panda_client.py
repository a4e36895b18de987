"""The real panda-client of the extra `panda`, against a stand-in for the server."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from fixtures.servers.panda import PandaStandIn
from pilotext.engines import base, panda_client
from pilotext.engines.base import BatchCommand, CommandOutput
from pilotext.engines.panda_client import JobInPanda, PandaClient
from pilotext.errors import BatchError

PARAMETERS = {
    "taskName": "t1",
    "pfnList": ["http://127.0.0.1:9/a?ticket=x&y"],
    "nFiles": 1,
    "jobParameters": [{"type": "constant", "value": "--job-url ${IN/L}"}],
}


@pytest.fixture
def panda(monkeypatch: pytest.MonkeyPatch) -> Iterator[PandaStandIn]:
    with PandaStandIn() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def test_a_task_is_submitted_followed_and_its_job_killed(panda: PandaStandIn) -> None:
    client = PandaClient()
    task = client.submit(PARAMETERS)
    assert panda.tasks[task].parameters == PARAMETERS
    assert (client.task_status(task), client.task_jobs(task)) == ("registered", [])
    (job,) = panda.generate()
    panda.end(job, "failed", pilotErrorCode=1305, exeErrorCode=581241, exeErrorDiag="COMPASS-1241 cannot-allocate: no")
    (found,) = client.task_jobs(task)
    assert found == JobInPanda(
        job,
        "failed",
        "--job-url http://127.0.0.1:9/a?ticket=x&y",
        pilot_code=1305,
        pilot_diag="NULL",
        payload_status="NULL",
        error_code=581241,
        error_diag="COMPASS-1241 cannot-allocate: no",
    )
    client.kill_jobs([job])
    client.kill_task(task)
    assert panda.killed == [job, task]


def test_what_panda_refuses_is_an_error_with_its_words(panda: PandaStandIn) -> None:
    client = PandaClient()
    panda.refuses = "no production/pilot role"
    with pytest.raises(BatchError, match="submit: the JEDI task was refused with code 4: no production/pilot role"):
        client.submit(PARAMETERS)
    with pytest.raises(BatchError, match="JEDI task 7 is not killed: task not found"):
        client.kill_task(7)
    with pytest.raises(BatchError, match="task_status: PanDA did not answer, or refused the request"):
        client.task_status(7)


def test_a_server_that_is_away_is_an_error(panda: PandaStandIn) -> None:
    panda.stop()
    with pytest.raises(BatchError, match="submit: PanDA did not answer"):
        PandaClient().submit(PARAMETERS)


def test_without_the_package_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = (
        "import sys; sys.modules['pandaclient'] = None; from pilotext.engines.panda_call import main; sys.exit(main())"
    )

    def run(command: BatchCommand, env: dict[str, str]) -> CommandOutput:
        return original(BatchCommand((sys.executable, "-P", "-c", hidden), command.stdin), env=env)

    original = base.run
    monkeypatch.setattr(panda_client, "run", run)
    with pytest.raises(BatchError, match="install the extra `panda`"):
        PandaClient().task_status(7)
