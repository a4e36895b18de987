from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.storage.urls import (
    canonical,
    is_folder,
    join,
    local_path,
    name_of,
    scheme_of,
    server_of,
    sibling,
    split_xrootd,
    why_malformed,
)

CASTOR = "root://castorpublic.cern.ch//castor/cern.ch/compass/cdr13040-275772.raw?svcClass=compasscdr&eos.app=x"


@pytest.mark.parametrize(
    "url",
    [
        CASTOR,
        "root://127.0.0.1:1094//eos/compass/",
        "root://[::1]:1094//eos",
        "roots://pilot@eos.cern.ch//eos/x y#z%",
        "file:///tmp/with space/100%.raw",
        "file:/tmp/a.raw",
        "file://localhost/tmp/a.raw",
        "memory://anything",
    ],
)
def test_well_formed(url: str) -> None:
    assert why_malformed(url) == ""


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("root:////eos/compass", "needs a host"),
        ("root://bad_host//eos", "needs a host"),
        ("root://eos.cern.ch:99999//eos", "no port 99999"),
        ("root://eos.cern.ch/eos/compass", "double slash"),
        ("root://eos.cern.ch", "double slash"),
        ("root://eos.cern.ch///", "double slash"),
        ("file://relative/path", "three slashes"),
        ("file:///", "three slashes"),
        ("file:////x", "three slashes"),
        ("file:/", "three slashes"),
        ("file://localhost/", "three slashes"),
        ("file://elsewhere/tmp/a.raw", "three slashes"),
        ("root://eos.cern.ch//eos/two\nlines", "control character"),
        ("root://eos.cern.ch//eos/x?authz=Bearer%20abc", "BEARER_TOKEN_FILE"),
        ("root://eos.cern.ch//eos/x?a=b&access_token=abc", "BEARER_TOKEN_FILE"),
    ],
)
def test_malformed(url: str, complaint: str) -> None:
    assert complaint in why_malformed(url)


def test_the_scheme_is_in_lower_case_or_empty() -> None:
    assert scheme_of("ROOT://x//y") == "root"
    assert scheme_of("/eos/compass/x") == scheme_of("c:x") == scheme_of("c:/x") == ""


@pytest.mark.parametrize("url", ["file:///a/b c", "file:/a/b c", "FILE:/a/b c", "file://localhost/a/b c"])
def test_every_form_of_a_file_url_has_the_same_scheme_and_path(url: str) -> None:
    assert scheme_of(url) == "file"
    assert local_path(url) == Path("/a/b c")
    assert local_path(join(url, "x?")) == Path("/a/b c/x?")


def test_an_xrootd_url_splits_into_server_and_path() -> None:
    assert split_xrootd(CASTOR) == ("root://castorpublic.cern.ch", CASTOR[CASTOR.index("//castor/") + 1 :])
    assert split_xrootd("root://u@[::1]:1094//a/b") == ("root://u@[::1]:1094", "/a/b")
    with pytest.raises(ValueError, match="not an XRootD URL"):
        split_xrootd("file:///a/b")


def test_names_join_folders_before_the_opaque_part() -> None:
    assert join("root://h//eos/?svcClass=a/b", "x.root") == "root://h//eos/x.root?svcClass=a/b"
    assert join("file:///a/b/", "what?") == "file:///a/b/what?"


def test_a_sibling_lies_in_the_same_folder() -> None:
    assert sibling("root://h//eos/x.root?a=/b/", ".x.part") == "root://h//eos/.x.part?a=/b/"
    assert sibling("file:///a?b/c", "d") == "file:///a?b/d"


def test_the_name_is_what_stands_behind_the_last_slash() -> None:
    assert name_of("root://h//eos/x.root?a=/b") == "x.root"
    assert name_of("file:///a/what?") == "what?"


@pytest.mark.parametrize(
    ("url", "folder"), [("root://h//a/?x=y", True), ("root://h//a?x=/", False), ("file:///a/", True)]
)
def test_a_folder_ends_in_a_slash_before_the_opaque_part(url: str, folder: bool) -> None:
    assert is_folder(url) is folder


def test_what_has_to_answer_is_the_server_or_the_scheme() -> None:
    assert server_of("root://eos.cern.ch:1094//eos/x?svcClass=default") == "root://eos.cern.ch:1094"
    assert server_of("file:///eos/x") == "file"


@pytest.mark.parametrize("server", ["eos.cern.ch", "EOS.cern.ch.", "eos.cern.ch:1094", "u@eos.cern.ch.:01094"])
def test_a_host_with_the_dot_of_the_root_domain_is_the_same_host(server: str) -> None:
    assert canonical(f"root://{server}//eos/x") == canonical("root://eos.cern.ch//eos/x")


@pytest.mark.parametrize("server", ["eos.cern.ch.evil.org", "eos.cern.ch.:1095", "eos.cern"])
def test_another_host_or_port_is_another_name(server: str) -> None:
    assert canonical(f"root://{server}//eos/x") != canonical("root://eos.cern.ch//eos/x")
    assert canonical("root://h//eos/x.") != canonical("root://h//eos/x"), "the dots of a path are its own"
