"""Renewal of credentials before an operation on remote storage."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from pilotext.errors import CredentialError, RenewalError
from pilotext.storage.base import FileStat
from pilotext.storage.credentials import CredentialSettings
from pilotext.storage.operations import Operation
from pilotext.storage.transfer import Mover, with_credentials
from pilotext.storage.transfer.mover import pause
from pilotext.storage.transfer.renewal import RenewingMover
from tests.storage.conftest import eventually
from tests.storage.test_credentials import token
from tests.support.processes import has_ended

URL = "root://eos//eos/compass/x.raw"
HOUR_S = 3600.0


class StopTheJobError(Exception):
    """Raised by the tick of a job that is told to stop."""


class Below:
    """A mover that notes what it is asked, on files of `size` bytes."""

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self.asked: list[str] = []
        self.tick: Callable[[], None] = lambda: None

    def do(self, operation: Operation, **_arguments: Any) -> Any:
        self.asked.append(operation)
        return FileStat(self.size) if operation == "stat" else None

    def pause(self, seconds: float) -> None:
        pause(seconds, self.tick)

    def close(self) -> None:
        self.asked.append("closed")

    def hurried(self) -> AbstractContextManager[None]:
        return nullcontext()

    def tidier(self) -> Mover:
        return self


class Place:
    """A token file that has some seconds left, and a command that gives it more, or does not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "token"
        self.runs = folder / "runs"

    def has_left(self, seconds: float) -> None:
        self.file.write_text(token({"exp": time.time() + seconds}))

    def mover(self, below: Below, script: str = "") -> Mover:
        """A mover whose command is a shell script; `fresh` is a file with a token for a day."""
        (self.folder / "fresh").write_text(token({"exp": time.time() + 24 * HOUR_S}))
        command = ("sh", "-c", f"echo run >> {self.runs}; cd {self.folder}; {script}") if script else ()
        environ = {**os.environ, "BEARER_TOKEN_FILE": str(self.file)}
        return RenewingMover(below, CredentialSettings(("token",), command), environ)

    def renewals(self) -> int:
        return self.runs.read_text().count("run") if self.runs.exists() else 0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_credential_that_lasts_is_left_alone(place: Place) -> None:
    place.has_left(2 * HOUR_S)
    below = Below()
    place.mover(below, "cp fresh token").do("stat", url=URL)
    assert (below.asked, place.renewals()) == (["stat"], 0)


def test_one_that_ends_soon_is_renewed_and_the_next_transfer_begins_anew(place: Place) -> None:
    place.has_left(HOUR_S / 2)
    below = Below()
    mover = place.mover(below, "cp fresh token")
    mover.do("stat", url=URL)
    mover.do("get", url=URL, path=place.folder / "x")
    assert (below.asked, place.renewals()) == (["closed", "stat", "get"], 1)


@pytest.mark.parametrize("url", ["file:///eos/x", "memory://a/x"])
def test_storage_of_this_machine_needs_no_credential(place: Place, url: str) -> None:
    below = Below()
    place.mover(below).do("stat", url=url)
    assert below.asked == ["stat"]


def test_without_a_command_a_transfer_that_outlasts_its_credential_is_refused(place: Place) -> None:
    place.has_left(1000)
    below = Below(size=1_500_000_000)
    mover = place.mover(below)
    mover.do("stat", url=URL)
    with pytest.raises(CredentialError) as caught:
        mover.do("get", url=URL, path=place.folder / "x")
    assert "ends in 0:16:" in str(caught.value)
    assert "and this operation may take 0:25:00 h." in str(caught.value)
    assert "Renew it, or set PILOTEXT_CREDENTIAL_REFRESH to a command that does." in str(caught.value)
    assert below.asked == ["stat"]
    below.size = 500_000_000
    mover.do("stat", url=URL)
    mover.do("get", url=URL, path=place.folder / "x")
    assert below.asked == ["stat", "stat", "get"]


def test_an_upload_is_judged_by_the_size_of_its_file(place: Place) -> None:
    place.has_left(1000)
    below = Below()
    mover = place.mover(below)
    for name, size in (("small", 500_000_000), ("large", 1_500_000_000)):
        with (place.folder / name).open("wb") as file:
            file.truncate(size)
    mover.do("put", path=place.folder / "small", url=URL)
    with pytest.raises(CredentialError):
        mover.do("put", path=place.folder / "large", url=URL)
    assert below.asked == ["put"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no connection to voms.cern.ch; exit 3", "status 3: no connection to voms.cern.ch"),
        ("exit 1", "status 1: it said nothing"),
        ("printf '\\033[2Jgone\\n'; exit 1", "status 1: \\x1b[2Jgone"),
        ("true", "it gave none that lasts longer"),
        ("kill -SEGV $$", "ended by SIGSEGV: it said nothing"),
        ("echo password: hunter22; exit 1", "status 1: password: ********"),
        ("setsid sleep 300 & echo left; exit 1", "status 1: left"),
    ],
)
def test_a_command_that_does_not_renew_is_a_passing_failure_with_its_words(
    place: Place, script: str, said: str
) -> None:
    below = Below()
    with pytest.raises(RenewalError) as caught:
        place.mover(below, script).do("stat", url=URL)
    assert f"sh has not renewed it: {said}" in str(caught.value)
    assert "is missing or cannot be read" in str(caught.value)
    assert "stat" not in below.asked


def test_a_command_that_cannot_be_started_is_named(place: Place) -> None:
    mover = RenewingMover(Below(), CredentialSettings(("token",), ("/no/such/command",)), {"BEARER_TOKEN_FILE": "/no"})
    with pytest.raises(RenewalError, match="it cannot be started: No such file or directory"):
        mover.do("stat", url=URL)


def test_a_credential_that_suffices_is_used_while_its_renewal_fails(place: Place) -> None:
    place.has_left(HOUR_S / 2)
    below = Below()
    mover = place.mover(below, "exit 1")
    for _ in range(3):
        mover.do("stat", url=URL)
    assert below.asked == ["stat"] * 3
    assert place.renewals() == 1, "it is not asked before every operation"


def test_a_command_that_hangs_is_ended(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilotext.storage.transfer.renewal.COMMAND_WITHIN_S", 0.3)
    with pytest.raises(RenewalError, match=r"it had not ended after 0\.3 s: asking"):
        place.mover(Below(), "echo asking; echo $$ > pid; exec sleep 600").do("stat", url=URL)
    pid = int((place.folder / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_order_to_stop_ends_a_renewal(place: Place) -> None:
    below = Below()

    def tick() -> None:
        if (place.folder / "pid").exists():
            raise StopTheJobError

    below.tick = tick
    with pytest.raises(StopTheJobError):
        place.mover(below, "echo $$ > pid.new; mv pid.new pid; exec sleep 600").do("stat", url=URL)
    with pytest.raises(ProcessLookupError):
        os.kill(int((place.folder / "pid").read_text()), 0)


def test_the_command_gets_no_secret_of_agent_or_server(place: Place) -> None:
    secrets = {"PILOTEXT_TOKEN": "secret of the agent", "PILOTEXT_MAIL_PASSWORD": "secret of the server"}
    environ = {**os.environ, "BEARER_TOKEN_FILE": str(place.file), **secrets}
    script = ("sh", "-c", f"env > {place.folder}/env")
    with pytest.raises(RenewalError):
        RenewingMover(Below(), CredentialSettings(("token",), script), environ).do("stat", url=URL)
    told = (place.folder / "env").read_text()
    assert "BEARER_TOKEN_FILE" in told
    assert "secret of" not in told


def test_a_credential_of_a_short_life_is_renewed_in_its_last_third(place: Place) -> None:
    below = Below(size=5_000_000_000)
    mover = place.mover(below, "cp short token")
    (place.folder / "short").write_text(token({"exp": time.time() + 1200}))
    for _ in range(3):
        mover.do("stat", url=URL)
    mover.do("get", url=URL, path=place.folder / "x")
    assert below.asked == ["closed", "stat", "stat", "stat", "get"], "no command gives one that outlasts this file"
    assert place.renewals() == 1


def test_a_failed_renewal_is_not_tried_before_every_operation(place: Place) -> None:
    mover = place.mover(Below(), "echo away; exit 1")
    for _ in range(3):
        with pytest.raises(RenewalError, match="status 1: away"):
            mover.do("stat", url=URL)
    assert place.renewals() == 1


def test_what_is_in_a_hurry_does_not_wait_for_a_renewal(place: Place) -> None:
    mover = place.mover(Below(), "cp fresh token")
    with mover.hurried(), pytest.raises(RenewalError):
        mover.do("stat", url=URL)
    assert place.renewals() == 0
    mover.do("stat", url=URL)
    assert place.renewals() == 1


def test_two_kinds_are_renewed_by_one_run(place: Place) -> None:
    environ = {**os.environ, "BEARER_TOKEN_FILE": str(place.file), "X509_USER_PROXY": str(place.folder / "none")}
    command = ("sh", "-c", f"echo run >> {place.runs}")
    with pytest.raises(RenewalError):
        RenewingMover(Below(), CredentialSettings(("proxy", "token"), command), environ).do("stat", url=URL)
    assert place.renewals() == 1


def test_what_a_command_has_started_ends_with_it(place: Place) -> None:
    script = "sh -c 'echo $$ > pid; exec sleep 600' & until [ -s pid ]; do :; done; cp fresh token"
    place.mover(Below(), script).do("stat", url=URL)
    assert eventually(lambda: has_ended(int((place.folder / "pid").read_text())))


def test_a_flood_of_words_is_read_to_its_end_and_not_kept(place: Place) -> None:
    script = "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo last; exit 1"
    with pytest.raises(RenewalError, match="status 1: last"):
        place.mover(Below(), script).do("stat", url=URL)


def test_nothing_is_watched_unless_it_is_asked_for() -> None:
    below = Below()
    assert with_credentials(below, {}) is below
    assert isinstance(with_credentials(below, {"PILOTEXT_CREDENTIAL_KINDS": "proxy"}), RenewingMover)
