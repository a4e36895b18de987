"""The whole way under an unmodified PanDA pilot: what it reports to its server of good and bad jobs of ours."""

from __future__ import annotations

import pytest

from tests.end_to_end.conftest import DUMP, EVENTS, HISTOGRAMS, MDST, shared_folder
from tests.end_to_end.pilot_cases import Outcome, shared_outcomes
from tests.support.pilot import Release, installed_release

pytestmark = pytest.mark.timeout(600)

LOGS = "job.log.tgz"
FAILED_PAYLOAD = 1305
KILLED_BY_SERVER = 1144
KILLED_BY_SIGTERM = 1201


@pytest.fixture(scope="session")
def release() -> Release:
    return installed_release()


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Of every case, by its name."""
    return shared_outcomes(shared_folder(tmp_path_factory))


def assert_told(release: Release, outcome: Outcome, number: int, key: str, status: int) -> None:
    """The failure is told by its code where the pilot reads our report, and by its words where it does not."""
    final = outcome.final
    assert (final["state"], final["pilotErrorCode"], final["transExitCode"]) == ("failed", FAILED_PAYLOAD, status)
    if release.reads_error_report:
        assert final["exeErrorCode"] == number
        assert final["exeErrorDiag"].startswith(f"{key}: ")
        assert final["pilotErrorDiag"] == final["exeErrorDiag"]
    else:
        assert final["pilotErrorDiag"].startswith(f"Failed to execute payload:{key}: ")
    assert len(final["pilotErrorDiag"]) <= 256 + len("Failed to execute payload:")
    assert outcome.metadata["code"] == key.partition(" ")[0]


@pytest.mark.parametrize("case", ["good", "latin-1 flood"])
def test_a_good_job_is_finished(outcomes: dict[str, Outcome], case: str) -> None:
    outcome = outcomes[case]
    assert [update["state"] for update in outcome.updates[:2]] == ["starting", "running"]
    final = outcome.final
    assert final["state"] == "finished"
    assert (final["pilotErrorCode"], final["exeErrorCode"], final["transExitCode"]) == (0, 0, 0)
    assert (final["pilotErrorDiag"], final["exeErrorDiag"]) == ("", "")
    assert outcome.published == sorted([MDST, HISTOGRAMS, DUMP, LOGS])
    assert outcome.metadata["state"] == "done"
    assert outcome.metadata["counters"]["mdst_entries"] == EVENTS
    assert outcome.stderr == ""
    assert [report["verdict"]["verdict"] for report in outcome.reports] == ["success"]
    assert outcome.survivors == []


@pytest.mark.fault("payload", "no memory under the real pilot")
def test_a_classified_failure_reaches_the_server_with_its_code(release: Release, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["no memory"]
    assert_told(release, outcome, 581241, "COMPASS-1241 cannot-allocate", 66)
    assert outcome.metadata["action"] == "retry-more-memory"
    assert outcome.published == [LOGS]


@pytest.mark.fault("payload", "killed by a signal under the real pilot")
def test_a_payload_that_was_killed_is_told_as_that(release: Release, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["killed payload"]
    assert_told(release, outcome, 581246, "COMPASS-1246 killed", 69)
    assert outcome.published == [LOGS]


@pytest.mark.fault("stage-out", "destination refuses under the real pilot")
def test_a_failed_stage_out_is_told_and_publishes_nothing(release: Release, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["failing stage-out"]
    assert_told(release, outcome, 583204, "COMPASS-3204 stage-out-denied", 68)
    assert outcome.published == [LOGS]


@pytest.mark.fault("payload", "pilot stopped by SIGTERM under the real pilot")
def test_a_stopped_pilot_passes_on_what_the_wrapper_said(release: Release, outcomes: dict[str, Outcome]) -> None:
    """A pilot leaves 3 s between SIGTERM and SIGKILL; in these, the reports are written and the payload has ended."""
    outcome = outcomes["stopped by the batch system"]
    final = outcome.final
    assert (final["state"], final["pilotErrorCode"]) == ("failed", KILLED_BY_SIGTERM)
    assert (outcome.report["state"], outcome.report["verdict"]["code"]) == ("failed", "COMPASS-5011")
    if release.reads_error_report:
        assert (final["exeErrorCode"], final["exeErrorDiag"].split(":")[0]) == (585011, "COMPASS-5011 evicted")
    if release.reads_error_report or outcome.metadata:  # one of the two threads of old pilots that report sends none
        assert (outcome.metadata["code"], outcome.metadata["cause"]) == ("COMPASS-5011", "evicted")
    assert outcome.survivors == []


@pytest.mark.fault("payload", "tobekilled by the server under the real pilot")
def test_a_job_killed_by_the_server_still_ends_with_its_own_report(outcomes: dict[str, Outcome]) -> None:
    """The pilot reports at once and looks at nothing, so it is our report that says how the job ended."""
    outcome = outcomes["stopped by the server"]
    final = outcome.final
    assert (final["state"], final["pilotErrorCode"]) == ("failed", KILLED_BY_SERVER)
    assert (outcome.report["state"], outcome.report["verdict"]["code"]) == ("failed", "COMPASS-5011")
    assert {sent["verdict"]["code"] for sent in outcome.reports} <= {"COMPASS-5011"}
    assert outcome.survivors == []


@pytest.mark.fault("payload", "wrapper killed by SIGKILL under the real pilot")
def test_a_killed_wrapper_is_told_with_the_phase_it_died_in(release: Release, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["killed wrapper"]
    final = outcome.final
    assert (final["state"], final["pilotErrorCode"]) == ("failed", FAILED_PAYLOAD)
    assert (outcome.metadata["code"], outcome.metadata["phase"]) == ("COMPASS-5001", "payload")
    if release.reads_error_report:
        assert final["exeErrorCode"] == 585001
        assert final["exeErrorDiag"].startswith("COMPASS-5001 wrapper-died: ")
    else:
        assert final["pilotErrorDiag"].startswith("Failed to execute payload")
    assert outcome.published == []
    assert outcome.survivors == []


@pytest.mark.fault("prepare", "no pilotext on the node under the real pilot")
def test_a_node_without_pilotext_says_what_is_missing(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["no pilotext"]
    final = outcome.final
    assert (final["state"], final["pilotErrorCode"], final["transExitCode"]) == ("failed", FAILED_PAYLOAD, 64)
    assert "pilotext-trf: PILOTEXT_HOME is /cvmfs/nowhere, but on " in final["pilotErrorDiag"]
    assert outcome.report == {}
