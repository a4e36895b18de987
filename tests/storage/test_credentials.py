"""Credentials of this machine: where they are sought, and when they end."""

from __future__ import annotations

import base64
import json
import math
import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.errors import UsageError
from pilotext.storage.credentials import (
    Credential,
    CredentialKind,
    CredentialSettings,
    credential_settings,
    find_credential,
    told_end,
)

DAY_S = 86_400


def token(claims: object) -> str:
    """A JSON Web Token with this content; nothing here looks at its head and signature."""
    content = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{content}.c2ln"


def nested() -> str:
    """The content of a token that is nested too deeply to be read."""
    return base64.urlsafe_b64encode(b'{"x":' * 3000 + b"1" + b"}" * 3000).decode().rstrip("=")


def certificate(folder: Path, name: str, days: int) -> bytes:
    words = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days), "-subj", f"/CN={name}")
    subprocess.run(
        ["openssl", *words, "-keyout", f"{name}.key", "-out", f"{name}.pem"],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    return (folder / f"{name}.pem").read_bytes() + (folder / f"{name}.key").read_bytes()


def test_a_proxy_ends_with_the_first_of_its_certificates(tmp_path: Path) -> None:
    path = tmp_path / "proxy"
    path.write_bytes(certificate(tmp_path, "proxy", 3) + certificate(tmp_path, "user", 1))
    found = find_credential("proxy", {"X509_USER_PROXY": str(path)})
    assert found.path == str(path)
    assert found.left_s(time.time()) == pytest.approx(DAY_S, abs=300)


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff" * 50]
)
def test_a_file_without_a_certificate_has_nothing_left(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "proxy").write_bytes(content)
    found = find_credential("proxy", {"X509_USER_PROXY": str(tmp_path / "proxy")})
    assert (found.ends, found.left_s(0.0)) == (None, 0.0)


@pytest.mark.parametrize("exp", [2_000_000_000, 2_000_000_000.0, "2000000000"])
def test_a_token_ends_when_it_says(exp: object, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token({"exp": exp, "sub": "compass"}) + "\n")
    assert find_credential("token", {"BEARER_TOKEN_FILE": str(tmp_path / "token")}).ends == 2_000_000_000


@pytest.mark.parametrize("content", ["opaque", "a.b.c", token({"sub": "x"}), f"e30.{nested()}.c2ln"])
def test_a_token_that_names_no_end_has_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(content)
    assert find_credential("token", {"BEARER_TOKEN_FILE": str(tmp_path / "token")}).ends == math.inf


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" \n",
        b"\xff\xfe",
        b"one two",
        b"a" * 1_000_001,
        token({"exp": 1e300}).encode(),
        token({"exp": 2_000_000_000_000}).encode(),
        token({"exp": -1}).encode(),
        token({"exp": "soon"}).encode(),
        token([1]).encode(),
    ],
)
def test_a_file_that_holds_no_token_has_nothing_left(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(content)
    assert find_credential("token", {"BEARER_TOKEN_FILE": str(tmp_path / "token")}).ends is None


@given(st.binary(max_size=300))
def test_whatever_a_file_holds_a_question_is_answered(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "credential"
    path.write_bytes(content)
    for found in (
        find_credential("proxy", {"X509_USER_PROXY": str(path)}),
        find_credential("token", {"BEARER_TOKEN_FILE": str(path)}),
    ):
        assert found.left_s(time.time()) >= 0
        assert told_end(found, time.time())


def test_a_token_in_the_environment_comes_before_a_file() -> None:
    found = find_credential("token", {"BEARER_TOKEN": token({"exp": 2_000_000_000}), "BEARER_TOKEN_FILE": "/no/file"})
    assert found == Credential("token", "BEARER_TOKEN", 2_000_000_000)


def test_a_proxy_that_was_written_by_half_or_begins_later_has_nothing_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = certificate(tmp_path, "proxy", 1)
    path = tmp_path / "whole"
    path.write_bytes(good + good[: len(good) // 4])
    assert find_credential("proxy", {"X509_USER_PROXY": str(path)}).ends is None
    path.write_bytes(good)
    assert find_credential("proxy", {"X509_USER_PROXY": str(path)}).ends is not None
    monkeypatch.setattr("pilotext.storage.credentials.time.time", lambda: 1_700_000_000.0)
    assert find_credential("proxy", {"X509_USER_PROXY": str(path)}).ends is None


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["proxy", "token"])
def test_a_pipe_or_a_folder_in_the_place_of_a_credential_holds_nothing_up(kind: CredentialKind, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        named = {"X509_USER_PROXY": str(path), "BEARER_TOKEN_FILE": str(path)}
        assert find_credential(kind, named).ends is None


def test_a_credential_is_sought_where_the_clients_of_the_grid_seek_it() -> None:
    user = os.getuid()
    assert find_credential("proxy", {}).path == f"/tmp/x509up_u{user}"
    assert find_credential("token", {}).path == f"/tmp/bt_u{user}"
    assert find_credential("token", {"XDG_RUNTIME_DIR": "/run/user/7"}).path == f"/run/user/7/bt_u{user}"
    assert find_credential("token", {"XDG_RUNTIME_DIR": "/run", "BEARER_TOKEN_FILE": "/t"}).path == "/t"
    odd = find_credential("token", {"BEARER_TOKEN_FILE": "BEARER_TOKEN"})
    assert odd == Credential("token", "BEARER_TOKEN", None), "a file of that name, which is not there"


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (None, "is missing or cannot be read"),
        (math.inf, "names no end"),
        (1_000.0, "has ended at 1970-01-01 00:16 UTC"),
        (1_000_000_180.0, "ends in 0:03:00 h, at 2001-09-09 01:49 UTC"),
    ],
)
def test_the_end_is_told(ends: float | None, words: str) -> None:
    assert told_end(Credential("proxy", "/p", ends), 1_000_000_000.0) == words


def test_kinds_and_the_command_that_renews_them_come_from_the_environment() -> None:
    told = {
        "PILOTEXT_CREDENTIAL_KINDS": "proxy, token, proxy",
        "PILOTEXT_CREDENTIAL_REFRESH": "voms-proxy-init -voms 'vo na58'",
    }
    assert credential_settings(told) == CredentialSettings(("proxy", "token"), ("voms-proxy-init", "-voms", "vo na58"))
    assert credential_settings({}) == CredentialSettings()


@pytest.mark.parametrize(
    ("kinds", "refresh", "said"),
    [
        ("proxxy", "", "names 'proxxy', which is no kind of credential. Write one or several of proxy, token"),
        ("proxy", "renew 'it", "is no command: No closing quotation"),
        ("", "renew", "does not say what it renews"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(kinds: str, refresh: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        credential_settings({"PILOTEXT_CREDENTIAL_KINDS": kinds, "PILOTEXT_CREDENTIAL_REFRESH": refresh})
    assert said in str(caught.value)
