from __future__ import annotations

import os
import signal
import time

import pytest

from pilotext.worker.stop import OutOfTime, StopSwitch, ToldToStop, hold, release


def test_without_a_signal_nothing_happens() -> None:
    switch = StopSwitch()
    with switch.listening():
        switch.tick()
    assert switch.received is None


def test_a_signal_becomes_an_order_at_the_next_tick_and_only_there() -> None:
    switch = StopSwitch()
    with switch.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(ToldToStop, match="SIGTERM"):
            switch.tick()
        switch.tick()  # the clean-up is left in peace


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSwitch().listening():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_that_is_held_waits_until_somebody_listens() -> None:
    switch = StopSwitch()
    hold()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        assert switch.received is None
        with switch.listening(), pytest.raises(ToldToStop, match="SIGTERM"):
            switch.tick()
    finally:
        release()


def test_the_clock_gives_its_order_once() -> None:
    switch = StopSwitch()
    switch.deadline = time.monotonic() + 600
    switch.tick()
    switch.deadline = time.monotonic()
    with pytest.raises(OutOfTime):
        switch.tick()
    switch.tick()  # the clean-up is left in peace
