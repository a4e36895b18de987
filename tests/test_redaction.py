"""What must not leave the node is made illegible, byte for byte; everything else stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pilotext import redaction as redact
from pilotext.redaction import MAX_TEXT_CHARACTERS, Redactor

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjb21wYXNzIn0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"
KEY_BODY = "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn0ygWyF8PbnGy\nAHB7TqU0Zq3c2VYqW0sKcxk1lQ==\n"
KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{KEY_BODY}-----END RSA PRIVATE KEY-----"

# What stands around a secret, and the secret.
SECRETS = [
    ("root://eos//eos/x?authz=", "zteos64:MDAwMDAx", "&xrd.wantprot=unix"),
    ("root://eos//eos/x?authz=Bearer%20", "abc.def-ghi", ""),
    ("root://eos//eos/x?xrd.gsiusrpxy=", "/tmp/x509up_u1000", ""),
    ("mysql://reader:", "pa55", "@db.cern.ch/cdb"),
    ("https://gitlab-ci-token:", "x", "@gitlab.cern.ch/compass"),
    ("Authorization: Bearer ", "abcdefghi", ""),
    ("> authorization: Basic ", "dXNlcjpwYXNz", ""),
    ("'Authorization': 'Bearer ", "abc-1", "', 'Accept': 'x'"),
    ("curl -H bearer ", "0123456789abcdef", ""),
    ("token is ", JWT, ""),
    ("export BEARER_TOKEN=", "abcd1234", ""),
    ('{"access_token": "', "abcdefgh", '", "expires_in": 3600}'),
    ("GET /x?token=", "abcd", "&y=1"),
    ("pilot --token ", "abcd1234", " --queue X"),
    ("MYSQL_PASSWORD='", "!top?", "'"),
    ("password: ", "hunter22", " for reader"),
    ("--password ", "x1", ""),
    ("AWS_SECRET_ACCESS_KEY=", "wJalrXUtnFEMI/K7MDENG", ""),
    ("key id ", "AKIAIOSFODNN7EXAMPLE", ""),
    ("s3 X-Amz-Signature=", "fe5f80f77d5fa3beca038a248ff027", "&x"),
    ("AWS_ACCESS_KEY_ID=", "id12", ""),
    ("'apiKey': '", "k1k2k3", "'"),
    ("passphrase: ", "open-up", ""),
    ("client_secret=", "s3cr3t", ""),
    ("Set-Cookie: ", "session=12345; HttpOnly", ""),
    ("0 u:xrootd g:xrootd n:k N:7 c:1 e:0 k:", "0123456789abcdef0123456789abcdef", ""),
]

BENIGN = [
    "ERROR 1045: Access denied for user 'reader'@'node' (using password: YES)",
    "BEARER_TOKEN_FILE=/tmp/bt_u1000",
    "bearer token expired",
    "Bearer authentication required",
    "SyntaxError: unexpected token: 'foo'",
    "rule files: expected a token = x",
    "root://user@eospublic.cern.ch//eos/experiment/compass/x.root",
    "root://eos.cern.ch:1094//eos/x?svcClass=compasscdr",
    "cwd=/pool/work PWD=/pool/work OLDPWD=/pool",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "** TLattice::TLattice:\a Cannot Allocate 132503040 Bytes in Memory!",
    '"signature": "0123456789abcdef"',
    "authorization: denied",
    "Asian Pacific secretariat: 12 members, passwords are never logged",
    "adler32 1805c7ad, sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "task dvcs2016P09t1 run 275772 chunk 12019 slot 0 PHAST 7",
    "X509_USER_PROXY=/tmp/x509up_u1000",
    "monkey: a keyword, passed: 12, the pass: event loop, tokens: 5",
]


@pytest.mark.parametrize(("before", "secret", "after"), SECRETS, ids=[before for before, _, _ in SECRETS])
def test_what_has_the_shape_of_a_secret_is_made_illegible_and_nothing_around_it(
    before: str, secret: str, after: str
) -> None:
    stars = "".join(letter if letter.isspace() else "*" for letter in secret)
    assert Redactor().text(f"{before}{secret}{after}\nnext line") == f"{before}{stars}{after}\nnext line"


@pytest.mark.parametrize("text", BENIGN)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_a_private_key_goes_line_by_line_and_what_is_around_it_stays() -> None:
    shown = Redactor().text(f"before\n{KEY}\nafter")
    assert "MII" not in shown
    assert "lQ==" not in shown
    assert shown.startswith("before\n-----BEGIN RSA PRIVATE KEY-----\n***")
    assert shown.endswith("*\n-----END RSA PRIVATE KEY-----\nafter")
    assert len(shown.splitlines()) == len(KEY.splitlines()) + 2


def test_a_private_key_without_an_end_is_hidden_and_the_log_behind_it_stays() -> None:
    shown = Redactor().text(f"-----BEGIN PRIVATE KEY-----\n{KEY_BODY}** (Fatal) next message")
    assert "MII" not in shown
    assert shown.endswith("** (Fatal) next message")


def test_a_known_value_goes_wherever_it_stands() -> None:
    assert (
        Redactor(["correct-horse"]).text("the correct-horse, and correct horses")
        == "the *************, and correct horses"
    )


def test_what_is_left_of_a_known_value_where_a_line_was_cut_goes_too() -> None:
    redactor = Redactor(["correct-horse-battery"])
    assert redactor.text("said correct-horse...") == "said *************..."
    assert redactor.text("[...] horse-battery is wrong") == "[...] ************* is wrong"
    assert redactor.text("corral of horses") == "corral of horses"


def test_a_key_in_the_lines_around_a_quoted_one_is_hidden() -> None:
    lines = KEY.splitlines()
    evidence = {"rule": "x", "before": ["a"], "text": lines[0], "after": lines[1:], "line": 7}
    shown = Redactor().plain(evidence)
    assert (shown["before"], shown["text"], shown["line"]) == (["a"], lines[0], 7)
    assert all(set(line) == {"*"} for line in shown["after"][:-1])
    assert len(shown["after"]) == len(lines) - 1


def test_names_that_others_look_up_stay_even_if_somebody_uses_them_as_a_password() -> None:
    plain = {"rule": "dvcs2016", "diag": "dvcs2016 is wrong", "job": {"task": "dvcs2016"}}
    shown = Redactor(["dvcs2016"]).plain(plain)
    assert shown == {"rule": "dvcs2016", "diag": "******** is wrong", "job": {"task": "dvcs2016"}}


def test_a_text_of_any_length_and_any_letters_becomes_one_that_can_travel() -> None:
    shown = Redactor().plain({"text": "x" * (MAX_TEXT_CHARACTERS + 1), "url": "file:///\udcff"})
    assert len(shown["text"]) == MAX_TEXT_CHARACTERS
    assert shown["url"] == "file:///\\udcff"


@given(
    st.text(st.characters(exclude_characters="s", exclude_categories=["Cs"])),
    st.text("0123456789!-ABC", min_size=6, max_size=40),
    st.text(st.characters(exclude_characters="s", exclude_categories=["Cs"])),
)
def test_a_known_value_never_shows_whatever_stands_around_it(before: str, value: str, after: str) -> None:
    secret = f"s{value}s"
    data = f"{before}{secret}{after}".encode()
    shown = Redactor([secret]).data(data)
    assert secret.encode() not in shown
    assert len(shown) == len(data), "positions stay true"


@given(
    st.lists(
        st.sampled_from([*(a + b + c for a, b, c in SECRETS), KEY, "correct-horse", "text\n", "\n", "é", *BENIGN])
    ),
    st.integers(1, 64),
    st.data(),
)
@example([KEY], 7, None)
def test_a_file_read_in_pieces_shows_the_same_as_read_at_once(
    parts: list[str], step: int, data: st.DataObject | None
) -> None:
    content = " ".join(parts).encode()
    start, end = 0, len(content)
    if data is not None:
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, len(content)))
    redactor = Redactor(["correct-horse"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redact, "STEP", step)
        shown = b"".join(redactor.pieces(lambda at, size: content[at : at + size], start, end))
    assert shown == redactor.data(content)[start:end]


def test_a_file_that_ends_early_is_read_as_far_as_it_goes() -> None:
    assert b"".join(Redactor().pieces(lambda at, size: b"abc"[at : at + size], 1, 100)) == b"bc"


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_any_plain_data_can_be_written_as_json(plain: object) -> None:
    json.dumps(Redactor(["correct-horse"]).plain(plain)).encode()
