from __future__ import annotations

from types import SimpleNamespace

import pytest

from pilotext.errors import ChecksumError
from pilotext.storage.backends.xrootd import sentence, storage_error

URL = "root://eos//eos/x"

OF_THE_CLIENT = [*range(1, 18), *range(101, 111), *range(201, 209), *range(301, 307), 401, 500]
"""Every error of XrdCl/XrdClStatus.hh but 400 and 402, which carry an errno of the server and of this machine."""

PERMANENT = {8, 9, 13, 14, 15, 204, 205, 304, 305}


def status(code: int, errno: int = 0, message: str = "[ERROR] it said no\n") -> SimpleNamespace:
    return SimpleNamespace(code=code, errno=errno, message=message)


@pytest.mark.parametrize(
    ("code", "errno", "text", "fault"),
    [
        (108, 0, "[FATAL] Connection error", "unreachable"),
        (2, 0, "[ERROR] Unknown error", "unreachable"),
        (3, 0, "[ERROR] Invalid operation", "unreachable"),
        (7, 32, "[ERROR] Internal error: broken pipe", "unreachable"),
        (9, 0, "[ERROR] Invalid arguments", "unsupported"),
        (10, 0, "[ERROR] Operation in progress", "unreachable"),
        (11, 0, "[FATAL] Initialization error", "unreachable"),
        (12, 9, "[ERROR] OS Error: bad file descriptor", "unreachable"),
        (12, 28, "[ERROR] OS Error: no space left on device", "no-space"),
        (12, 104, "[ERROR] OS Error: connection reset by peer", "unreachable"),
        (203, 0, "[FATAL] Login failed", "unreachable"),
        (207, 0, "[ERROR] Operation interrupted", "unreachable"),
        (103, 0, "[FATAL] Socket timeout", "stalled"),
        (206, 0, "[ERROR] Operation expired", "stalled"),
        (204, 0, "[FATAL] Auth failed: No protocols left to try", "credentials"),
        (305, 0, "[ERROR] CheckSum error", "checksum"),
        (14, 0, "[ERROR] Data error", "checksum"),
        (400, 3003, "already opened by 1 writer", "unreachable"),
        (400, 3004, "file is not open", "unreachable"),
        (400, 3006, "Invalid request; user not authenticated", "unreachable"),
        (400, 3000, "argument is invalid", "failed"),
        (400, 3099, "unheard of", "failed"),
        (400, 3033, "Too many checksum errors", "unreachable"),
        (400, 3009, "no space", "no-space"),
        (400, 3021, "quota exceeded", "no-space"),
        (400, 3010, "permission denied", "denied"),
        (400, 3011, "no such file", "not-found"),
        (400, 3018, "file exists", "exists"),
        (400, 3005, "file path marked read/only", "denied"),
        (400, 3005, "Unable to open - no disk replica exists", "offline"),
        (400, 3005, "anything else", "failed"),
        (402, 28, "no space left on device", "no-space"),
        (402, 3011, "no such file", "not-found"),
        (999, 0, "unheard of", "unreachable"),
    ],
)
def test_each_status_has_its_class(code: int, errno: int, text: str, fault: str) -> None:
    assert storage_error(status(code, errno, text), URL, reading=False).fault == fault


@pytest.mark.parametrize("code", OF_THE_CLIENT)
def test_each_code_of_the_client_that_is_not_known_to_stay_is_worth_another_try(code: int) -> None:
    error = storage_error(status(code), URL, reading=False)
    assert error.retryable is (code not in PERMANENT)
    assert isinstance(error, ChecksumError) is (code in (14, 305)), "those get one fresh copy instead"


def test_a_folder_is_missing_to_a_reader_and_in_the_way_of_a_writer() -> None:
    assert storage_error(status(400, 3016), URL, reading=True).fault == "not-found"
    assert storage_error(status(400, 3016), URL, reading=False).fault == "exists"


def test_an_error_of_this_machine_blames_the_local_file() -> None:
    assert storage_error(status(402, 28), URL, reading=True, local="/tmp/x").url == "file:///tmp/x"
    assert storage_error(status(400, 3009), URL, reading=False, local="/tmp/x").url == URL


def test_a_message_becomes_one_clean_line() -> None:
    said = "[ERROR] Server responded with an error: [3011] Unable to open /x;\n no such file\0\n"
    assert sentence(said) == "[3011] Unable to open /x; no such file"
    assert sentence("\0\n") == "no reason given"
