"""Processes of this machine, by the folder that they work in."""

from __future__ import annotations

from pathlib import Path

import psutil


def processes_below(folder: Path) -> list[psutil.Process]:
    """Living processes that work somewhere in a folder, those that are stopped or traced too."""
    return [process for process in psutil.process_iter() if _works_below(process, folder.resolve())]


def _works_below(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder)
    except psutil.Error:  # it has ended, or is another user's
        return False
    except OSError:  # psutil passes ENAMETOOLONG on, for a process of another test far down in a deep tree
        return False
