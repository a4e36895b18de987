"""Records of kept outputs: of one agent at a time, and removed after the report is on disk."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pilotext.agent.kept_outputs import KeptJob, KeptJobs
from pilotext.agent.sealing import Seal
from pilotext.model.report import Report
from tests.agent.test_permission import AWAY, BEFORE_NAMES, GO_ON, Server, kept, published

__all__ = ["kept"]
pytestmark = pytest.mark.timeout(120)


class Spool:
    """Takes reports, and notes with each whether the kept outputs were still there."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.taken: list[tuple[str, bool]] = []

    def keep(self, _attempt: int, _token: str, report: Report) -> None:
        self.taken.append((report.verdict.verdict, self.folder.is_dir()))

    def deliver(self, _client: object) -> int:
        return 0


MakeAgent = Callable[[], KeptJobs]


@pytest.fixture
def spool(kept: KeptJob) -> Spool:
    return Spool(kept.kept.folder)


@pytest.fixture
def ending() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def agent(kept: KeptJob, spool: Spool, ending: threading.Event) -> MakeAgent:
    """Make one more agent in the same folder."""
    return lambda: KeptJobs(Path(kept.kept.folder).parent, Seal("token"), spool, ending)  # type: ignore[arg-type]


def records(kept: KeptJob) -> list[Path]:
    return list((Path(kept.kept.folder).parent / "jobs").iterdir())


def take(agent: KeptJobs, kept: KeptJob, server: Server) -> None:
    assert agent.take(kept.lease, kept.failure, lambda: server)  # type: ignore[arg-type,return-value]


@pytest.mark.fault("report", "agent killed between the publication of kept outputs and its report")
def test_kept_outputs_are_there_until_the_report_of_their_publication_is_on_disk(
    tmp_path: Path, kept: KeptJob, spool: Spool, agent: MakeAgent
) -> None:
    one = agent()
    take(one, kept, Server("outputs-kept", BEFORE_NAMES, GO_ON))
    one.join()
    assert published(tmp_path) == {"out.txt": "eight hours\n"}
    assert spool.taken == [("success", True)]
    assert not Path(kept.kept.folder).exists()
    assert records(kept) == []


@pytest.mark.fault("stage-out", "kept outputs removed, or published by somebody else")
def test_kept_outputs_that_are_gone_are_no_proof_of_a_failure(
    kept: KeptJob, spool: Spool, agent: MakeAgent, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(kept.kept.folder)
    one = agent()
    take(one, kept, Server("outputs-kept", BEFORE_NAMES, GO_ON))
    one.join()
    assert spool.taken == []
    assert records(kept) == []
    assert "nobody knows whether its outputs were published" in capfd.readouterr().err


@pytest.mark.fault("stage-out", "second agent started in the folder of another one")
def test_an_agent_leaves_alone_what_another_one_looks_after(
    kept: KeptJob, agent: MakeAgent, ending: threading.Event
) -> None:
    server = Server("outputs-kept", 1, AWAY)
    one, two = agent(), agent()
    take(one, kept, server)
    two.resume(lambda: server)  # type: ignore[arg-type,return-value]
    assert (one.busy, two.busy) == (True, False)
    ending.set()
    one.join()
    ending.clear()
    two.resume(lambda: server)  # type: ignore[arg-type,return-value]
    assert two.busy, "the other one has ended"
    ending.set()
    two.join()


def test_an_agent_publishes_what_one_with_another_token_of_its_site_has_kept(
    tmp_path: Path, kept: KeptJob, spool: Spool, ending: threading.Event
) -> None:
    """A token may be renewed while outputs wait for their storage: the key is the site's."""
    folder = Path(kept.kept.folder).parent
    first, renewed = Seal("token"), Seal("renewed token")
    for seal in (first, renewed):
        seal.prefer("key of the site")
    one = KeptJobs(folder, first, spool, ending)  # type: ignore[arg-type]
    take(one, kept, Server("outputs-kept", 1, AWAY))
    ending.set()
    one.join()
    ending.clear()
    other = KeptJobs(folder, renewed, spool, ending)  # type: ignore[arg-type]
    server = Server("outputs-kept", BEFORE_NAMES, GO_ON)
    other.resume(lambda: server)  # type: ignore[arg-type,return-value]
    other.join()
    assert published(tmp_path) == {"out.txt": "eight hours\n"}
    assert spool.taken == [("success", True)]


def test_an_agent_says_that_it_cannot_publish_what_one_of_another_site_has_kept(
    kept: KeptJob, spool: Spool, agent: MakeAgent, ending: threading.Event, capfd: pytest.CaptureFixture[str]
) -> None:
    server = Server("outputs-kept", 1, AWAY)
    one = agent()
    take(one, kept, server)
    ending.set()
    one.join()
    folder = Path(kept.kept.folder).parent
    other = KeptJobs(folder, Seal("of another site"), spool, ending)  # type: ignore[arg-type]
    other.resume(lambda: server)  # type: ignore[arg-type,return-value]
    assert not other.busy
    assert "1.json was not written by an agent of this site" in capfd.readouterr().err
    assert Path(kept.kept.folder).is_dir()


@pytest.mark.parametrize("what", ["folder", "link"])
def test_what_a_payload_has_put_in_the_place_of_a_lock_is_removed(
    kept: KeptJob, agent: MakeAgent, ending: threading.Event, what: str
) -> None:
    lock = Path(kept.kept.folder).parent / "jobs" / "1.lock"
    lock.parent.mkdir()
    if what == "folder":
        (lock / "x").mkdir(parents=True)
    else:
        lock.symlink_to(kept.kept.folder)
    one = agent()
    take(one, kept, Server("outputs-kept", 1, AWAY))
    assert lock.is_file()
    ending.set()
    one.join()
    assert {path.name for path in records(kept)} == {"1.json", "1.lock"}
