from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from pilotext.worker.stop import OutOfTime, StopSwitch, ToldToStop


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


HELD = """
import os, signal
from pilotext.worker.stop import StopSwitch, ToldToStop, hold, release
hold()
os.kill(os.getpid(), signal.SIGTERM)
switch = StopSwitch()
assert switch.received is None
{listen}
"""
LISTEN = """
with switch.listening():
    try:
        switch.tick()
    except ToldToStop as order:
        print(order.signal_name)
"""


def test_a_signal_that_is_held_waits_until_somebody_listens() -> None:
    """In a process of its own: one with several threads would let another of them take the signal."""
    command = [sys.executable, "-c", HELD.format(listen=LISTEN)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "SIGTERM\n")


def test_a_signal_that_is_released_does_what_it_always_does() -> None:
    command = [sys.executable, "-c", HELD.format(listen="release()")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGTERM


def test_the_clock_gives_its_order_once() -> None:
    switch = StopSwitch()
    switch.deadline = time.monotonic() + 600
    switch.tick()
    switch.deadline = time.monotonic()
    with pytest.raises(OutOfTime):
        switch.tick()
    switch.tick()  # the clean-up is left in peace
