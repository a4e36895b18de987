"""Checks of a profile: entries that name each other must exist, and every template must be printable."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from pilotext.errors import UsageError, did_you_mean, known_words
from pilotext.model.codes import DEFAULT_CODES, code_range
from pilotext.model.file_checks import FORMER_CHECKS, Balances, is_kind_name
from pilotext.profile.job_builder import GENERATED_VALUES, RANGE_VALUES, own_values
from pilotext.profile.records import STORAGE_BREAKER, Experiment, JobType, unknown
from pilotext.profile.templates import OpenScope, parts_of

Found = Iterator[tuple[tuple[str | int, ...], str, str]]
"""The way to a value in the file, what is wrong with it, and how to mend it."""

GIVEN = frozenset({"task", "job", "attempt", "file", "experiment", "merged", "inputs", "number", "run", "chunk"})
"""Names that every job brings along, whatever the profile says."""

COUNTED_BY = {"events": ("root", "date", "raw"), "entries": ("root",), "size": ("date", "raw")}
"""Values of an output's `check` that count what a cross-check by this compares; `bytes` needs none."""

UNDECLARED_KINDS = ("log", "other")
"""Kinds of outputs that need no declaration."""


def wrong(experiment: Experiment) -> Found:
    """Everything that is wrong between the entries of a profile."""
    yield from _codes(experiment)
    yield from _kinds(experiment)
    yield from _references(experiment)
    yield from _retry(experiment)
    yield from _breakers(experiment)
    yield from _parameter_forms(experiment)
    yield from _setups(experiment)
    yield from _published(experiment)
    yield from _cross_checks(experiment)
    yield from _output_kinds(experiment)
    yield from _balances(experiment)
    yield from _generating(experiment)
    yield from _splitting(experiment)
    yield from _values_of_other_jobs(experiment)
    yield from _unknown_names(experiment)


def _unknown_names(experiment: Experiment) -> Found:
    """Templates that cannot be read, and names in them that nothing gives."""
    known = _known_names(experiment)
    shared: Collection[str] = frozenset().union(*map(own_values, experiment.job_types.values()))
    for steps, template in _templates(experiment):
        try:
            used = [name for _, name, _ in parts_of(template) if name is not None]
        except UsageError as broken:
            yield steps, broken.message, broken.advice
            continue
        own = _own_names(experiment.job_types[str(steps[1])]) if steps[0] == "job_types" else shared
        for name in used:
            if name not in known and name not in own:
                error = unknown("nothing is called", name, sorted({*known, *own}))
                yield steps, error.message, _ONLY_IN.get(name, error.advice)


_ONLY_IN = {
    **dict.fromkeys(RANGE_VALUES, "Only jobs of a type that `splits` have it."),
    **dict.fromkeys(GENERATED_VALUES, "Only jobs of a type that `generates` have it."),
    "events": "Only jobs of a type that `generates` or `splits` have it.",
}
"""Remedies for values that only some jobs have."""


def _codes(experiment: Experiment) -> Found:
    for index, text in enumerate(experiment.codes):
        try:
            code_range(text)
        except ValueError as error:
            yield ("codes", index), f"{error}.", f"Write for example `codes: [{DEFAULT_CODES}]`."


def _kinds(experiment: Experiment) -> Found:
    """Kinds of jobs that nobody has declared, in job types and breakers, and unknown jobs of retry rules."""
    named = [(("job_types", name, "kind"), job_type.kind) for name, job_type in experiment.job_types.items()]
    for name, rule in experiment.breakers.items():
        named += [(("breakers", name, "holds"), kind) for kind in rule.holds]
    for steps, kind in named:
        if kind not in experiment.known_kinds:
            known = known_words(experiment.known_kinds)
            advice = did_you_mean(kind, experiment.known_kinds, otherwise=known)
            yield steps, f"no kind of jobs is called {kind!r}.", f"{advice} Another kind is declared in `job_kinds`."
    jobs = [*experiment.known_kinds, *experiment.job_types]
    for index, retry in enumerate(experiment.retry.rules):
        for word in retry.jobs:
            if word not in jobs:
                error = unknown("there is no kind or type of jobs", word, jobs)
                yield ("retry", "rules", index, "jobs"), error.message, error.advice


def _parameter_forms(experiment: Experiment) -> Found:
    for name, form in experiment.parameter_forms.items():
        if name not in experiment.parameters:
            error = unknown("there is no parameter", name, list(experiment.parameters))
            yield ("parameter_forms", name), error.message, error.advice
        try:
            re.compile(form.matches)
        except re.error as broken:
            yield ("parameter_forms", name, "matches"), f"{form.matches!r} cannot be read: {broken}.", ""


def _setups(experiment: Experiment) -> Found:
    """The set-up is a script that the shell sources, not a command."""
    for name, job_type in experiment.job_types.items():
        if job_type.setup is not None and not job_type.setup.startswith(("/", "{")):
            advice = "Put the commands into a script that the worker node can read, and write its path, from / on."
            yield ("job_types", name, "setup"), f"{job_type.setup!r} is not the absolute path of a script.", advice


def _published(experiment: Experiment) -> Found:
    """A published name has one owner: it is known before the job runs, and no other job's log can have it."""
    rotating = {"job", "attempt", *experiment.rotate}
    for name, job_type in experiment.job_types.items():
        for index, output in enumerate(job_type.outputs):
            for text in (output.publish_as or output.name, *output.to):
                used = {part for _, part in _parts(experiment, job_type, text) or () if part is not None}
                for part in sorted(used & rotating):
                    advice = f"Leave {{{part}}} out: every attempt must publish under the same name."
                    yield ("job_types", name, "outputs", index), f"the published name depends on {{{part}}}.", advice
        parts = None if job_type.log is None else _parts(experiment, job_type, job_type.log.name)
        if parts is not None and not _is_of_one_attempt(parts):
            advice = (
                "End it with {job}, a text without digits, {attempt} and a text without digits; no digit before {job}."
            )
            yield ("job_types", name, "log", "name"), "the logs of two attempts could have the same name.", advice


def _cross_checks(experiment: Experiment) -> Found:
    """Outputs that a merge compares and that nobody counts: every run of it would end in manual check."""
    for name, merge in experiment.merges.items():
        needed = () if merge.check is None else COUNTED_BY.get(merge.check.by, ())
        if merge.check is None or not needed:
            continue
        sources = [word for word, job_type in experiment.job_types.items() if name in job_type.merges]
        for word in dict.fromkeys([*sources, merge.type]):
            outputs = experiment.job_types[word].outputs if word in experiment.job_types else ()
            for index, output in enumerate(outputs):
                if output.kind != merge.of or output.check in needed:
                    continue
                text = (
                    f"the merge {name!r} compares this output by `{merge.check.by}`, and with `check: {output.check}`"
                    " its content is not counted."
                )
                words = " or ".join(word for word in needed if word not in FORMER_CHECKS)
                advice = (
                    f"Give the output `check: {words}`, take `check` out of the merge, or compare sizes"
                    " alone by `check: {by: bytes}` in the merge."
                )
                yield ("job_types", word, "outputs", index), text, advice


def _output_kinds(experiment: Experiment) -> Found:
    """Kinds that nobody has declared, where some are; and merges of a kind that no output has."""
    known = [*UNDECLARED_KINDS, *experiment.output_kinds]
    for name, job_type in experiment.job_types.items():
        for index, output in enumerate(job_type.outputs):
            place = ("job_types", name, "outputs", index)
            if not is_kind_name(output.kind):
                advice = "Counters are named by it: write letters, digits and `_`, a letter first."
                yield place, f"{output.kind!r} cannot be a kind of outputs.", advice
            elif experiment.output_kinds and output.kind not in known:
                advice = did_you_mean(output.kind, known, otherwise="Declare it in `output_kinds`.")
                yield place, f"no kind of outputs is called {output.kind!r}.", advice
        for merge in job_type.merges:
            of = experiment.merges[merge].of if merge in experiment.merges else None
            made = [output.kind for output in job_type.outputs]
            if of is not None and of not in made and job_type.like is None:
                error = unknown(
                    f"the merge {merge!r} collects outputs of a kind that this type does not have:", of, made
                )
                yield ("job_types", name, "merges"), error.message, error.advice


def _balances(experiment: Experiment) -> Found:
    known = [*dict.fromkeys(job_type.kind for job_type in experiment.job_types.values()), *experiment.job_types]
    for name in experiment.balances or {}:
        if name not in known:
            error = unknown("the profile has no kind or type of jobs", name, known)
            yield ("balances", name), error.message, error.advice


def _parts(experiment: Experiment, job_type: JobType, template: str) -> list[tuple[str, str | None]] | None:
    """Return a template as (text before, name), resolved down to names that only a task or a job has a value for.

    None for one that cannot be resolved, which is reported where the templates are gone through.
    """
    known = {**experiment.names, **experiment.values, **job_type.values}
    left = _known_names(experiment) - known.keys()
    try:
        whole = OpenScope(left, known).print(template)
        return [(text, name) for text, name, _ in parts_of(whole)]
    except UsageError:
        return None


def _is_of_one_attempt(parts: list[tuple[str, str | None]]) -> bool:
    """Whether the last two numbers in every such name are those of job and attempt: then no other job has it."""
    if parts and parts[-1][1] is None:
        *parts, (suffix, _) = parts
    else:
        suffix = ""
    if [name for _, name in parts[-2:]] != ["job", "attempt"]:
        return False
    before, between = parts[-2][0], parts[-1][0]
    start = len(parts) == 2 and not before
    digits = any(character.isdigit() for character in between + suffix)
    return bool(between) and not digits and (start or (bool(before) and not before[-1].isdigit()))


def _known_names(experiment: Experiment) -> set[str]:
    parsed = {name for form in experiment.names.values() for name in _used(form)}
    return {*GIVEN, *parsed, *experiment.names, *experiment.parameters, *experiment.values, *experiment.rotate}


def _own_names(job_type: JobType) -> set[str]:
    return {*job_type.values, *own_values(job_type)}


def _used(form: str) -> Iterator[str]:
    try:
        yield from (name for _, name, _ in parts_of(form) if name is not None)
    except UsageError:  # told where the templates are gone through
        return


def _generating(experiment: Experiment) -> Found:
    for name, job_type in experiment.job_types.items():
        if job_type.generates and job_type.input is not None:
            advice = "Leave out `input`, or `generates` where its jobs read a file."
            yield ("job_types", name, "generates"), "jobs that generate events read no file.", advice


_OF_THE_FILE = re.compile(r"\b(?:raw_\w*events|inputs\.\w+)\b")


def _splitting(experiment: Experiment) -> Found:
    """Types that split and read nothing, ranges that would publish under one name, and balances of whole files."""
    for name, job_type in experiment.job_types.items():
        if not job_type.splits:
            continue
        place = ("job_types", name)
        if job_type.input is None:
            yield (*place, "splits"), "only the events of an input can be split.", "Give it `input`."
        for index, output in enumerate(job_type.outputs):
            parts = _parts(experiment, job_type, output.publish_as or output.name)
            if parts is not None and "range" not in [part for _, part in parts]:
                text = "the outputs of all ranges of a file would have one name."
                yield (*place, "outputs", index), text, "Put `{range:03d}` into the name."
        laws: list[tuple[tuple[str | int, ...], str]] = [((*place, "success", "law"), job_type.success.law or "")]
        for key in dict.fromkeys((job_type.kind, name)):
            balances = (experiment.balances or {}).get(key, Balances())
            laws += [(("balances", key, "hold"), law) for law in balances.hold]
            laws += [(("balances", key, "note"), law) for law in balances.note]
        for where, law in laws:
            if found := _OF_THE_FILE.search(law):
                text = f"{found[0]} counts the whole file, and a job of type {name!r} processes a range of it."
                yield where, text, "Write `{events}` in `success.law`: the events of the range."


def _values_of_other_jobs(experiment: Experiment) -> Found:
    """Values of generated jobs and of ranges in names of files that others make, also behind an entry of `names`."""
    shared = {*experiment.parameters, *experiment.values}
    for name, merge in experiment.merges.items():
        for text in (f"{{{merge.name}}}", merge.suffix, *merge.tape):
            yield from _without(experiment, ("merges", name), text, shared)
    logs = experiment.logs
    for text in () if logs is None else (logs.run, logs.production, *logs.to, *logs.tape):
        yield from _without(experiment, ("logs",), text, shared)
    for name, job_type in experiment.job_types.items():
        form = "" if job_type.input is None else experiment.names.get(job_type.input.form, "")
        own = {*shared, *_own_names(job_type), *_used(form)}
        for index, output in enumerate(job_type.outputs):
            for text in (output.name, output.publish_as or "", *output.to):
                yield from _without(experiment, ("job_types", name, "outputs", index), text, own)


def _without(experiment: Experiment, place: tuple[str | int, ...], template: str, own: Collection[str]) -> Found:
    """Find values of generated jobs and of ranges in the entries of `names` that a template uses."""
    direct = {*_used(template)}
    used = direct | {part for name in direct for part in _used(experiment.names.get(name, ""))}
    for name in sorted((used & _ONLY_IN.keys()) - {*own}):
        if place[0] != "job_types" or name not in direct:  # told where the names of a job type are gone through
            yield place, f"nothing is called {name!r} here.", _ONLY_IN[name]


def _references(experiment: Experiment) -> Found:
    for name, job_type in experiment.job_types.items():
        for parameter in job_type.inherits:
            if parameter not in experiment.parameters:
                error = unknown("there is no parameter", parameter, list(experiment.parameters))
                yield ("job_types", name, "inherits"), error.message, error.advice
        for merge in job_type.merges:
            if merge not in experiment.merges:
                error = unknown("there is no merge", merge, list(experiment.merges))
                yield ("job_types", name, "merges"), error.message, error.advice
        if job_type.input is not None and job_type.input.form not in experiment.names:
            error = unknown("`names` has no entry", job_type.input.form, list(experiment.names))
            yield ("job_types", name, "input", "form"), error.message, error.advice
    for name, merge_rule in experiment.merges.items():
        for field, word, known in (
            ("type", merge_rule.type, list(experiment.job_types)),
            ("name", merge_rule.name, list(experiment.names)),
            *(("after", after, list(experiment.merges)) for after in merge_rule.after),
        ):
            if word not in known:
                error = unknown("there is no", word, known)
                yield ("merges", name, field), error.message, error.advice
    for name, site in experiment.sites.items():
        if site.merging is not None and site.merging not in experiment.sites:
            error = unknown("there is no site", site.merging, list(experiment.sites))
            yield ("sites", name, "merging"), error.message, error.advice


def _retry(experiment: Experiment) -> Found:
    """A rule behind one that fits whatever it fits would never be followed."""
    for index, rule in enumerate(experiment.retry.rules):
        for earlier in experiment.retry.rules[:index]:
            jobs = tuple(_kind_or_type(experiment, job, earlier.jobs) for job in rule.jobs)
            if all(map(_within, (jobs, rule.cause, rule.action), (earlier.jobs, earlier.cause, earlier.action))):
                advice = "Rules are tried in their order: put it before, or remove it."
                yield ("retry", "rules", index), "this rule never applies: an earlier one fits always.", advice
                break


def _kind_or_type(experiment: Experiment, word: str, others: tuple[str, ...]) -> str:
    """Return the kind of a type of jobs where that is among the others; else the word itself."""
    job_type = experiment.job_types.get(word)
    return job_type.kind if job_type is not None and job_type.kind in others else word


def _within(words: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Whether whatever has one of `words` has one of the `others` too; no words are all of them."""
    return not others or (bool(words) and {*words} <= {*others})


def _breakers(experiment: Experiment) -> Found:
    for name, rule in experiment.breakers.items():
        if name == STORAGE_BREAKER:
            yield ("breakers", name), f"{name!r} is the name of a breaker of the server.", "Give it another name."
        if not rule.cause:
            yield ("breakers", name), "a breaker without causes never opens.", "Name the causes that it counts."
        if not 1 <= rule.failures <= rule.of:
            advice = "`failures` are counted among the last `of` attempts: 1 <= failures <= of."
            yield ("breakers", name), f"{rule.failures} failures of {rule.of} attempts cannot be.", advice
        if rule.nodes > rule.failures or (rule.per == "node" and rule.nodes > 1):
            yield ("breakers", name, "nodes"), f"{rule.nodes} nodes cannot be seen here.", "Ask for fewer nodes."


def _templates(experiment: Experiment) -> Iterator[tuple[tuple[str | int, ...], str]]:
    yield ("software_version",), experiment.software_version
    for section, entries in (("names", experiment.names), ("values", experiment.values)):
        for name, text in entries.items():
            yield (section, name), text
    for name, job_type in experiment.job_types.items():
        for steps, text in _of_type(job_type):
            yield ("job_types", name, *steps), text
    for name, merge in experiment.merges.items():
        yield ("merges", name, "suffix"), merge.suffix
        for index, text in enumerate(merge.tape):
            yield ("merges", name, "tape", index), text
    if experiment.logs is not None:
        for text in (experiment.logs.run, experiment.logs.production, *experiment.logs.to, *experiment.logs.tape):
            yield ("logs",), text


def _of_type(job_type: JobType) -> Iterator[tuple[tuple[str | int, ...], str]]:
    yield ("setup",), job_type.setup or ""
    for index, word in enumerate(job_type.command):
        yield ("command", index), word
    for section, entries in (("environment", job_type.environment), ("values", job_type.values)):
        for name, text in entries.items():
            yield (section, name), text
    yield ("success", "law"), job_type.success.law or ""
    if job_type.input is not None:
        for index, text in enumerate(job_type.input.sources):
            yield ("input", "sources", index), text
        yield ("input", "folder"), job_type.input.folder or ""
    for index, output in enumerate(job_type.outputs):
        for text in (output.name, output.publish_as or "", *output.to):
            yield ("outputs", index), text
    if job_type.log is not None:
        for text in (job_type.log.name, *job_type.log.to):
            yield ("log",), text
