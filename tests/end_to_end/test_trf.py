"""The transformation that a pilot starts: it finds its pilotext, becomes it, or says what is missing."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.jobs import CHECKOUT, job_document

TRF = CHECKOUT / "bin/pilotext-trf"


def spec(**fields: object) -> str:
    return base64.b64encode(json.dumps(job_document(**fields)).encode()).decode()


def start(
    program: Path, *words: str, cwd: Path, home: Path | None = None, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Start it as the pilot does: by bash, in the work directory, with the words of the job parameters."""
    given = {name: value for name, value in os.environ.items() if name != "PILOTEXT_HOME"} | extra
    if home is not None:
        given["PILOTEXT_HOME"] = str(home)
    command = ["/bin/bash", "-c", f"export X509_USER_PROXY=/no/proxy;{program} {' '.join(words)}"]
    return subprocess.run(command, cwd=cwd, env=given, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def downloaded(tmp_path: Path) -> Path:
    """The file alone in a work directory, as after a download."""
    (tmp_path / "PanDA_Pilot-1").mkdir()
    return Path(shutil.copy(TRF, tmp_path / "PanDA_Pilot-1/pilotext-trf"))


def test_a_downloaded_one_finds_pilotext_by_its_variable(downloaded: Path) -> None:
    ended = start(downloaded, "--spec", spec(), cwd=downloaded.parent, home=CHECKOUT)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (downloaded.parent / "job.report.json").exists()


def test_the_job_parameters_choose_the_pilotext_before_the_variable_does(downloaded: Path) -> None:
    words = ("--pilotext", str(CHECKOUT), "--spec", spec())
    ended = start(downloaded, *words, cwd=downloaded.parent, home=Path("/no/pilotext"))
    assert ended.returncode == 0, ended.stderr


def test_one_that_lies_beside_pilotext_needs_to_be_told_nothing(tmp_path: Path) -> None:
    (tmp_path / "pilotext-trf").symlink_to(TRF)  # as the pilot's mv copytool puts an input file there
    ended = start(tmp_path / "pilotext-trf", "--spec", spec(), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr


def test_further_words_reach_the_run(downloaded: Path) -> None:
    ended = start(downloaded, "--spec", spec(), "--workdir", "sub", "--json", cwd=downloaded.parent, home=CHECKOUT)
    assert json.loads(ended.stdout)["state"] == "done"
    assert (downloaded.parent / "sub/job.report.json").exists()


def test_the_status_of_a_failed_job_is_the_runs(downloaded: Path) -> None:
    ended = start(downloaded, "--spec", spec(command=["/bin/false"]), cwd=downloaded.parent, home=CHECKOUT)
    assert ended.returncode == 66
    assert ended.stderr.startswith("ERROR: COMPASS-")


@pytest.mark.parametrize(
    ("words", "home", "said"),
    [
        ((), None, "ERROR: pilotext-trf: where is pilotext? Not beside this file"),
        ((), Path("/no/pilotext"), "ERROR: pilotext-trf: PILOTEXT_HOME is /no/pilotext, but on"),
        (("--pilotext", "/no/other"), CHECKOUT, "ERROR: pilotext-trf: --pilotext says /no/other, but on"),
        (("--pilotext",), CHECKOUT, "ERROR: pilotext-trf: --pilotext needs the folder"),
        (("--spec", "%%%"), CHECKOUT, "pilotext: error: --spec is not Base64 text"),
        (("--no-such-word",), CHECKOUT, "pilotext run: error: "),
    ],
)
def test_what_cannot_start_says_why_in_words_that_the_pilot_shows(
    downloaded: Path, words: tuple[str, ...], home: Path | None, said: str
) -> None:
    ended = start(downloaded, *words, cwd=downloaded.parent, home=home)
    assert ended.returncode == 64
    assert said in ended.stderr
    assert ended.stdout == ""


def test_it_becomes_the_wrapper_so_that_signals_reach_it(downloaded: Path) -> None:
    command = [str(downloaded), "--pilotext", str(CHECKOUT), "--spec", spec(command=["/bin/sleep", "1000"])]
    with subprocess.Popen(command, cwd=downloaded.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        stdout = downloaded.parent / "payload_stdout.txt"
        while process.poll() is None and not stdout.exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 69
    assert errors.startswith(b"ERROR: COMPASS-")


def test_the_pilots_own_python_does_not_get_in_the_way(downloaded: Path, tmp_path: Path) -> None:
    """A pilot's environment often names packages that were made for another Python."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for name in ("msgspec", "regex", "psutil", "XRootD"):
        (foreign / f"{name}.py").write_text("raise ImportError('made for another Python')\n")
    (tmp_path / "x").write_text("x\n")
    job = spec(inputs=[{"name": "x", "sources": [f"file://{tmp_path}/x"]}])
    environment = {"PYTHONPATH": str(foreign), "PYTHONHOME": str(foreign)}
    ended = start(downloaded, "--spec", job, cwd=downloaded.parent, home=CHECKOUT, **environment)
    assert ended.returncode == 0, ended.stderr
