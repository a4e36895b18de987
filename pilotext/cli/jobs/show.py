"""`pilotext jobs show`: the state of jobs, why they wait, their attempts with evidence, outputs and history."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from pilotext.api.schemas.attempts import AttemptRow, OutputRow
from pilotext.api.schemas.audit import AuditRow
from pilotext.api.schemas.jobs import InputRow, JobFacts, JobPage, JobRow
from pilotext.cli import connection
from pilotext.cli.formatting import fields, reasons, sentence
from pilotext.cli.jobs.choice import add_numbers
from pilotext.cli.output import say
from pilotext.cli.tables import write_json
from pilotext.formatting import bytes_of, clock, counted_words, duration
from pilotext.model.codes import Exit
from pilotext.model.verdict import Evidence
from pilotext.sanitize import one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_numbers(parser, required=True)
    connection.add_url(parser)
    connection.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    pages = [connection.page_of(options, f"/jobs/{job}") for job in options.job]
    client = connection.connect(options)
    found = [client.get(f"/api/v1/jobs/{job}", JobPage) for job in options.job]
    if options.url:
        say("\n".join(pages))
        return Exit.SUCCESS
    write_json(found) if options.json else say("\n\n".join(map(job_page, found)))
    for page in pages if not options.json else ():
        connection.tell_page(page)
    return Exit.SUCCESS


def job_page(page: JobPage) -> str:
    """Return everything about a job, in lines of at most 80 columns but for names that are longer."""
    parts = [_head(page), "\n".join(map(_input, page.inputs)), "\n".join(reasons(page.waits))]
    parts += map(_attempt, page.attempts)
    if page.verdict is not None and page.verdict.verdict != "success":
        parts.append("\n".join(evidence_lines(page.verdict.evidence, page.verdict.remedy)))
    parts += map(_output, page.outputs)
    parts.append("\n".join(map(_event, page.events)))
    return "\n\n".join(part for part in parts if part)


def _head(page: JobPage) -> str:
    job, facts = page.job, page.facts
    more = f" and {counted_words(len(page.inputs) - 1, 'more file')}" if page.inputs else ""
    head = sentence(f"job {job.job} of {job.task}: {job.file}{more}, {job.state}")
    rows: list[tuple[str, object]] = [
        ("assigned", job.assigned),
        ("what", ", ".join([job.product or job.type, *_place(job)])),
        ("tries", f"{job.attempts}, {job.charged} of them charged"),
    ]
    return "\n".join([head, fields([*rows, *(_facts(facts) if facts is not None else ())])])


def _place(job: JobRow) -> Iterator[str]:
    numbers = (("run", job.run), ("chunk", job.chunk))
    yield from (f"{name} {number}" for name, number in numbers if number is not None)


def _facts(facts: JobFacts) -> Iterator[tuple[str, object]]:
    yield "task", facts.task_state
    yield "priority", facts.priority
    yield "memory", "" if facts.memory_mb is None else f"{facts.memory_mb:g} MB for its next attempt"
    yield "input", " ".join(filter(None, [bytes_of(facts.size), facts.adler32 and f"adler32 {facts.adler32}"]))
    if facts.first_event is not None:
        events = counted_words(facts.catalogue_events or 0, "event")
        yield "range", f"{events} of the file, from number {facts.first_event} on"
    counts = (
        ("catalogue", facts.catalogue_events),
        ("processed", facts.processed_events),
        ("skipped", facts.skipped_events),
    )
    yield "events", ", ".join(f"{name} {number}" for name, number in counts if number is not None)
    yield "parameters", ", ".join(f"{name}={value}" for name, value in sorted(facts.parameters.items()))


def _input(row: InputRow) -> str:
    events = "" if row.events is None else counted_words(row.events, "event")
    facts = ", ".join(filter(None, [bytes_of(row.size), row.adler32 and f"adler32 {row.adler32}", events]))
    return sentence(f"reads {row.file}{facts and f': {facts}'}")


def _attempt(row: AttemptRow) -> str:
    where = f"{row.agent or 'nobody'} at {row.site} on {row.node or 'an unknown node'}"
    lasted = duration(row.ended - row.leased) if row.ended is not None else ""
    rows: list[tuple[str, object]] = [
        ("given out", f"{clock(row.leased)}, ended {clock(row.ended)}{f', {lasted}' if lasted else ''}"),
        ("verdict", " ".join(filter(None, [row.verdict, row.code, row.cause, row.action, row.rule]))),
        ("diag", row.diag),
        ("exit", row.exit_status),
    ]
    if (detail := row.detail) is not None:
        used = f"wall {duration(detail.wall_s)}, CPU {duration(detail.cpu_s)}, memory {detail.peak_memory_mb:.4g} MB"
        phases = ", ".join(
            f"{phase.name} {phase.outcome}{f' {duration(phase.seconds)}' if phase.seconds is not None else ''}"
            for phase in detail.phases
        )
        rows += [("payload", used), ("phases", phases), ("log", detail.log)]
    rows.append(("decision", f"{row.decision}{', charged' if row.charged else ''}"))
    return "\n".join([sentence(f"attempt {row.number}: {row.state}, {where}"), fields(rows)])


def _output(row: OutputRow) -> str:
    rows: list[tuple[str, object]] = [
        ("at", row.url),
        ("kept at", row.kept),
        ("size", f"{row.size} bytes, adler32 {row.adler32}"),
        ("events", row.events),
    ]
    return "\n".join([sentence(f"{row.kind} {row.name}: {row.state}, of attempt {row.attempt}"), fields(rows)])


def _event(row: AuditRow) -> str:
    return sentence(f"{clock(row.at)} {row.who}: {row.subject} {_move(row.before, row.after)}: {row.why}")


def evidence_lines(quotes: Iterable[Evidence], remedy: str) -> Iterator[str]:
    """Yield quoted lines of logs with their places, and the advice of the rule."""
    for quote in quotes:
        where = f"{quote.stream}:{quote.line}" if quote.line else quote.stream
        yield from (one_line(f"    {line}") for line in quote.before)
        yield from (one_line(f"{where}> {line}") for line in quote.text.split("\n"))
        yield from (one_line(f"    {line}") for line in quote.after)
    if remedy:
        yield one_line(f"advice: {remedy}")


def _move(before: str, after: str) -> str:
    return f"{before} -> {after}" if before != after else before
