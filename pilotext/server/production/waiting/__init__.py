"""Reasons why a job, a run or a task waits: since when, until when, who can change it and how.

Each answer is made from the rows alone, by at most a dozen queries, and changes nothing. Pages and commands print it.
"""

from pilotext.server.production.waiting.jobs import of_job
from pilotext.server.production.waiting.runs import of_run
from pilotext.server.production.waiting.tasks import needs_person, of_task, parts_of, with_put_off

__all__ = ["needs_person", "of_job", "of_run", "of_task", "parts_of", "with_put_off"]
