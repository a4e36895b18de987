"""An unmodified PanDA pilot, run against a server of ours on 127.0.0.1.

It runs in a PID namespace of its own, since a pilot ends processes that it takes for its orphans, and in a folder of
its own, which it may remove. bin/prepare unpacks the pilot; PILOTEXT_TEST_PILOT names the folder of another one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.jobs import CHECKOUT

QUEUE = "PILOTEXT_TEST"
TRF_URL_OF_OLD_PILOTS = "http://pandaserver-doma.cern.ch:25080/trf/user"
"""Old pilots take no other address; the file itself comes from HARVESTER_WORKDIR, so nobody asks there."""

READS_ERROR_REPORT_SINCE = (3, 7, 6, 6)


class Release:
    """A pilot as its developers published it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version = (folder / "PILOTVERSION").read_text().strip()

    @property
    def reads_error_report(self) -> bool:
        return tuple(int(number) for number in self.version.split(".")) >= READS_ERROR_REPORT_SINCE

    def transformation(self, server_url: str) -> str:
        """Where the job says that `pilotext-trf` is to be had."""
        return f"{server_url if self.reads_error_report else TRF_URL_OF_OLD_PILOTS}/pilotext-trf"

    def options(self, server_url: str) -> list[str]:
        """What new pilots need: downloads from our server, no renewal of tokens, no status for a harvester."""
        return ["--baseurls", server_url, "-y", "-k"] if self.reads_error_report else []


def installed_release() -> Release:
    """The one to test. Raises RuntimeError where there is none."""
    folder = Path(os.environ.get("PILOTEXT_TEST_PILOT") or CHECKOUT / ".venv/share/panda-pilot")
    if not (folder / "pilot.py").exists():
        raise RuntimeError(f"There is no pilot in {folder}; bin/prepare test puts it there.")
    return Release(folder)


class Pilot:
    """One pilot that takes one job from the server at `url` and `port`; `environment` is added to its own.

    Its files are in `folder`; the job's work directory is `workdir` for PandaID 1. With `queue`, the server says what
    that queue is; otherwise files do, for a queue of tests.
    """

    def __init__(
        self, release: Release, folder: Path, port: int, environment: Mapping[str, str], *, queue: str = ""
    ) -> None:
        self.folder = folder
        self._queue = queue or QUEUE
        self.log = folder / "pilot.out"
        self._start = folder / "start"
        self.workdir = self._start / "PanDA_Pilot-1"
        self._start.mkdir(parents=True)
        self._write_configuration(release)
        url = "http://127.0.0.1"
        described = (str(folder / "queuedata.json"), str(folder / "storagedata.json"))
        if queue:
            cache = f"{url}:{port}/cache"
            described = (f"{cache}/schedconfig/{{pandaqueue}}.all.json", f"{cache}/ddmendpoints.json")
        self.command = [
            *own_namespace(),
            *(sys.executable, str(release.folder / "pilot.py")),
            *("--pilot-user", "generic", "-w", "generic", "-q", self._queue, "-j", "managed", "-i", "PR"),
            *("--url", url, "-p", str(port), "--queuedata-url", described[0]),
            *("--storagedata-url", described[1], "--use-rucio-traces", "False"),
            *("-t", "-d", "-v", "1", "-x", "1"),
            *release.options(f"{url}:{port}"),
        ]
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "PILOTEXT_HOME"},
            "PILOT_NOKILL": "1",
            "NO_CVMFS_OK": "1",
            "no_proxy": "127.0.0.1",
            "LOCAL_AGIS_SCHEDCONF": str(folder / "schedconf.json"),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HARVESTER_WORKDIR": str(CHECKOUT / "bin"),
            "HARVESTER_PILOT_CONFIG": str(folder / "pilot.cfg"),
            "X509_USER_PROXY": str(folder / "proxy.pem"),
            "X509_CERT_DIR": str(folder),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command, cwd=self._start, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End the whole namespace: the kernel kills everything in it."""
        process = self._started()
        process.kill()
        process.wait()

    @property
    def pid(self) -> int:
        """Of the process that has the pilot's namespace."""
        return self._started().pid

    def is_running(self) -> bool:
        return self._started().poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the pilot, as a batch system does."""
        pid = self._started().pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(child), number)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("The pilot was not started.")
        return self._process

    def _write_configuration(self, release: Release) -> None:
        """Queue, storage and heartbeat, by the pilot's own means for each."""
        queue = queuedata()
        (self.folder / "queuedata.json").write_text(json.dumps(queue))
        (self.folder / "schedconf.json").write_text(json.dumps({self._queue: queue}))
        (self.folder / "storagedata.json").write_text(json.dumps(storagedata(self.folder)))
        standard = (release.folder / "pilot/util/default.cfg").read_text()
        quick = standard.replace("\nheartbeat: 1800\n", "\nheartbeat: 10\n")
        if quick == standard:
            raise RuntimeError(f"{release.folder}: this pilot's heartbeat is configured in another way")
        (self.folder / "pilot.cfg").write_text(quick)
        make_proxy(self.folder / "proxy.pem")
        # The pilot greps the kernel's log for its pids, which are short in a namespace: any old line would do.
        dmesg = self.folder / "bin/dmesg"
        dmesg.parent.mkdir()
        dmesg.write_text("#!/bin/sh\nexit 0\n")
        dmesg.chmod(0o755)


def own_namespace() -> list[str]:
    """The start of a command whose processes see, and can end, no others; it takes them with it when it is killed.

    Raises RuntimeError where the system allows that to nobody like us.
    """
    new = ["--pid", "--fork", "--mount-proc", "--kill-child"]
    for command in (["unshare", *new], ["unshare", "--user", "--map-root-user", *new]):
        if (
            shutil.which("unshare")
            and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
        ):
            return command
    raise RuntimeError("unshare makes no PID namespace here; a pilot that runs without one may end your processes.")


def make_proxy(path: Path) -> None:
    """A certificate that nobody trusts: new pilots want to see one, and a server without TLS never does."""
    words = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=nobody", "-keyout", "-", "-out", "-"]
    path.write_bytes(subprocess.run(["openssl", "req", *words], capture_output=True, check=True).stdout)
    path.chmod(0o600)


def queuedata() -> dict[str, Any]:
    activities = ("pr", "pw", "pl", "read_lan", "write_lan")
    return {
        "nickname": QUEUE,
        "panda_resource": QUEUE,
        "atlas_site": "PILOTEXT",
        "state": "ACTIVE",
        "status": "online",
        "type": "production",
        "resource_type": "grid",
        "copytools": {"mv": {"setup": ""}},
        "acopytools": {activity: ["mv"] for activity in (*activities, "default")},
        "astorages": {activity: ["PILOTEXT_DISK"] for activity in activities},
        "aprotocols": {},
        "container_type": "",
        "container_options": "",
        "catchall": "mv_final_destination",
        "corecount": 1,
        "timefloor": 0,
        "maxtime": 0,
        "maxwdir": 20000,
        "maxrss": 0,
        "maxinputsize": 1000,
        "allow_lan": True,
        "allow_wan": False,
        "direct_access_lan": False,
        "direct_access_wan": False,
        "params": {},
    }


def storagedata(folder: Path) -> dict[str, Any]:
    door = [{"endpoint": "file://localhost", "path": str(folder / "storage"), "flavour": "file", "id": 1}]
    return {
        "PILOTEXT_DISK": {
            "id": 1,
            "name": "PILOTEXT_DISK",
            "state": "ACTIVE",
            "site": "PILOTEXT",
            "type": "DATADISK",
            "token": "",
            "is_deterministic": True,
            "rprotocols": {},
            "resource": {},
            "arprotocols": dict.fromkeys(("r", "w", "pr", "pw", "pl", "read_lan", "write_lan"), door),
        }
    }


def panda_job(transformation: str, parameters: str) -> dict[str, Any]:
    """A job as PanDA hands it out, without files: pilotext moves them and keeps the logs."""
    none = (
        "inFiles",
        "outFiles",
        "realDatasets",
        "realDatasetsIn",
        "scopeIn",
        "scopeOut",
        "scopeLog",
        "GUID",
        "logFile",
    )
    return {
        "StatusCode": 0,
        "PandaID": "1",
        "taskID": "77",
        "jobName": "dvcs2016P09t1.588",
        "jobDefinitionID": "1",
        "jobsetID": "1",
        "prodSourceLabel": "managed",
        "processingType": "pilotext",
        "prodUserID": "pilotext",
        "attemptNr": 2,
        "coreCount": 1,
        "transformation": transformation,
        "jobPars": parameters,
        "swRelease": "NULL",
        "homepackage": "NULL",
        **dict.fromkeys(
            (*none, "ddmEndPointIn", "ddmEndPointOut", "destinationDblock", "logGUID", "fsize", "checksum"), ""
        ),
    }
