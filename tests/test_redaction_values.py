"""Which secrets a job is run with."""

from __future__ import annotations

import os
from pathlib import Path

from pilotext.redaction import redactor_for
from tests.support.jobs import make_job

KEY_LINE = "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn0ygWyF8PbnGy"
PROXY = (
    "-----BEGIN CERTIFICATE-----\nMIIBpublic\n-----END CERTIFICATE-----\n"
    f"-----BEGIN RSA PRIVATE KEY-----\n{KEY_LINE}\n-----END RSA PRIVATE KEY-----\n"
)


def test_secrets_of_the_job_are_known_wherever_they_are_repeated() -> None:
    job = make_job(
        command=["/bin/prog", "--password=from-the-command"],
        environment={"CDB_PASSWORD": "from-the-environment", "DATABASE_URL": "mysql://u:from%2Da-url@db/cdb"},
        inputs=[{"name": "a", "sources": ["root://eos//a?authz=from-a-source"]}],
        report={"url": "https://server/report", "token": "from-the-report"},
    )
    shown = redactor_for(job, {}).text(
        "said from-the-command from-the-environment from-a-url from-a-source from-the-report, from the job"
    )
    assert shown == f"said {'*' * 16} {'*' * 20} {'*' * 10} {'*' * 13} {'*' * 15}, from the job"


def test_a_proxy_is_known_by_the_lines_of_its_key_and_a_token_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "proxy").write_text(PROXY)
    (tmp_path / "token").write_text("opaque-token\n")
    around = {"X509_USER_PROXY": str(tmp_path / "proxy"), "BEARER_TOKEN_FILE": str(tmp_path / "token")}
    shown = redactor_for(None, around).text(f"[dump] {KEY_LINE} MIIBpublic opaque-token {tmp_path / 'token'}")
    assert KEY_LINE not in shown
    assert "MIIBpublic" in shown
    assert shown.endswith(f"{'*' * 12} {tmp_path / 'token'}")


def test_words_that_logs_use_stay_though_they_are_somebodys_password() -> None:
    shown = redactor_for(make_job(environment={"CDB_PASSWORD": "compass", "X_TOKEN": "tok"}), {})
    assert shown.text("/eos/experiment/compass tok CDB_PASSWORD=compass") == (
        "/eos/experiment/compass tok CDB_PASSWORD=*******"
    )


def test_the_path_of_a_secret_is_none() -> None:
    assert redactor_for(None, {"MY_TOKEN": "/etc/token", "PWD": "/pool/work"}).text("/etc/token /pool/work") == (
        "/etc/token /pool/work"
    )


def test_a_pipe_or_a_missing_file_in_the_place_of_a_proxy_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    around = {"X509_USER_PROXY": str(tmp_path / "pipe"), "BEARER_TOKEN_FILE": str(tmp_path / "missing")}
    assert redactor_for(None, around).text("nothing is known") == "nothing is known"
