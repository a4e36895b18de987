"""Login by a real client certificate, through a real Apache with the configuration of the documents."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter

from fixtures.servers.ports import free_port
from tests.support.jobs import CHECKOUT
from tests.support.pilotext_server import ProductionServer, production_server

APACHE = "/usr/sbin/apache2"
MODULES = Path("/usr/lib/apache2/modules")
READY_WITHIN_S = 60.0
SUBJECTS = {
    "maria": "/C=CH/O=CERN/CN=Maria Muster",
    "joerg": "/C=CH/O=CERN/CN=Jörg Müller",
    "percent": "/C=CH/O=CERN/CN=J%c3%b6rg%20M%c3%bcller",
    "unknown": "/C=CH/O=CERN/CN=Otto",
    "strange": "/C=CH/O=CERN/CN=Maria Muster",
}
"""Subjects by the name of the file; that of `strange` is signed by another authority."""

WRITTEN = "CN=Maria Muster,O=CERN,C=CH"
"""The subject of Maria's certificate as proxies write it."""

READABLE = "CN=Jörg Müller,O=CERN,C=CH"


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def make_authority(folder: Path, name: str) -> None:
    """Make an authority, `NAME.pem` and `NAME.key`."""
    files = "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"
    usage = "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", *usage, *files)


def make_certificate(folder: Path, name: str, subject: str, authority: str) -> None:
    """Make a certificate that an authority has signed, `NAME.pem` and `NAME.key`."""
    request, key = folder / f"{name}.csr", folder / f"{name}.key"
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-utf8", "-subj", subject, "-keyout", key, "-out", request)
    extensions = folder / f"{name}.ext"
    extensions.write_text("subjectAltName=IP:127.0.0.1\n")
    signed = "-CA", folder / f"{authority}.pem", "-CAkey", folder / f"{authority}.key", "-CAcreateserial"
    openssl(
        "x509", "-req", "-in", request, *signed, "-days", "2", "-extfile", extensions, "-out", folder / f"{name}.pem"
    )


@dataclass(frozen=True)
class Proxy:
    """A proxy in front of a server."""

    url: str
    folder: Path

    def ask(self, name: str | None, **headers: str) -> requests.Response:
        """Ask for the account page with the certificate of this name, or with none."""
        own = None if name is None else (str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key"))
        trust = str(self.folder / "people.pem")
        return requests.get(
            f"{self.url}/account", cert=own, verify=trust, headers=headers, timeout=60, allow_redirects=False
        )


class From(HTTPAdapter):
    """Requests from an address of this machine."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *words: object, **options: object) -> None:
        options["source_address"] = (self._address, 0)
        super().init_poolmanager(*words, **options)  # type: ignore[arg-type]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProductionServer]:
    named = {"PILOTEXT_CERTIFICATE_HEADER": "X-Client-Subject", "PILOTEXT_CERTIFICATE_PROXIES": "127.0.0.1"}
    with production_server(tmp_path, **named) as running:
        for words in (
            ("user", "--user", "maria", "--role", "expert"),
            ("certificate", "--user", "maria", "--subject", WRITTEN),
        ):
            done = running.command("manager", "server", *words)
            assert done.returncode == 0, done.stderr
        yield running


@pytest.fixture
def proxy(server: ProductionServer, open_folder: Path) -> Iterator[Proxy]:
    for name in ("people", "others"):
        make_authority(open_folder, name)
    for name, subject in {"prod": "/CN=127.0.0.1", **SUBJECTS}.items():
        make_certificate(open_folder, name, subject, "others" if name == "strange" else "people")
    port = free_port()
    configuration = write_configuration(open_folder, port, server.port)
    log = open_folder / "apache.log"
    with log.open("wb") as output:
        words = [APACHE, "-d", str(open_folder), "-f", str(configuration), "-DFOREGROUND"]
        process = subprocess.Popen(words, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for(port, process, log)
        yield Proxy(f"https://127.0.0.1:{port}", open_folder)
    finally:
        process.terminate()
        process.wait(60)


def write_configuration(folder: Path, port: int, behind: int) -> Path:
    """Write the example of the documents with these addresses and files, and what every Apache needs besides."""
    found = re.search(r"```apache\n(.*?)```", (CHECKOUT / "docs/administrator.md").read_text(), re.DOTALL)
    assert found is not None
    example = found[1].replace("*:443", f"127.0.0.1:{port}").replace("/etc/ssl/", f"{folder}/")
    example = example.replace("127.0.0.1:8080", f"127.0.0.1:{behind}")
    parts = ("mpm_event", "authz_core", "ssl", "socache_shmcb", "headers", "proxy", "proxy_http")
    lines = [f"LoadModule {part}_module {MODULES}/mod_{part}.so" for part in parts]
    lines += [
        f"Listen 127.0.0.1:{port}",
        f"PidFile {folder}/apache.pid",
        "ErrorLog /dev/stderr",
        "ServerName 127.0.0.1",
    ]
    lines += ["User nobody", "Group nogroup"] if os.geteuid() == 0 else []
    path = folder / "apache.conf"
    path.write_text("\n".join([*lines, f"Mutex file:{folder}", example]))
    return path


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + READY_WITHIN_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


@pytest.mark.long(20)
def test_a_certificate_logs_its_person_in_through_a_real_proxy(proxy: Proxy, server: ProductionServer) -> None:
    good = proxy.ask("maria")
    assert (good.status_code, "<h1>maria</h1>" in good.text) == (200, True), good.text
    spoofed = {"X-Client-Subject": WRITTEN, "X-Client-Verify": "SUCCESS"}
    assert proxy.ask(None).status_code == 302, "no certificate"
    assert proxy.ask(None, **spoofed).status_code == 302, "the proxy drops what a client says in its headers"
    assert proxy.ask("unknown").status_code == 302, "a certificate of nobody"
    assert proxy.ask("unknown", **spoofed).status_code == 302
    strange = proxy.ask("strange")
    assert (strange.status_code, strange.headers["Location"]) == (302, "/login?next=/account"), "of another authority"
    assert proxy.ask("strange", **spoofed).status_code == 302
    removed = ("server", "certificate", "--user", "maria", "--subject", WRITTEN, "--remove")
    elsewhere = requests.Session()
    elsewhere.mount("http://", From("127.0.0.2"))
    near = requests.get(f"{server.url}/account", headers=spoofed, timeout=60, allow_redirects=False)
    far = elsewhere.get(f"{server.url}/account", headers=spoofed, timeout=60, allow_redirects=False)
    assert (near.status_code, far.status_code) == (200, 302), "the headers count from the proxy's address alone"
    assert server.command("manager", *removed).returncode == 0
    assert proxy.ask("maria").status_code == 302


@pytest.mark.long(20)
def test_a_subject_beyond_ascii_is_registered_as_the_server_says(proxy: Proxy, server: ProductionServer) -> None:
    words = ("server", "certificate", "--user", "maria", "--subject")
    refused = server.command("manager", *words, READABLE)
    assert refused.returncode == 64
    found = re.search(r"Apache, as documented: (\S+)\.$", refused.stderr, re.MULTILINE)
    assert found is not None, refused.stderr
    assert proxy.ask("joerg").status_code == 302
    assert server.command("manager", *words, found[1]).returncode == 0
    assert proxy.ask("joerg").status_code == 200
    assert proxy.ask("percent").status_code == 302, "whose subject is what Apache makes of the other one"


@pytest.mark.parametrize("twice", ["X-Client-Subject", "X-Client-Verify"])
def test_a_header_that_comes_twice_logs_nobody_in(twice: str, server: ProductionServer) -> None:
    name, _, rest = WRITTEN.partition(",")
    once = [("X-Client-Subject", WRITTEN), ("X-Client-Verify", "SUCCESS")]
    parts = [("X-Client-Subject", name), ("X-Client-Subject", rest), once[1]]
    assert status(server, once) == 200
    assert status(server, parts if twice == "X-Client-Subject" else [*once, once[1]]) == 302


def status(server: ProductionServer, headers: list[tuple[str, str]]) -> int:
    """Ask as a proxy for the account page."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    with closing(connection):
        connection.putrequest("GET", "/account")
        for name, text in headers:
            connection.putheader(name, text)
        connection.endheaders()
        return connection.getresponse().status
