"""Passwords that are hashed in no time, for tests of pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pilotext.server.boot import boot

boot()

from django.test import override_settings  # noqa: E402  needs boot


@pytest.fixture
def quick_hashes() -> Iterator[None]:
    """Hash passwords in no time."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield
