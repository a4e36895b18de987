"""Context that the steps of one job share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pilotext.model.job import Job
from pilotext.model.verdict import Finding
from pilotext.rules.schema import RuleSet
from pilotext.storage.retry import Policy
from pilotext.storage.transfer import Mover
from pilotext.worker.budget import Budget
from pilotext.worker.delivery import Delivery
from pilotext.worker.kept import Keeping
from pilotext.worker.permission import Ask
from pilotext.worker.report_builder import ReportBuilder
from pilotext.worker.stop_signals import StopSwitch


@dataclass(frozen=True)
class JobContext:
    """One job, and everything that its steps need: they take this, and write into the report what they learn."""

    job: Job
    directory: Path
    ruleset: RuleSet
    mover: Mover
    policy: Policy
    switch: StopSwitch
    report: ReportBuilder
    budget: Budget
    delivery: Delivery
    keeping: Keeping | None = None
    """Folder for outputs whose storage is away."""
    ask: Ask | None = None
    """Asks for the permission to publish; None for a job without a server."""
    silent: set[str] = field(default_factory=set)
    """Servers that a failed step has given up for being away, as `urls.server_of` names them."""

    def finding(self, name: str, text: str, **fields: str | int | float) -> Finding:
        """A finding of the phase that the job is in."""
        return Finding(name=name, text=text, phase=self.report.phase, fields=fields)

    def note_order(self, signal_name: str) -> None:
        """Note, once, that somebody ended the job.

        SIGTERM is what a batch system sends that wants its node back. An order of our own server arrives as SIGTERM
        too; the server knows of that and ignores this finding then.
        """
        if not any(finding.name in ("evicted", "told-to-stop") for finding in self.report.findings):
            text = f"{signal_name} came in phase {self.report.phase}"
            name = "evicted" if signal_name == "SIGTERM" else "told-to-stop"
            self.report.found(self.finding(name, text, signal=signal_name))
