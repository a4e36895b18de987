from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.servers import xrootd
from tests.support.xrootd_server import XrdServer, serving


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_keeps_its_port_and_files_through_a_crash() -> None:
    with serving() as server:
        port = server.port
        (server.store / "eos/compass/x").write_bytes(b"x")
        server.kill(signal.SIGKILL)
        assert not listens(port)
        server.start()
        assert server.url("/eos/compass/x") == f"root://127.0.0.1:{port}//eos/compass/x"
        assert listens(port)
        assert (server.store / "eos/compass/x").read_bytes() == b"x"
    assert not listens(port)


def test_a_frozen_server_can_be_stopped() -> None:
    with serving() as server:
        server.kill(signal.SIGSTOP)
        server.stop()
        assert not listens(server.port)


def test_nobody_else_on_the_network_can_reach_it() -> None:
    with serving() as server:
        listening = Path("/proc/net/tcp").read_text()
    assert f"0100007F:{server.port:04X} 00000000:0000 0A" in listening
    assert f" 00000000:{server.port:04X} " not in listening


def test_the_command_serves_until_it_is_told_to_stop() -> None:
    command = [sys.executable, xrootd.__file__, "--export", "/eos/compass:rw"]
    with serving() as neighbour:  # its folder is one that the server's user may enter
        root = neighbour.root / "second"
        with subprocess.Popen([*command, "--root", str(root)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            assert listens(port)
            assert (root / "store/eos/compass").is_dir()
            process.terminate()
            assert process.wait(20) == 0
    assert not listens(port)


@pytest.mark.parametrize("export", ["/eos/compass", "eos:rw", "/eos:wr"])
def test_an_export_that_makes_no_sense_is_refused(export: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        xrootd.main(["--root", "/nowhere", "--export", export])
    assert f"`{export}` is not /PATH:rw" in capsys.readouterr().err


def test_a_machine_without_xrootd_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert XrdServer.available()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert not XrdServer.available()
    with pytest.raises(RuntimeError, match="apt-get install xrootd-server"):
        XrdServer(tmp_path, [("/eos", "r/w")]).start()


def test_a_server_that_cannot_start_names_its_log(tmp_path: Path) -> None:
    server = XrdServer(tmp_path, [("/eos", "r/w")], extra="xrootd.seclib /no/such/library.so")
    with pytest.raises(RuntimeError, match=rf"see {server.log}"):
        server.start()
