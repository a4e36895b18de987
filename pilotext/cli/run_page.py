"""One run of a task, and one task, for people: what is there, and why it is not further."""

from __future__ import annotations

from collections.abc import Iterator

from pilotext.api.schemas.runs import ProductRow, RunEvents, RunPage
from pilotext.api.schemas.tasks import TaskPage
from pilotext.cli.paragraphs import bytes_of, fields, reasons, sentence
from pilotext.cli.tables import clock, counts


def run_page(page: RunPage) -> str:
    """Everything about a run, in lines of at most 80 columns but for names that are longer."""
    run = page.run
    rows: list[tuple[str, object]] = [
        ("jobs", counts(run.jobs)),
        ("events", events_of(run.events) if run.events is not None else ""),
    ]
    parts = [f"{sentence(f'run {run.run} of {run.task}')}\n{fields(rows)}".rstrip()]
    if chunks := "\n".join(_chunks(page)):
        parts.append(chunks)
    parts += [_product(row, page) for row in page.products]
    if waits := "\n".join(reasons(page.waits.get("", ()))):
        parts.append(waits)
    return "\n\n".join(parts)


def events_of(events: RunEvents) -> str:
    """The events of a run in a few words."""
    known = (("catalogue", events.catalogue), ("processed", events.processed), ("skipped", events.skipped))
    words = [f"{name} {number}" for name, number in known if number is not None]
    words += [f"{merge} merged {number}" for merge, number in sorted(events.merged.items())]
    words += [f"not counted in {events.unknown} chunks"] if events.unknown else []
    return ", ".join(words)


def _chunks(page: RunPage) -> Iterator[str]:
    for chunk in page.chunks:
        counted = (("catalogue", chunk.catalogue), ("processed", chunk.processed), ("skipped", chunk.skipped))
        words = ", ".join(f"{name} {number}" for name, number in counted if number is not None)
        yield sentence(f"chunk {chunk.chunk} (job {chunk.job}): {words}")


def _product(row: ProductRow, page: RunPage) -> str:
    left_out = f", without job {', '.join(map(str, row.left_out))}" if row.left_out else ""
    waits = page.waits.get(row.merge, ())
    told = any(row.finding in wait.what for wait in waits)
    head = sentence(f"{row.merge}: {row.state}, round {row.round}{left_out}")
    rows: list[tuple[str, object]] = [
        ("since", clock(row.changed)),
        ("events", row.events),
        ("finding", "" if told else row.finding),
    ]
    lines = [head, fields(rows)]
    for file in row.files:
        size = f"{bytes_of(file.size)} ({file.size} bytes), adler32 {file.adler32}"
        lines.append(
            fields([("file", file.name), ("at", file.kept or file.url), ("size", size), ("of", f"{file.inputs} files")])
        )
    lines += reasons(waits)
    return "\n".join(line for line in lines if line)


def task_page(page: TaskPage) -> str:
    """Everything about a task but its jobs."""
    task = page.task
    rows: list[tuple[str, object]] = [
        ("jobs", counts(task.jobs)),
        ("merges", counts(task.merges)),
        ("priority", f"{page.priority:+d} on that of its job types"),
        ("share", f"{page.share:g}"),
        ("attempts", f"{page.max_attempts} for each job"),
        ("sites", ", ".join(page.sites) or "all"),
        ("staging", "from tape" if page.staging else "its inputs are on disk"),
        ("parameters", ", ".join(f"{name}={value}" for name, value in sorted(page.parameters.items()))),
        ("environment", ", ".join(f"{name}={value}" for name, value in sorted(page.environment.items()))),
        ("submitted", clock(task.created)),
        ("changed", clock(task.changed)),
        ("note", task.note),
    ]
    head = sentence(f"task {task.task} {task.name}: {task.type} of {task.experiment}, {task.state}")
    return "\n".join([head, fields(rows), *reasons(page.waits)])
