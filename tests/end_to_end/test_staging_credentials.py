"""Servers that ask who comes: a job with the right key or proxy works, any other fails at once and says why."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.servers.security import GridProxy, Security, SharedKey
from tests.support.copy_job import SMALL, CopyJob, aim, faults, outcome, put, transfers
from tests.support.xrootd_server import XrdServer, serving_known

PHASES = ("stage-in", "stage-out")
REFUSED = {
    "stage-in": (65, "COMPASS-3105", "credentials", "manual-check"),
    "stage-out": (68, "COMPASS-3205", "credentials", "manual-check"),
}
DENIED = {
    "stage-in": (65, "COMPASS-3104", "storage", "manual-check"),
    "stage-out": (68, "COMPASS-3204", "storage", "manual-check"),
}
BAD = {
    "sss": {"wrong": "another key", "none": "no key", "open": "key that everybody may read"},
    "gsi": {"expired": "expired proxy", "none": "no proxy", "foreign": "proxy of an unknown authority"},
}

Known = tuple[XrdServer, Security]


@pytest.fixture(scope="module")
def sss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    with serving_known(SharedKey, tmp_path_factory.mktemp("sss")) as known:
        yield known


@pytest.fixture(scope="module")
def gsi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    with serving_known(GridProxy, tmp_path_factory.mktemp("gsi")) as known:
        yield known


@pytest.fixture(params=BAD)
def known(request: pytest.FixtureRequest) -> Known:
    server, security = request.getfixturevalue(request.param)
    for folder in ("/eos/compass", "/eos/private"):
        put(server, SMALL, folder)
        (server.store / folder[1:] / "out.bin").unlink(missing_ok=True)  # of the test before
    return server, security


@pytest.fixture
def job(open_folder: Path) -> CopyJob:
    return CopyJob(open_folder, SMALL)


def aim_known(job: CopyJob, known: Known, phase: str, sort: str, folder: str = "/eos/compass") -> None:
    server, security = known
    # Host certificates are for names, not for addresses.
    aim(job, phase, server.port, folder=folder, host="localhost")
    job.environment |= security.client(sort)


@pytest.mark.parametrize("phase", PHASES)
def test_a_client_that_is_known_is_served(job: CopyJob, known: Known, phase: str) -> None:
    aim_known(job, known, phase, "good")
    report = job.run()
    assert report.exit_status == 0, report.verdict.diag


@pytest.mark.parametrize(
    ("known", "sort", "phase"),
    [
        pytest.param(kind, sort, phase, marks=pytest.mark.fault(phase, f"{kind}: {fault}"), id=f"{kind}-{sort}-{phase}")
        for kind in BAD
        for sort, fault in BAD[kind].items()
        for phase in PHASES
    ],
    indirect=["known"],
)
def test_a_client_that_is_not_known_fails_at_once(job: CopyJob, known: Known, sort: str, phase: str) -> None:
    aim_known(job, known, phase, sort)
    report = job.run()
    assert outcome(report) == REFUSED[phase]
    assert set(faults(report)) == {"credentials"}
    assert transfers(report) == ["credentials"], "no blind retry"
    assert not job.published.exists()
    assert not list((known[0].store / "eos/compass").rglob("*out.bin*"))


@pytest.mark.parametrize(
    ("known", "phase"),
    [
        pytest.param(kind, phase, marks=pytest.mark.fault(phase, f"{kind}: known, but not authorized"))
        for kind in BAD
        for phase in PHASES
    ],
    indirect=["known"],
)
def test_a_client_that_is_known_and_not_authorized_is_denied(job: CopyJob, known: Known, phase: str) -> None:
    aim_known(job, known, phase, "good", folder="/eos/private")
    report = job.run()
    assert outcome(report) == DENIED[phase]
    assert set(faults(report)) == {"denied"}
    assert not job.published.exists()
    assert not list((known[0].store / "eos/private").rglob("*out.bin*"))


@pytest.mark.parametrize("known", ["gsi"], indirect=True)
@pytest.mark.fault("stage-out", "first of two servers refuses our proxy")
def test_the_next_destination_serves_when_the_first_refuses_us(job: CopyJob, known: Known) -> None:
    aim_known(job, known, "stage-out", "expired")
    job.destinations.append(f"file://{job.published}/")
    report = job.run()
    assert report.exit_status == 0
    assert [each.fault for each in report.outputs[0].tries][:1] == ["credentials"]
    assert (job.published / "out.bin").read_bytes() == SMALL


def renewed_by(job: CopyJob, command: str, known: Known) -> None:
    """Let the job watch its proxy, which has ended, and renew it by a shell command; `$good` is a proxy that holds."""
    _, security = known
    proxy = job.folder / "proxy"
    shutil.copy(security.client("expired")["X509_USER_PROXY"], proxy)
    proxy.chmod(0o600)
    script = job.folder / "renew.sh"
    script.write_text(f"good={security.client('good')['X509_USER_PROXY']}\n{command}\n")
    job.environment |= {"X509_USER_PROXY": str(proxy), "PILOTEXT_CREDENTIAL_KINDS": "proxy"}
    if command:
        job.environment["PILOTEXT_CREDENTIAL_REFRESH"] = f"sh {script}"


@pytest.mark.parametrize("known", ["gsi"], indirect=True)
@pytest.mark.parametrize("phase", PHASES)
def test_a_proxy_that_has_ended_is_renewed_before_the_transfer(job: CopyJob, known: Known, phase: str) -> None:
    aim_known(job, known, phase, "expired")
    renewed_by(job, "cp -p $good $X509_USER_PROXY.new; mv $X509_USER_PROXY.new $X509_USER_PROXY", known)
    report = job.run()
    assert report.exit_status == 0, report.verdict.diag
    assert transfers(report) == []


@pytest.mark.parametrize("known", ["gsi"], indirect=True)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    ("command", "ending"),
    [
        pytest.param(
            "",
            ("credentials", "has ended at"),
            marks=pytest.mark.fault("stage-in", "proxy ended, and nothing renews it"),
        ),
        pytest.param(
            "echo no voms server; exit 1",
            ("unreachable", "has not renewed it: status 1: no voms server"),
            marks=pytest.mark.fault("stage-in", "proxy ended, and its renewal fails"),
        ),
    ],
)
def test_a_proxy_that_has_ended_and_is_not_renewed_stops_the_transfer_with_the_reason(
    job: CopyJob, known: Known, phase: str, command: str, ending: tuple[str, str]
) -> None:
    aim_known(job, known, phase, "expired")
    renewed_by(job, command, known)
    report = job.run()
    assert report.phase == phase
    assert report.exit_status == REFUSED[phase][0]
    fault, said = ending
    assert set(faults(report)) == {fault}
    assert said in report.verdict.evidence[0].text
    assert not list((known[0].store / "eos/compass").rglob("*out.bin*"))
