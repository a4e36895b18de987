"""Transfers in a child process, which can be ended when a storage client hangs."""

from pilotext.storage.transfer.mover import ChildMover, InProcessMover, Mover, no_tick, pause
from pilotext.storage.transfer.renewal import with_credentials

__all__ = ["ChildMover", "InProcessMover", "Mover", "no_tick", "pause", "with_credentials"]
