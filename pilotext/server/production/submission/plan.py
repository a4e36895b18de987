"""From a whole task to its jobs, every input accounted for: it is one job, or it is refused with a reason."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from pilotext.api.schemas.tasks import DryRun, PlannedFile, RefusedInput
from pilotext.errors import UsageError
from pilotext.formatting import counted_words
from pilotext.model import Record
from pilotext.model.job import Job
from pilotext.profile.job_builder import (
    GENERATED_NAME,
    AttemptFacts,
    FileFacts,
    TaskFacts,
    base_name,
    check_task,
    differing_parameters,
    parse_input,
    production_job,
)
from pilotext.profile.places import PublishedPlace, source_forms
from pilotext.profile.records import Experiment, unknown
from pilotext.profile.templates import Value
from pilotext.server.production.submission.document import InputsPerJob, TaskFile, WholeTask, check_has_files
from pilotext.server.production.submission.naming import (
    JobNames,
    NameForms,
    check_urls,
    double,
    shared_places,
    url_of,
    values_of,
)
from pilotext.server.production.submission.planned import (
    Planned,
    check_inputs,
    check_number_of_ranges,
    grouped,
    ranges_of,
    usable,
    why_too_large,
)
from pilotext.storage.registry import why_unusable
from pilotext.storage.urls import is_folder, join

Lister = Callable[[str], Sequence[str]]


class Refused(Record, frozen=True):
    """Input that makes no job, and the reason."""

    file: str
    why: str


class Chain(Record, frozen=True):
    """Outputs of another task that are the inputs of a task: those that are there, and those that are known to come."""

    asked: TaskFile
    """The task file as its manager wrote it."""
    parent: str
    kind: str
    merged: bool
    facts: tuple[FileFacts, ...]
    outputs: dict[str, int]
    """Row of each output that is there, by its URL; the other files of `facts` come later."""
    more: bool
    """The other task has not ended: outputs may come that are not among `facts`."""
    parent_state: str = ""


class Plan(Record, frozen=True):
    """All of a task: `merges` are the products of each of its runs, `staging` whether inputs come from tape.

    `names` are those of the outputs of its jobs, in their order, `places` the others that it will publish. Of a task in
    a chain, `jobs` are also those whose inputs will come.
    """

    facts: TaskFacts
    jobs: tuple[Planned, ...]
    refused: tuple[Refused, ...]
    merges: tuple[str, ...]
    staging: bool
    digest: str
    names: JobNames
    places: tuple[PublishedPlace, ...]
    warnings: tuple[str, ...]
    chain: Chain | None = None

    @property
    def runs(self) -> tuple[int, ...]:
        return tuple(sorted({job.run for job in self.jobs if job.run is not None}))

    @property
    def ready(self) -> tuple[tuple[int, Planned], ...]:
        """The jobs whose inputs are there, each with its index among all."""
        if self.chain is None:
            return tuple(enumerate(self.jobs))
        return tuple((index, job) for index, job in enumerate(self.jobs) if job.file.file in self.chain.outputs)

    @property
    def may_be_empty(self) -> bool:
        """Whether it is a task even without jobs, since they come later."""
        return self.chain is not None and self.chain.more


def make_plan(experiment: Experiment, whole: WholeTask, lister: Lister, chain: Chain | None = None) -> Plan:
    """Plan a task, with its `chain` where its inputs are outputs of another one.

    Raises UsageError for what is wrong with the task as a whole, StorageError from `lister`.
    """
    task = whole.task
    check_has_files(task)
    if task.chained_to is not None and chain is None:
        advice = "Name the server: `--server`, or PILOTEXT_SERVER."
        raise UsageError(
            f"only the server knows the outputs of {task.chained_to.task}, which are inputs.", advice=advice
        )
    if chain is not None:
        whole = msgspec.structs.replace(whole, catalogue=chain.facts, listed=tuple(each.file for each in chain.facts))
    facts = TaskFacts(task.name, task.type, task.parameters, task.environment, task.generate)
    check_task(experiment, facts)
    _check_parameters(facts)
    job_type = experiment.type(task.type)
    for name in task.sites:
        if name not in experiment.sites:
            raise unknown(f"{experiment.name} has no site", name, list(experiment.sites))
    merges = job_type.merges if task.merges is None else task.merges
    for name in merges:
        if name not in job_type.merges:
            raise unknown(f"{task.type!r} has no merge", name, list(job_type.merges))
    check_inputs(job_type, task)
    sorted_out = _SortedOut(experiment, whole, facts, lister)
    jobs, names = sorted_out.jobs, sorted_out.names
    places = _places(experiment, facts, jobs, merges)
    digest = _digest(task, jobs) if chain is None else _digest(chain.asked, ())
    staging = _staging(experiment, whole)
    warnings = tuple(sorted_out.warnings())
    return Plan(facts, jobs, tuple(sorted_out.refused), merges, staging, digest, names, places, warnings, chain)


def _check_parameters(facts: TaskFacts) -> None:
    """Raise UsageError for a value by which a file would be published under another name than its form says."""
    for name, value in facts.parameters.items():
        if isinstance(value, str) and ("?" in value or not value.isprintable()):
            raise UsageError(f"the parameter {name} is {value!r}: a question mark or control character names no file.")


def preview(plan: Plan, experiment: Experiment) -> Iterator[Job]:
    """The jobs as a worker would get them, numbered from 1."""
    for number, job in enumerate(plan.jobs, 1):
        yield production_job(experiment, plan.facts, job.file, _attempt(plan.facts, job, number), job.further)


def _attempt(facts: TaskFacts, job: Planned, number: int) -> AttemptFacts:
    return AttemptFacts(number, 1, facts.type, run=job.run, chunk=job.chunk, event_range=job.event_range)


class _SortedOut:
    """The inputs of a task, each a job or refused. Raises UsageError for what is wrong with the task as a whole."""

    def __init__(self, experiment: Experiment, whole: WholeTask, facts: TaskFacts, lister: Lister) -> None:
        self._experiment = experiment
        self._facts = facts
        self._sources = NameForms(source_forms(experiment, facts))
        self._known = {base_name(entry.file): entry for entry in whole.catalogue}
        self._events = None if whole.task.generate is None else whole.task.generate.events
        self._one_each = whole.task.inputs_per_job is None and whole.task.events_per_job is None
        self._unknown: list[str] = []
        self._differing: Counter[str] = Counter()
        self._folders: dict[str, tuple[str, ...]] = {}
        self._inputs: dict[tuple[int | None, int | None, str], Planned] = {}
        self.refused: list[Refused] = []
        self.names = JobNames(NameForms.of(experiment, facts))
        for file in _files(experiment, whole, lister):
            try:
                self._take(file)
            except UsageError as error:
                self.refused.append(Refused(file, str(error)))
        for run, mine in _files_of_runs(experiment, whole).items():
            if not mine:
                self.refused.append(Refused(f"run {run}", "the catalogue has no file of this run."))
        if self._known and len(self._unknown) == len(self._inputs) > 0:
            advice = f"It knows for example {next(iter(self._known))!r}."
            raise UsageError(f"the catalogue knows none of the task's files ({len(self._inputs)}).", advice=advice)
        self.jobs = tuple(self._jobs(whole.task))
        if self.jobs:  # what is wrong with the task itself shows with any file
            first = self.jobs[0]
            production_job(experiment, facts, first.file, _attempt(facts, first, 1))
            values = values_of(experiment, facts, first.file.file, first.event_range)
            check_urls(self.names.forms.print(values))

    def warnings(self) -> Iterator[str]:
        """Warnings of what is perhaps not meant, in words."""
        if self._known and self._unknown:
            yield f"the catalogue does not know {len(self._unknown)} of the files, such as {self._unknown[0]}."
        for words, count in self._differing.most_common(10):
            yield f"{counted_words(count, 'file', 'lies')} {words}"

    def _take(self, file: str) -> None:
        name = base_name(file)
        entry = self._known.get(name)
        facts = msgspec.structs.replace(usable(entry or FileFacts(file, events=self._events)), file=file)
        values = values_of(self._experiment, self._facts, file)
        run, chunk = values.get("run"), values.get("chunk")
        job = Planned(facts, int(run) if run is not None else None, int(chunk) if chunk is not None else None)
        self._check_sources(file, values)
        key = (job.run, job.chunk, name)
        if key in self._inputs:
            raise UsageError(f"it is {self._inputs[key].file.file} a second time.")
        if self._one_each and (taken := self.names.add(values)):
            raise UsageError(f"its output would be {taken}, as that of another file of this task.")
        self._inputs[key] = job
        if self._known and entry is None:
            self._unknown.append(file)
        for words in self._folders[file.rpartition("/")[0]]:
            self._differing[words] += 1

    def _jobs(self, task: TaskFile) -> Iterator[Planned]:
        """Yield the jobs of the inputs: one of each, several of each, or one of several."""
        if task.inputs_per_job is not None:
            yield from self._joined(task.inputs_per_job)
        elif task.events_per_job is not None:
            yield from self._ranges(task.events_per_job)
        else:
            yield from self._inputs.values()

    def _joined(self, limit: InputsPerJob) -> Iterator[Planned]:
        """Yield jobs of several files of a run; the names of a job's outputs are made of its first file."""
        files = list(self._inputs.values())
        if limit.bytes is not None:
            why = "the catalogue does not know its size, and `inputs_per_job` limits the bytes of a job."
            self.refused += [Refused(each.file.file, why) for each in files if each.file.size is None]
            files = [each for each in files if each.file.size is not None]
        for job in grouped(files, limit):
            if why := why_too_large(job.inputs):
                self.refused += [Refused(file.file, why) for file in job.inputs]
            elif taken := self.names.add(values_of(self._experiment, self._facts, job.file.file)):
                why = f"the output of its job would be {taken}, as that of other files of this task."
                self.refused += [Refused(file.file, why) for file in job.inputs]
            else:
                yield job

    def _ranges(self, events_per_job: int) -> Iterator[Planned]:
        """Yield jobs that process ranges of the events of the files. Raises UsageError when two have one name."""
        check_number_of_ranges(self._inputs.values(), events_per_job)
        for file in self._inputs.values():
            try:
                jobs = list(ranges_of(file, events_per_job))
            except UsageError as error:
                self.refused.append(Refused(file.file.file, str(error)))
                continue
            for job in jobs:
                if taken := self.names.add(values_of(self._experiment, self._facts, job.file.file, job.event_range)):
                    advice = "Put `{range}`, and what tells the files apart, into the names of outputs in the profile."
                    raise UsageError(f"two ranges of events would both be published as {taken}.", advice=advice)
                yield job

    def _check_sources(self, file: str, values: dict[str, Value]) -> None:
        """Each folder once, with its first file: the names of the others have the form of the job type."""
        folder = file.rpartition("/")[0]
        if folder in self._folders and file.isprintable() and "?" not in file:
            return
        for source in (file,) if "://" in file else self._sources.print(values):
            if problem := why_unusable(source):
                raise UsageError(f"it cannot be had at {source!r}: {problem}")
        self._folders[folder] = tuple(differing_parameters(self._experiment, self._facts, file))


def _places(
    experiment: Experiment, facts: TaskFacts, jobs: Sequence[Planned], merges: Sequence[str]
) -> tuple[PublishedPlace, ...]:
    """Return the places of all that is published beside the outputs of jobs.

    Raises UsageError when one has no name, or two files have the same.
    """
    runs = sorted({job.run for job in jobs if job.run is not None})
    places = shared_places(experiment, facts, runs, merges)
    check_urls(dict.fromkeys(map(url_of, places)))
    for one, other in double(places):
        raise UsageError(f"{one.what} and {other.what} would both be published at {url_of(one)}.")
    return tuple(places)


def _files(experiment: Experiment, whole: WholeTask, lister: Lister) -> Iterator[str]:
    files, generate = whole.task.files, whole.task.generate
    if generate is not None:
        for chunk in range(1, generate.jobs + 1):
            yield GENERATED_NAME.format(run=generate.run, chunk=chunk)
    yield from files.these
    yield from whole.listed
    for url in files.folder:
        yield from lister(url)
    for mine in _files_of_runs(experiment, whole).values():
        yield from mine


def _files_of_runs(experiment: Experiment, whole: WholeTask) -> dict[int, list[str]]:
    """Return the files of the catalogue that belong to the runs of a task."""
    found: dict[int, list[str]] = {run: [] for run in whole.task.files.runs}
    for entry in whole.catalogue if found else ():
        try:
            run = parse_input(experiment, whole.task.type, entry.file).get("run")
        except UsageError:
            continue  # a catalogue may know files of other forms; only those of the runs are asked for
        if isinstance(run, int) and run in found:
            found[run].append(entry.file)
    return found


def _staging(experiment: Experiment, whole: WholeTask) -> bool:
    rule = experiment.type(whole.task.type).input
    if whole.task.staging is not None or rule is None:
        return bool(whole.task.staging)
    sites = whole.task.sites or tuple(experiment.sites)
    return rule.tape and any(experiment.sites[name].staging for name in sites)


_NEW_FIELDS = tuple(
    f',"{name}":null'.encode() for name in ("replaces", "generate", "outputs_of", "inputs_per_job", "events_per_job")
)
"""Tasks stored before there were these are the same still."""


def _digest(task: TaskFile, jobs: Sequence[Planned]) -> str:
    """Equal for the same task; whether it starts at once does not make it another one."""
    same = msgspec.structs.replace(task, start=True)
    text = msgspec.json.Encoder(order="deterministic").encode([same, [file for job in jobs for file in job.inputs]])
    for field in _NEW_FIELDS:
        text = text.replace(field, b"", 1)
    return hashlib.sha256(text).hexdigest()


MAX_REFUSED = 100

NO_JOBS = "the task has no jobs: no input was found, or every one was refused."


def describe(experiment: Experiment, plan: Plan) -> DryRun:
    """The dry run of a plan, as far as it can be told without the server's database."""
    example = next(preview(plan, experiment), None)
    here = len(plan.ready)
    return DryRun(
        jobs=here,
        runs=len(plan.runs),
        merges=plan.merges,
        staging=plan.staging,
        names=len(plan.names.keys) + len(plan.places),
        refused=tuple(RefusedInput(each.file, each.why) for each in plan.refused[:MAX_REFUSED]),
        refused_count=len(plan.refused),
        warnings=plan.warnings,
        example=example,
        problems=() if plan.jobs or plan.may_be_empty else (NO_JOBS,),
        files=() if example is None else tuple(_planned_files(experiment, plan, example)),
        to_come=len(plan.jobs) - here,
        waits_for=_waits_for(plan),
    )


def _waits_for(plan: Plan) -> str:
    """Return the outputs that the jobs of a task in a chain wait for, in words; empty for other tasks."""
    chain = plan.chain
    if chain is None:
        return ""
    what = f"merged files of kind {chain.kind}" if chain.merged else f"outputs of kind {chain.kind}"
    return f"{what} of the task {chain.parent}, which is {chain.parent_state}"


def _planned_files(experiment: Experiment, plan: Plan, job: Job) -> Iterator[PlannedFile]:
    for output in job.outputs:
        for to in output.destinations:
            yield PlannedFile(output.kind, join(to, output.published_name) if is_folder(to) else to)
    if job.log is not None:
        for to in job.log.destinations:
            yield PlannedFile("log", join(to, job.log.name or "") if is_folder(to) else to)
    runs = [] if job.run is None else [job.run]
    for place in shared_places(experiment, plan.facts, runs, plan.merges):
        yield PlannedFile(place.what, url_of(place))
