"""The wall time of a job, divided over its phases so that enough is left to judge, stage out and report."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from pilotext.model.job import Job
from pilotext.model.verdict import Finding, Phase

FINISH_PART = 0.1
MAX_FINISH_S = 1800.0
REPORT_PART = 0.1
"""Of what follows the payload, for the logs and the report."""

MAX_STOP_PART = 0.2
"""Of the payload's time, for ending it: a short job still runs for a while."""

TAPE_PART = 0.5
"""Of the time until the payload is asked to end: a file that comes later leaves too little for its events."""

DEADLINE_VARIABLE = "PILOTEXT_DEADLINE"
"""Environment variable with the time at which the payload will be asked to end, in whole seconds since 1970."""


@dataclass(frozen=True)
class Budget:
    """One job's wall time from now on; every answer is None where the job has no limit on it.

    Moments are of the monotonic clock. The job ends at `end`; what follows the payload begins at `finish` at the
    latest; the payload is asked to end at `stop`, early enough for a soft stop and the grace before that.
    """

    job: Job
    began: float = field(default_factory=time.monotonic)
    began_at: float = field(default_factory=time.time)

    @property
    def end(self) -> float | None:
        wall_s = self.job.limits.wall_s
        return None if wall_s is None else self.began + wall_s

    @property
    def finish(self) -> float | None:
        return None if self.end is None else self.end - self._finish_s

    @property
    def stop(self) -> float | None:
        return None if self.finish is None else self.finish - self.soft_s - self.grace_s

    @property
    def soft_s(self) -> float:
        """Seconds between a soft stop and SIGTERM."""
        return self._scale * (self.job.soft_stop.wait_s if self.job.soft_stop else 0.0)

    @property
    def grace_s(self) -> float:
        """Seconds between SIGTERM and SIGKILL for the payload."""
        return self._scale * self.job.limits.grace_s

    @property
    def _scale(self) -> float:
        """A short job takes a smaller part of its time for ending the payload than it says."""
        wanted_s = self.job.limits.grace_s + (self.job.soft_stop.wait_s if self.job.soft_stop else 0.0)
        if self.finish is None or not wanted_s:
            return 1.0
        return min(1.0, MAX_STOP_PART * (self.finish - self.began) / wanted_s)

    @property
    def _finish_s(self) -> float:
        limits = self.job.limits
        wall_s = limits.wall_s or 0.0
        if limits.finish_s is not None:
            return min(limits.finish_s, wall_s)
        return min(FINISH_PART * wall_s, MAX_FINISH_S)

    def deadline(self, phase: Phase) -> float | None:
        """Return the moment at which this phase has to be over."""
        if self.end is None:
            return None
        if phase in ("prepare", "stage-in", "payload"):
            return self.finish
        if phase in ("classify", "report"):
            return self.end
        return self.end - REPORT_PART * self._finish_s

    def payload_s(self) -> float | None:
        """Return the seconds from now until the payload is asked to end, at least 0."""
        return None if self.stop is None else max(0.0, self.stop - time.monotonic())

    def tape_s(self) -> float:
        """Return the seconds from now that files on tape have to come to disk."""
        if self.stop is None:
            return math.inf
        return max(0.0, self.began + TAPE_PART * (self.stop - self.began) - time.monotonic())

    def environment(self) -> dict[str, str]:
        """Return the variables that the payload gets of it."""
        if self.stop is None:
            return {}
        return {DEADLINE_VARIABLE: str(int(self.began_at + self.stop - self.began))}

    def exceeded(self, phase: Phase) -> Finding:
        """Return the finding for a phase that is not over at its deadline."""
        at_s, wall_s = time.monotonic() - self.began, self.job.limits.wall_s or 0.0
        return Finding(
            name="limit-wall",
            text=f"{at_s:.1f} s of wall time were used up in phase {phase}, the job's limit is {wall_s:g}",
            phase=phase,
            fields={"limit": wall_s, "value": round(at_s, 1), "at_s": round(at_s, 1)},
        )
