"""Builder of a job's report: what is known of the job so far, on disk at every moment."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

import pilotext
from pilotext.classify import Case, Matches, decide_verdict, provisional_verdict
from pilotext.model.codes import Exit
from pilotext.model.job import Job, JobIdentity
from pilotext.model.log_index import STDERR_NAME, STDOUT_NAME
from pilotext.model.report import Kept, PhaseRecord, Report, StepRecord, Transfer, Try, Usage
from pilotext.model.verdict import ExitStatus, Finding, Phase, Verdict
from pilotext.redaction import redactor_for
from pilotext.rules.schema import RuleSet
from pilotext.worker import report_files as report

EXIT_OF_PHASE: dict[Phase, Exit] = {
    "prepare": Exit.STAGE_IN_FAILED,
    "stage-in": Exit.STAGE_IN_FAILED,
    "payload": Exit.PAYLOAD_FAILED,
    "classify": Exit.PAYLOAD_FAILED,
    "validate": Exit.VALIDATION_FAILED,
    "stage-out": Exit.STAGE_OUT_FAILED,
    "report": Exit.INTERNAL,
}
STOPPING_CAUSES = ("killed", "evicted", "limit")


class ReportBuilder:
    """The growing record of one job; every change of phase is written out with the verdict that holds until the next.

    Until the job has ended, that verdict is the one of the finding `wrapper-died`: if nothing else is ever written, it
    is true.
    """

    def __init__(
        self,
        job: Job,
        directory: Path,
        ruleset: RuleSet,
        warn: Callable[[str], None],
        tell: Callable[[Report], None] | None = None,
    ) -> None:
        self.warn = warn
        self.tell = tell
        """Gets every report that is made, after it was written."""
        self.job = job
        self.directory = directory
        self.ruleset = ruleset
        self.started = time.time()
        self.phase: Phase = "prepare"
        self.phases: list[PhaseRecord] = []
        self.findings: list[Finding] = []
        self.matches = Matches()
        self.counters: dict[str, int | float] = {}
        self.exit: ExitStatus | None = None
        self.steps: tuple[StepRecord, ...] = ()
        self.inputs: tuple[Transfer, ...] = ()
        self.outputs: tuple[Transfer, ...] = ()
        self.log: Transfer | None = None
        self.tries: tuple[Try, ...] = ()
        self.usage = Usage()
        self.progress: dict[str, int | float] = {}
        """Numbers that say how far the job is, in the reports until it has ended."""
        self.redactor = redactor_for(job, os.environ)
        self.kept: Kept | None = None
        self.written = False
        """Whether the report on disk is the last one that was made."""
        self._reserve = report.Reserve(directory)
        self._reserve.take()

    def close(self) -> None:
        self._reserve.give_back()

    def enter(self, phase: Phase) -> None:
        """Begin a phase, and say on disk that the job is in it."""
        self.begin(phase)
        self.write_provisional()

    def begin(self, phase: Phase) -> None:
        """Begin a phase that leaves the report on disk as it is."""
        self.phase = phase
        self.phases.append(PhaseRecord(name=phase, started=time.time()))

    def leave(self, *, well: bool) -> None:
        """End the current phase."""
        last = self.phases[-1]
        self.phases[-1] = PhaseRecord(
            name=last.name,
            started=last.started,
            seconds=round(time.time() - last.started, 3),
            outcome="done" if well else "failed",
        )

    def found(self, *findings: Finding) -> None:
        self.findings.extend(findings)

    def failed(self, findings: Sequence[Finding]) -> bool:
        """Whether one of these findings is more than a note."""
        rules = [self.ruleset.for_finding(finding.name) for finding in findings]
        return any(rule is None or rule.text.action != "note" for rule in rules)

    def verdict(self) -> Verdict:
        """The verdict by everything known now."""
        case = Case(
            kind=self.job.kind,
            job_type=self.job.type,
            exit=self.exit,
            findings=tuple(self.findings),
            workdir=self.directory,
            extra_counters=self.counters,
            software=self.job.software,
            verified=bool(self.job.outputs) or self.job.law is not None,
        )
        return decide_verdict(self.ruleset, self.matches, case)

    def write_provisional(self) -> None:
        died = Finding(
            name="wrapper-died",
            text=f"the wrapper ended without a final report in phase {self.phase}",
            phase=self.phase,
            fields={"phase": self.phase},
        )
        decided = [finding for finding in self.findings if self.failed([finding])]
        verdict = provisional_verdict(self.ruleset, decided[0] if decided else died)
        self._write("running", replace(verdict, counters={**verdict.counters, **self.progress}))

    def write_final(self) -> Report:
        """Write the report of the ended job."""
        verdict = self.verdict()
        return self._write("done" if verdict.verdict == "success" else "failed", verdict)

    def success_if_published(self) -> Report | None:
        """Return the report that holds once the outputs are published; None if the job is not a success even then."""
        verdict = self.verdict()
        return None if verdict.verdict != "success" else self._record("done", verdict)

    def _write(self, state: Literal["running", "done", "failed"], verdict: Verdict) -> Report:
        record = self._record(state, verdict)
        self.written = self._save(record)
        if self.tell is not None:
            self.tell(record)
        return record

    def _record(self, state: Literal["running", "done", "failed"], verdict: Verdict) -> Report:
        record = Report(
            pilotext=pilotext.__version__,
            job=JobIdentity.of(self.job),
            state=state,
            phase=self.phase,
            exit_status=int(self.exit_status(verdict)),
            verdict=verdict,
            started=self.started,
            ended=None if state == "running" else time.time(),
            host=socket.gethostname(),
            payload=self.exit,
            steps=self.steps,
            phases=tuple(self.phases),
            inputs=self.inputs,
            outputs=self.outputs,
            log=self.log,
            tries=self.tries,
            findings=tuple(self.findings),
            usage=self.usage,
            files={
                "work directory": str(self.directory),
                "stdout": str(self.directory / STDOUT_NAME),
                "stderr": str(self.directory / STDERR_NAME),
                "report": str(self.directory / report.REPORT_NAME),
            },
            kept=self.kept,
        )
        return report.fit_to_travel(record, self.redactor)

    def _save(self, record: Report) -> bool:
        """Write the files, if need be in the room that was kept for that."""
        for last_try in (False, True):
            try:
                report.write(record, self.directory)
            except OSError as error:
                if last_try:  # the report of the phase before stays there, whole
                    self.warn(f"{self.directory}: the report there is not up to date: {error.strerror}")
                self._reserve.give_back()
            else:
                return True
        return False

    def exit_status(self, verdict: Verdict) -> Exit:
        """The exit status of `pilotext run` for a verdict: which phase failed, or that the job was stopped."""
        if verdict.verdict == "success":
            return Exit.SUCCESS
        if verdict.cause == "internal":
            return Exit.INTERNAL
        elected = next((finding for finding in self.findings if self._speaks_for(finding, verdict)), None)
        stopped = elected is not None and elected.name.startswith(("limit-", "out-of-memory"))
        if verdict.cause in STOPPING_CAUSES or stopped:
            return Exit.STOPPED
        return EXIT_OF_PHASE[elected.phase] if elected is not None else Exit.PAYLOAD_FAILED

    def _speaks_for(self, finding: Finding, verdict: Verdict) -> bool:
        rule = self.ruleset.for_finding(finding.name)
        return rule is not None and rule.id == verdict.rule
