"""Number of batch jobs to submit now: a pure function of what the batch system and the server have answered."""

from __future__ import annotations

from dataclasses import dataclass

from pilotext.api.schemas.factories import EndedBatchJob
from pilotext.engines.settings import LabelSettings
from pilotext.formatting import counted_words

FIRST_PAUSE_S, MAX_PAUSE_S = 60.0, 3600.0


@dataclass(frozen=True)
class Situation:
    """Facts at one point in time; None is an answer that did not come, which is never the same as 0."""

    queued: int | None
    """Batch jobs of this label that wait in the batch system."""
    running: int | None
    waiting: int | None
    """Jobs that the server could give out at the site now."""
    queued_elsewhere: int = 0
    """Jobs that queued agents of other labels for the same site will take."""
    hold: str = ""
    """Reason for which the site gets no jobs: it is closed, or a breaker holds all of it."""
    pause_s: float = 0.0
    """Rest of the pause after submissions that failed."""
    trouble: str = ""
    """Reason of an answer that did not come."""
    agents: tuple[str, ...] | None = None
    """Names of the batch jobs that run, for the report."""
    ended: tuple[EndedBatchJob, ...] = ()
    """Batch jobs that have ended lately, for the report."""


@dataclass(frozen=True)
class FactoryDecision:
    """Number of batch jobs to submit, and the reason if it is none."""

    submit: int
    why: str = ""


def decide(label: LabelSettings, now: Situation) -> FactoryDecision:
    """Return how many batch jobs of a label are submitted in this cycle."""
    if now.queued is None or now.running is None:
        return FactoryDecision(0, f"the number of batch jobs is unknown: {now.trouble}")
    if now.waiting is None:
        return FactoryDecision(0, f"the number of waiting jobs is unknown: {now.trouble}")
    if now.hold:
        return FactoryDecision(0, now.hold)
    if now.pause_s > 0:
        return FactoryDecision(0, "a pause after submissions that failed")
    needed = -(-(now.waiting - now.queued_elsewhere) // label.slots)
    rooms = {
        "no job waits for another agent": needed - now.queued,
        f"{counted_words(label.max_jobs, 'batch job', 'is')} queued or running, the most allowed": (
            label.max_jobs - now.queued - now.running
        ),
        f"{counted_words(label.max_queued, 'batch job', 'is')} queued, the most allowed": label.max_queued - now.queued,
    }
    why, room = min(rooms.items(), key=lambda each: each[1])
    return FactoryDecision(min(room, label.burst)) if room > 0 else FactoryDecision(0, why)


def pause_after(failures: int) -> float:
    """Return the pause in seconds after so many cycles in a row whose submissions failed."""
    return min(FIRST_PAUSE_S * 2.0 ** (min(failures, 20) - 1), MAX_PAUSE_S) if failures else 0.0
