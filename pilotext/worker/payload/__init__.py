"""Processes of a payload: started, followed and ended; and the files that hold their output."""

from __future__ import annotations

STDOUT_NAME = "payload_stdout.txt"
STDERR_NAME = "payload_stderr.txt"
