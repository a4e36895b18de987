from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from pilotext.worker.stop_signals import OutOfTime, StopSwitch, ToldToStop


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
from pilotext.worker.stop_signals import StopSwitch, ToldToStop, hold, release
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


def test_a_signal_that_comes_after_the_listening_waits_again_if_signals_were_held() -> None:
    script = HELD.format(listen=LISTEN + "os.kill(os.getpid(), signal.SIGTERM)\nprint('ended by itself')")
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "SIGTERM\nended by itself\n")


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


EVERY_SIGNAL = """
import os, signal
from pilotext.worker.stop_signals import FAULTS, STOP_SIGNALS, SUSPENSIONS, StopSwitch, ToldToStop
for number in sorted({*FAULTS, *STOP_SIGNALS} - {signal.SIGPIPE, signal.SIGXFSZ}):  # Python ignores these two
    switch = StopSwitch()
    with switch.listening():
        os.kill(os.getpid(), number)
        try:
            switch.tick()
            raise SystemExit(f"no order by {number}")
        except ToldToStop as order:
            print(int(number), order.signal_name)
        os.kill(os.getpid(), number)  # a second one changes nothing
        switch.tick()
        for harmless in (*SUSPENSIONS, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH):
            os.kill(os.getpid(), harmless)
"""


def test_every_signal_that_is_deadly_becomes_an_order() -> None:
    ended = subprocess.run([sys.executable, "-c", EVERY_SIGNAL], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    names = dict(line.split() for line in ended.stdout.splitlines())
    assert {names["11"], names["14"], names["29"], names["34"]} == {"SIGSEGV", "SIGALRM", "SIGIO", "SIGRTMIN"}
    never = {signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT}
    never |= {signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGPIPE, signal.SIGXFSZ}
    assert {int(number) for number in names} == {int(number) for number in signal.valid_signals() - never}


@pytest.mark.parametrize("fault", ["os.abort()", "import ctypes; ctypes.string_at(0)"])
def test_a_real_fault_still_ends_the_process(fault: str) -> None:
    """It must not be held back, or it happens again for ever."""
    script = (
        f"from pilotext.worker.stop_signals import StopSwitch\nimport os\nwith StopSwitch().listening():\n    {fault}"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert ended.returncode in (-signal.SIGABRT, -signal.SIGSEGV)
