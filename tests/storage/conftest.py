from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pilotext.storage import registry
from pilotext.storage.memory import MemoryStorage
from pilotext.storage.retry import Policy
from tests.support.xrootd_server import XrdServer, serving

pytest.register_assert_rewrite("pilotext.storage.conformance")


@pytest.fixture
def server() -> Iterator[XrdServer]:
    with serving() as running:
        yield running


@pytest.fixture
def memory() -> Iterator[MemoryStorage]:
    """The storage behind memory:// URLs, empty."""
    storage = MemoryStorage()
    registry.register("memory", storage)
    yield storage
    registry.unregister("memory")


@pytest.fixture
def impatient() -> Policy:
    """Three tries without a wait."""
    return Policy(tries=3, first_wait_s=0, poll_s=0)


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """The system refuses larger files to this process and its children, as a full disk does; works for any user."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> bool:
    """True as soon as the condition holds; the limit only ends a test that has failed anyway."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
