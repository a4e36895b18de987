"""Summary of a report for people, in a few plain lines: they may be read in the log of a pilot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pilotext.cli.tables import table
from pilotext.model.report import Report
from pilotext.model.verdict import Evidence
from pilotext.sanitize import one_line


def render(report: Report) -> str:
    """Return the summary of a report, without a newline at its end."""
    parts = [
        one_line(f"{report.job.type}, task {report.job.task}, job {report.job.job}, attempt {report.job.attempt}"),
        table(("phase", "outcome", "seconds"), _phase_rows(report)),
    ]
    if report.inputs or report.outputs or report.log:
        parts.append(table(("file", "bytes", "adler32", "where"), _file_rows(report)))
    if report.verdict.counters:
        numbers = (f"{name} {value}" for name, value in sorted(report.verdict.counters.items()))
        parts.append("counters: " + one_line(", ".join(numbers)))
    parts.append("\n".join(map(one_line, _verdict_lines(report))))
    parts.append(table(("files", ""), report.files.items()))
    return "\n\n".join(parts)


def _phase_rows(report: Report) -> Iterable[Sequence[str]]:
    for phase in report.phases:
        yield phase.name, phase.outcome, "-" if phase.seconds is None else f"{phase.seconds:.3f}"


def _file_rows(report: Report) -> Iterable[Sequence[str]]:
    logs = () if report.log is None else (report.log,)
    for direction, transfers in (("from", report.inputs), ("to", report.outputs), ("to", logs)):
        for file in transfers:
            yield file.name, str(file.size), file.adler32, f"{direction} {file.url}"


def _verdict_lines(report: Report) -> Iterable[str]:
    verdict = report.verdict
    yield f"verdict: {verdict.verdict}"
    if verdict.verdict != "success":
        yield f"code:    {verdict.code} ({verdict.number}) {verdict.title}"
        yield f"cause:   {verdict.cause}"
        yield f"action:  {verdict.action}"
        for evidence in verdict.evidence[:1]:
            yield f"line:    {_where(evidence)}: {evidence.text.strip()}"
        if verdict.remedy:
            yield f"advice:  {verdict.remedy}"
    for match in verdict.also:
        if match.action == "note" and match.evidence:
            yield f"note:    {match.rule} ({match.count}): {match.evidence[0].text.strip()}"
    yield f"exit:    {report.exit_status}"


def _where(evidence: Evidence) -> str:
    return f"{evidence.stream}:{evidence.line}" if evidence.line else evidence.stream
