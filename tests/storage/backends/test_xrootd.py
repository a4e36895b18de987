from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotext.errors import (
    ChecksumError,
    DeniedError,
    NoSpaceError,
    NotFoundError,
    OfflineError,
    StalledError,
    StorageError,
    TransientError,
    UnsupportedError,
)
from pilotext.model.job import Input
from pilotext.storage.backends.xrootd import XRootDStorage
from pilotext.storage.base import Copied, FileStat, Storage
from pilotext.storage.conformance import CONTENT, StorageConformance, adler32, ignore
from pilotext.storage.retry import Policy, retried
from pilotext.storage.stage_in import stage_in
from pilotext.storage.transfer import ChildMover, InProcessMover
from tests.storage.conftest import eventually
from tests.support.xrootd_server import EOS, TapeServer, XrdServer, serving, serving_tape


@pytest.fixture(scope="module")
def eos() -> Iterator[XrdServer]:
    with serving([*EOS, ("/castor/cern.ch/compass", "r/o")]) as running:
        yield running


@pytest.fixture
def storage() -> Storage:
    return XRootDStorage()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "cdr13040-275772.raw"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def tape() -> Iterator[TapeServer]:
    with serving_tape() as running:
        yield running


class TestXRootDStorage(StorageConformance):
    @pytest.fixture
    def storage(self) -> Storage:
        return XRootDStorage()

    @pytest.fixture
    def base(self, eos: XrdServer) -> str:
        return eos.url(f"/eos/compass/{uuid.uuid4().hex}/")


def test_the_opaque_part_of_a_url_goes_all_the_way(storage: Storage, eos: XrdServer, raw: Path, tmp_path: Path) -> None:
    def url(name: str) -> str:
        return eos.url(f"/eos/compass/opaque/{name}?svcClass=compasscdr&eos.app=pilotext")

    storage.put(raw, url("a"), ignore)
    storage.move(url("a"), url("b"))
    assert storage.checksum(url("b")) == adler32(CONTENT)
    assert storage.get(url("b"), tmp_path / "b", ignore) == Copied(len(CONTENT), adler32(CONTENT))
    assert [path.name for path in (eos.store / "eos/compass/opaque").iterdir()] == ["b"]
    storage.remove(url("b"))


def test_a_server_is_never_asked_for_the_checksum_of_a_folder(storage: Storage, eos: XrdServer) -> None:
    """XRootD 5.5.3 stops to answer such questions, after some hundreds or after the first."""
    (eos.store / "eos/compass/folder").mkdir()
    for _ in range(50):
        with pytest.raises(NotFoundError):
            storage.checksum(eos.url("/eos/compass/folder"))
    assert "Unable to checksum /eos/compass/folder" not in eos.log.read_text()


def test_a_file_is_read_once_to_be_sent_and_compared(eos: XrdServer, tmp_path: Path) -> None:
    """The checksum is computed while the bytes move; to read an output twice takes minutes on a node."""
    path, url, size = tmp_path / "large.raw", eos.url("/eos/compass/large.raw"), 32 << 20
    path.write_bytes(bytes(size))
    with ChildMover(stall_s=20) as mover:
        mover.do("list", url=eos.url("/eos/compass"))  # starts the process and loads the client
        before = _bytes_read(mover)
        assert mover.do("put", path=path, url=url) == Copied(size, adler32(bytes(size)))
        assert _bytes_read(mover) - before == pytest.approx(size, rel=0.1)
        before = _bytes_read(mover)
        mover.do("checksum", url=f"file://{path}")
        assert _bytes_read(mover) - before == pytest.approx(size, rel=0.1)


def _bytes_read(mover: ChildMover) -> int:
    """Bytes that the transfer process has read from files; those from sockets do not count there."""
    told = dict(line.split(": ") for line in Path(f"/proc/{mover.pid}/io").read_text().splitlines())
    return int(told["rchar"])


def test_a_read_only_area_denies_writing(storage: Storage, eos: XrdServer, raw: Path) -> None:
    (eos.store / "castor/cern.ch/compass/x.raw").write_bytes(b"x")
    eos.give_to_server()
    url = eos.url("/castor/cern.ch/compass/x.raw")
    for write in (
        lambda: storage.put(raw, url, ignore),
        lambda: storage.remove(url),
        lambda: storage.move(url, url + "2"),
    ):
        with pytest.raises(DeniedError):
            write()
    assert storage.stat(url).size == 1


def test_unreadable_and_unexported_files_are_denied(storage: Storage, eos: XrdServer, raw: Path) -> None:
    closed = eos.url("/eos/compass/closed.raw")
    storage.put(raw, closed, ignore)
    (eos.store / "eos/compass/closed.raw").chmod(0)
    for url in (closed, eos.url("/eos/na62/x.raw")):
        with pytest.raises(DeniedError):
            storage.get(url, raw, ignore)


def test_a_full_local_disk_is_no_space_here(storage: Storage, eos: XrdServer, raw: Path) -> None:
    url = eos.url("/eos/compass/full.raw")
    storage.put(raw, url, ignore)
    with pytest.raises(NoSpaceError) as caught:
        storage.get(url, Path("/dev/full"), ignore)
    assert caught.value.url == "file:///dev/full"


def test_bytes_that_changed_on_the_server_are_noticed(
    storage: Storage, eos: XrdServer, raw: Path, tmp_path: Path
) -> None:
    url, stored = eos.url("/eos/compass/rotten.raw"), eos.store / "eos/compass/rotten.raw"
    storage.put(raw, url, ignore)
    storage.checksum(url)
    then = stored.stat()
    stored.write_bytes(bytes(len(CONTENT)))
    os.utime(stored, ns=(then.st_atime_ns, then.st_mtime_ns))  # the server trusts the checksum it remembers
    with pytest.raises(ChecksumError) as caught:
        storage.get(url, tmp_path / "arrived", ignore)
    assert adler32(CONTENT).lstrip("0") in str(caught.value)


def test_a_port_where_nobody_listens_is_transient(storage: Storage, server: XrdServer) -> None:
    server.stop()
    with pytest.raises(TransientError) as caught:
        storage.stat(server.url("/eos/compass/x"))
    assert not isinstance(caught.value, NotFoundError)


def test_a_server_that_came_back_serves_again(storage: Storage, server: XrdServer, raw: Path) -> None:
    url = server.url("/eos/compass/x.raw")
    storage.put(raw, url, ignore)
    server.kill(signal.SIGKILL)
    with pytest.raises(TransientError):
        storage.stat(url)
    server.start()
    patience = Policy(tries=20, first_wait_s=0.5, factor=1)  # the client remembers a dead connection for a while
    assert retried(lambda: storage.checksum(url), url, InProcessMover(), patience, []) == adler32(CONTENT)


def test_a_frozen_server_is_given_up(storage: Storage, server: XrdServer) -> None:
    server.kill(signal.SIGSTOP)
    with pytest.raises(StalledError):
        storage.stat(server.url("/eos/compass/x"))


def test_a_rename_across_servers_is_unsupported(storage: Storage, eos: XrdServer, raw: Path) -> None:
    url = eos.url("/eos/compass/stays.raw")
    storage.put(raw, url, ignore)
    with pytest.raises(UnsupportedError):
        storage.move(url, "root://elsewhere.cern.ch//eos/compass/stays.raw")
    assert storage.stat(url).size == len(CONTENT)


def test_a_local_name_that_the_client_would_cut_is_refused(storage: Storage, eos: XrdServer, raw: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"\?"):
        storage.put(raw.rename(raw.with_name("what?.raw")), eos.url("/eos/compass/x.raw"), ignore)


def test_the_user_s_timeouts_go_before_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XRD_REQUESTTIMEOUT", "77")
    monkeypatch.delenv("XRD_STREAMTIMEOUT")
    XRootDStorage()
    assert (os.environ["XRD_REQUESTTIMEOUT"], os.environ["XRD_STREAMTIMEOUT"]) == ("77", "60")


def test_an_error_says_what_the_server_said_on_one_line(storage: Storage, eos: XrdServer) -> None:
    with pytest.raises(StorageError) as caught:
        storage.checksum(eos.url("/eos/compass/missing"))
    assert caught.value.reason == "[3011] Unable to locate /eos/compass/missing; no such file or directory"


# ------------------------------------------------------------------------------------------------- files on tape

ON_TAPE = "/castor/cern.ch/compass/data/2016/raw/cdr13040-275772.raw"


def test_a_file_on_tape_must_be_prepared_and_then_arrives(storage: Storage, tape: TapeServer, tmp_path: Path) -> None:
    url = tape.write(ON_TAPE, CONTENT)
    assert storage.stat(url) == FileStat(len(CONTENT), offline=True)
    for read in (lambda: storage.checksum(url), lambda: storage.get(url, tmp_path / "raw", ignore)):
        with pytest.raises(OfflineError):
            read()
    request = storage.prepare([url])
    assert storage.status(request, [url]) == {url: "offline"}
    assert eventually(lambda: storage.status(request, [url]) == {url: "online"})
    assert storage.get(url, tmp_path / "raw", ignore) == Copied(len(CONTENT), adler32(CONTENT))


def test_a_file_that_is_not_on_tape_either_is_missing(storage: Storage, tape: TapeServer) -> None:
    url = tape.write(ON_TAPE, CONTENT)
    request = storage.prepare([url, url + "x"])
    assert storage.status(request, [url, url + "x"]) == {url: "offline", url + "x": "missing"}


def test_a_request_is_for_one_server(storage: Storage, tape: TapeServer, eos: XrdServer) -> None:
    with pytest.raises(UnsupportedError, match="one server"):
        storage.prepare([tape.url(ON_TAPE), eos.url("/eos/compass/x")])


def test_stage_in_brings_a_file_from_tape(tape: TapeServer, tmp_path: Path) -> None:
    url = tape.write(ON_TAPE, CONTENT)
    with ChildMover(stall_s=20) as mover:
        done = stage_in(Input("raw", (f"{url}?svcClass=compasscdr",)), tmp_path, mover, Policy(tries=1, poll_s=0.1))
    assert (done.size, done.tries) == (len(CONTENT), ())
    assert len([call for call in tape.calls if " stage " in call]) == 1
