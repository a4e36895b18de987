from __future__ import annotations

import errno
import os

import pytest

from pilotext.errors import STORAGE_ERRORS
from pilotext.storage.os_errors import translated


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (errno.ENOENT, "not-found"),
        (errno.EACCES, "denied"),
        (errno.EROFS, "denied"),
        (errno.ENOSPC, "no-space"),
        (errno.EDQUOT, "no-space"),
        (errno.EISDIR, "exists"),
        (errno.EIO, "unreachable"),
        (errno.ESTALE, "unreachable"),
        (errno.EXDEV, "unsupported"),
        (errno.ELOOP, "failed"),
    ],
)
def test_each_error_of_the_system_has_its_class(number: int, fault: str) -> None:
    with pytest.raises(STORAGE_ERRORS[fault]) as caught, translated("file:///x"):
        raise OSError(number, os.strerror(number))
    assert caught.value.fault == fault
    assert str(caught.value) == f"file:///x: {os.strerror(number)}"


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(KeyError), translated("file:///x"):
        raise KeyError("not ours")
