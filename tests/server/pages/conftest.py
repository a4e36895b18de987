"""Fixtures of the tests of pages: passwords that are hashed in no time, a job in manual check."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pilotext.server.boot import boot

boot()

from django.test import override_settings  # noqa: E402  needs boot

from tests.server.support import fail, leased, submit, the_job  # noqa: E402


@pytest.fixture
def quick_hashes() -> Iterator[None]:
    """Hash passwords in no time."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture
def failed_job() -> int:
    """A job in manual check whose last attempt has failed."""
    submit()
    fail(leased(), "calibration", "manual-check")
    assert the_job().state == "manual"
    return the_job().pk
