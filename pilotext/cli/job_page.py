"""One job for people: what its attempts came to, the evidence, what was done to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pilotext.cli.summary import table
from pilotext.cli.tables import clock
from pilotext.managing import WorkItem
from pilotext.messages import JobPage
from pilotext.model import Evidence


def page_of(page: JobPage) -> str:
    """Everything about a job."""
    tries = [
        (str(each.number), each.state, each.site, each.node, each.code, each.cause, each.decision, each.diag)
        for each in page.attempts
    ]
    moves = [(clock(each.at), each.who, _move(each.before, each.after), each.why) for each in page.events]
    job = page.job
    head = f"job {job.job} of {job.task}: {job.file}, {job.state}" + (f", {job.assigned}" if job.assigned else "")
    parts = [head, table(("attempt", "state", "site", "node", "code", "cause", "decision", "diag"), tries)]
    if page.verdict is not None and page.verdict.verdict != "success":
        parts.append("\n".join(_evidence(page.verdict.evidence, page.verdict.remedy)))
    return "\n\n".join([*parts, table(("at", "who", "move", "why"), moves)])


def work_of(item: WorkItem) -> str:
    """A job that waits for a decision."""
    tries = f"{item.attempts} attempts, the last at {item.site} on {item.node or 'an unknown node'}"
    lines = [
        f"job {item.job} of {item.task}: {item.what} {item.run}-{item.chunk}, {item.file}",
        f"  since {clock(item.since)}, {tries}",
        f"  {item.code or '-'} {item.cause or '-'}: {item.diag}",
        *(f"  {line}" for line in _evidence(item.evidence, item.remedy)),
    ]
    if item.decision:
        lines.append(f"  decided: {item.decision}")
    if item.assigned or item.notes:
        lines.append(f"  looked into by {item.assigned or 'nobody'}, {item.notes} notes")
    return "\n".join(lines)


def _evidence(quotes: Iterable[Evidence], remedy: str) -> Iterator[str]:
    for quote in quotes:
        where = f"{quote.stream}:{quote.line}" if quote.line else quote.stream
        yield from (f"    {line}" for line in quote.before)
        yield from (f"{where}> {line}" for line in quote.text.split("\n"))
        yield from (f"    {line}" for line in quote.after)
    if remedy:
        yield f"advice: {remedy}"


def _move(before: str, after: str) -> str:
    return f"{before} -> {after}" if before != after else before
