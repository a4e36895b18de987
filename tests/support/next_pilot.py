"""A stand-in for a PanDA pilot that speaks the protocol of servers since 1.0; no released one does for jobs.

Its requests are those of pilot3 3.11.5.1 (`pilot/util/https.py`) to `/api/v1`: gzipped JSON with `Content-Encoding`, a
bearer token and an `Origin`. It starts the transformation, watches it and reads what it left as that pilot does.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import requests

from tests.support.jobs import CHECKOUT

HEARTBEAT_S = 1.0
"""Of a real one: half an hour."""


class NextPilot:
    """One pilot that takes one job from the server at `url`, in a folder of its own."""

    def __init__(self, url: str, token: str, queue: str, folder: Path) -> None:
        self.url = url
        self.queue = queue
        self.folder = folder
        self.commands: list[str] = []
        """The commands that the server gave with its answers."""
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Origin": "compass.pilot",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "Accept": "application/json",
        }
        folder.mkdir(parents=True)

    def call(self, function: str, **fields: Any) -> dict[str, Any]:
        """Return the envelope of the answer."""
        body = gzip.compress(json.dumps(fields).encode())
        answer = requests.post(f"{self.url}/api/v1/pilot/{function}", data=body, headers=self._headers, timeout=60)
        assert answer.status_code == 200, answer.text
        envelope: dict[str, Any] = answer.json()
        assert {*envelope} == {"success", "message", "data"}
        return envelope

    def run(self) -> dict[str, Any]:
        """Take a job and see it to its end; returns it."""
        answer = self.call(
            "acquire_jobs", site_name=self.queue, node="slot1@next", prod_source_label="managed", n_jobs=1
        )
        assert answer["success"], answer["message"]
        (job,) = answer["data"]["jobs"]
        self._update(job, "starting")
        script = self.folder / "pilotext-trf"
        script.write_bytes(requests.get(f"{self.url}/trf/pilotext-trf", timeout=60).content)
        script.chmod(0o755)
        command = ["/bin/bash", "-c", f"./{script.name} {job['jobPars']}"]
        environment = {**os.environ, "PILOTEXT_HOME": str(CHECKOUT), "PANDAID": str(job["PandaID"])}
        with (self.folder / "payload.stdout").open("wb") as out, (self.folder / "payload.stderr").open("wb") as err:
            payload = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        status = self._watched(payload, job)
        self._update(job, "finished" if status == 0 else "failed", **self._seen(status))
        return dict(job)

    def _watched(self, payload: subprocess.Popen[bytes], job: dict[str, Any]) -> int:
        """Send heartbeats until the payload has ended, and end it when the server says so."""
        try:
            while True:
                if self._update(job, "running") == "tobekilled":
                    payload.send_signal(signal.SIGTERM)
                    return payload.wait(60)
                try:
                    return payload.wait(HEARTBEAT_S)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            payload.kill()
            payload.wait()

    def _update(self, job: dict[str, Any], state: str, **fields: Any) -> str:
        said = {"job_id": job["PandaID"], "job_status": state, "attempt_nr": job["attemptNr"], "node": "slot1@next"}
        answer = self.call("update_job", **said, **fields)
        assert answer["success"], answer["message"]
        command: str = answer["data"]["command"]
        self.commands.append(command)
        return command

    def _seen(self, status: int) -> dict[str, Any]:
        """The fields of the last update by what the payload left."""
        told: dict[str, Any] = {"trans_exit_code": status % 255, "pilot_error_code": 1305 if status else 0}
        report = self.folder / "payload_error_report.json"
        if report.exists():
            left = json.loads(report.read_text())
            told |= {"exe_error_code": left["error_code"], "exe_error_diag": left["error_diag"]}
        metadata = self.folder / "jobReport.json"
        return told | {"meta_data": metadata.read_text() if metadata.exists() else ""}
