"""The records of a profile: what an experiment's jobs, merges, sites and retries are, all of it data.

Texts are templates (`pilotext.profile.templates`). They may use the task's parameters, the experiment's `values` and
`names`, what was parsed from the input's name (`run`, `chunk`), and `task`, `job`, `attempt`, `file` (the input as the
task names it); those of jobs that generate events also `seed` and `events`, those of jobs that process a range of
events `range`, `first_event`, `events_before` and `events`. Sizes are bytes, times seconds, memory MB of 10^6 bytes.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from pilotext.errors import UsageError, did_you_mean, known_words
from pilotext.model.codes import DEFAULT_CODES, code_range
from pilotext.model.file_checks import Balances, FileChecks, FileFormat, OutputKind
from pilotext.model.job import KINDS, Kind, Limits, SoftStop
from pilotext.model.verdict import Action, Cause


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that nobody reads is a typing mistake."""


class ParameterForm(_Strict, frozen=True):
    """Form of a parameter's complete value: a regular expression, and the same in words."""

    matches: str
    must: str


class Success(_Strict, frozen=True):
    """Proof of a good job: its end marker (the rules look for it), and the balance of its event counts.

    The balance may hold values of the job, such as `events_generated == {events}`.
    """

    marker: str | None = None
    law: str | None = None


class InputFile(_Strict, frozen=True):
    """The file a job reads: `form` is the entry of `names` that its name must have, `sources` where it can be had."""

    form: str
    sources: tuple[str, ...] = ("{file}",)
    tape: bool = False
    """It has to be brought to disk first, unless the site says that it need not."""
    folder: str | None = None
    """Usual end of the input's folder; the values in it are compared with the task's parameters."""


class OutputFile(_Strict, frozen=True):
    """A file the job leaves behind; `to` are folders or whole URLs, best first."""

    name: str
    to: tuple[str, ...]
    kind: str = "other"
    publish_as: str | None = msgspec.field(default=None, name="as")
    check: Literal["root", "date", "raw", "none"] = "none"
    """Proof that the file is whole, which counts its content too: `root` reads it through, `date` walks its events.
    `raw` is the former name of `date`."""
    when_empty: Literal["fail", "placeholder"] = "fail"


class LogFile(_Strict, frozen=True):
    """Destination of the job's log archive."""

    to: tuple[str, ...]
    name: str


class JobType(_Strict, frozen=True):
    """A type of job: `like` names the type that it is but for what it says itself."""

    kind: Kind
    """Kind of work, which rules name as their scope: one of `generation`, `simulation`, `digitisation`,
    `reconstruction`, `decoding`, `analysis`, `merging`, `tool`, or of the profile's `job_kinds`."""
    like: str | None = None
    setup: str | None = None
    command: tuple[str, ...] = ()
    """A word that is `{inputs}` alone stands for the names of all inputs."""
    environment: dict[str, str] = {}
    credentials: tuple[str, ...] = ()
    """Variables of a node that name credentials (X509_USER_PROXY) and that its programs get all the same."""
    input: InputFile | None = None
    generates: bool = False
    """Its jobs read no file: a task says by `generate` how many jobs there are, and how many events each makes."""
    splits: bool = False
    """Each of its jobs processes a range of the events of its input: a task says by `events_per_job` how many."""
    inherits: tuple[str, ...] = ()
    """Parameters that a task of this type takes from the task whose outputs it reads, where it gives none itself."""
    outputs: tuple[OutputFile, ...] = ()
    log: LogFile | None = None
    limits: Limits = Limits()
    priority: int = 1000
    success: Success = Success()
    soft_stop: SoftStop | None = None
    """Request to its programs to finish early."""
    values: dict[str, str] = {}
    """Values of the experiment that are others for this type."""
    merges: tuple[str, ...] = ()
    """Merges of its outputs, by the entries of `merges`."""


class CrossCheck(_Strict, frozen=True):
    """Comparison of merged files with all files of a run.

    `events`: events merged == sum over the chunks == processed, none of them 0 (outputs with `check: root` or `date`).
    `entries`: the same for histograms (`check: root`). `size`: bytes, and events by walking the file (`check: date`).
    `bytes`: the sizes alone, for files of any kind that the merge joins as they are, such as text by `cat`.
    """

    by: Literal["events", "entries", "size", "bytes"]
    catalogue: bool = False
    """Also the events that the catalogue promises."""
    selected: bool = False
    """The payload writes only events that it selects: there may be fewer than it processed."""


class Merge(_Strict, frozen=True):
    """Merge of outputs of one kind: in the order of their chunks, up to `limit` bytes and `files` files.

    A single file above the limit is a merged file of its own. `after` names merges that must be cross-checked before.
    """

    type: str
    of: str
    """Kind of the outputs that it collects."""
    limit: float
    files: int | None = None
    after: tuple[str, ...] = ()
    name: str = ""
    """The entry of `names` of the merged file; the second and later ones get `suffix` behind it."""
    suffix: str = ".{number:03d}"
    leave_out_empty: bool = False
    """Placeholders are no input; a run that has nothing else is finished without a merge."""
    check: CrossCheck | None = None
    tape: tuple[str, ...] = ()
    """Permanent place of the merged file; empty: only where the merge published it."""


class LogArchiveSettings(_Strict, frozen=True):
    """The logs of a production for good: an archive for each run in a folder of `to`, one of all of them in `tape`.

    Both are folders, best first. The jobs' own log files are removed when the archive of all is verified there.
    """

    run: str
    production: str
    to: tuple[str, ...]
    tape: tuple[str, ...]


class Staging(_Strict, frozen=True):
    """Staging from tape: limits for files requested and on disk at once, and waiting times."""

    files: int = 30_000
    bytes: float = 3e13
    unknown_bytes: float = 1.1e9
    """Size in bytes assumed for a file whose size the catalogue does not know."""
    request_files: int = 1000
    """Files in one request to the tape system; a request is for files of one run."""
    poll_s: float = 60.0
    within_s: float = 2 * 86400.0
    """A file that has not come after so long is given back and asked for again."""
    check_s: float = 86400.0
    """A file that lies on disk for so long is looked at: the tape system may have removed it."""
    tries: int = 3
    wait_s: float = 600.0
    """Before a file is asked for again that could not be had; doubled each time."""


class Site(_Strict, frozen=True):
    """A queue: what may run there at once, and what differs there."""

    max_active: int | None = None
    staging: bool = True
    """Inputs on tape are brought to disk before; False where the site's own files are used."""
    merging: str | None = None
    """The queue that merges of this site's tasks go to."""
    panda: dict[str, Any] = {}
    """Values that override the server's description of the queue for PanDA pilots (`queuedata`)."""


Step = Literal["retry", "elsewhere", "more-memory", "restage", "manual", "fail"]


class RetryRule(_Strict, frozen=True):
    """Retry rule for failed attempts. The first rule that fits is applied; an absent condition fits all.

    The n-th failure of one class waits `wait_s * factor^(n-1)`, at most `most_s`, times 1 ± `jitter`. `tries` counts
    the failures of this class alone; after them, `exhausted` says what follows. `charged: false` does not count against
    the job's attempts. `elsewhere` keeps away from the node for `avoid_s`, and from the site too after `site_after`
    failures of this class there, as long as somebody else is heard of who can take the job (`Retry.heard_s`).
    """

    then: Step
    jobs: tuple[str, ...] = ()
    """Kinds or types of jobs that it is for, for example `merging`; none: all."""
    cause: tuple[Cause | Literal["lost"], ...] = ()
    action: tuple[Action, ...] = ()
    wait_s: float = 60.0
    factor: float = 2.0
    most_s: float = 3600.0
    jitter: float = 0.25
    tries: int | None = None
    charged: bool = True
    memory_factor: float = 1.5
    memory_most_mb: float = 8000.0
    exhausted: Literal["manual", "failed"] = "manual"
    avoid_s: float = 6 * 3600.0
    site_after: int = 2


class Retry(_Strict, frozen=True):
    """The experiment's policy: attempts that a job has (a task may say otherwise), and the rules in their order.

    Without rules, what an error's own rule says (its `action`) is done.
    """

    attempts: int = 5
    heard_s: float = 3600.0
    """A node where nothing was heard of for so long is not there: no job is kept back for it."""
    rules: tuple[RetryRule, ...] = (
        RetryRule(then="retry", cause=("evicted",), most_s=1800.0, tries=50, charged=False),
        RetryRule(then="more-memory", action=("retry-more-memory",)),
        RetryRule(then="elsewhere", action=("retry-elsewhere",)),
        RetryRule(then="restage", action=("restage",)),
        RetryRule(then="manual", action=("manual-check",)),
        RetryRule(then="fail", action=("fail",)),
        RetryRule(then="retry"),
    )

    def for_job(self, kind: str, job_type: str) -> Retry:
        """Return the policy for jobs of a kind and type: the same without the rules that are for other jobs."""
        mine = {kind, job_type}
        return replace(self, rules=tuple(rule for rule in self.rules if not rule.jobs or mine & {*rule.jobs}))


STORAGE_BREAKER = "storage server"
"""The breaker rule of the server itself: it leaves alone a storage server that is away. No profile has it."""


class BreakerRule(_Strict, frozen=True):
    """Breaker rule: holds jobs back from a node, a site, or everything that shares a cause, to save attempts.

    It opens when, of the last `of` attempts that ended there within `within_s`, at least `failures` different jobs on
    `nodes` different nodes failed by one of these causes. Nothing is given out for `pause_s`; then one job is, as a
    probe. It closes when the probe succeeds; otherwise the next pause is `factor` longer, up to `most_s`.
    """

    per: Literal["node", "site", "experiment"]
    cause: tuple[Cause | Literal["lost"], ...]
    failures: int = 10
    of: int = 20
    nodes: int = 1
    within_s: float = 3600.0
    pause_s: float = 600.0
    factor: float = 2.0
    most_s: float = 4 * 3600.0
    holds: tuple[Kind, ...] = ()
    """Kinds of jobs that wait, and that count; empty: all."""


COMMON_TEAM = "maintainers of pilotext, by an issue of its repository"


class Experiment(_Strict, frozen=True):
    """An experiment: `number` is its CERN number (61 for NA61), which leads its error codes."""

    format: int
    experiment: str
    number: int
    job_types: dict[str, JobType]
    codes: tuple[str, ...] = (DEFAULT_CODES,)
    """First and last of the codes of its own rules, for example `1200-1299`, within 1000-1999 or 6000-9999."""
    job_kinds: tuple[str, ...] = ()
    """Kinds of jobs beside those that every experiment has (`kind` of a job type), for example `filtering`."""
    software_version: str = ""
    """Version of the software of a job, for example `'{version}'`: rules with `versions` are chosen by it.

    Without it, such rules apply to every job.
    """
    names: dict[str, str] = {}
    """Forms of file names; each both parses and prints."""
    parameters: dict[str, str | int | float | None] = {}
    """Parameters of a task with their defaults; null must be given by the task if it is used."""
    parameter_forms: dict[str, ParameterForm] = {}
    """Forms of parameter values, by the parameter's name."""
    values: dict[str, str] = {}
    """Texts made of other names: folders, programs, archives."""
    rotate: dict[str, tuple[str, ...]] = {}
    """Values of which each attempt takes the next one, such as servers that share a load."""
    formats: dict[str, FileFormat] = {}
    """Formats of inputs by patterns of their names, for example `'*.raw': date`; the first that fits is taken.

    An input that none fits is not read before the program: nothing of it is counted. ROOT inputs of merges always are.
    """
    output_kinds: dict[str, OutputKind] = {}
    """Kinds of outputs, which merges collect; `log` and `other` are always there."""
    balances: dict[str, Balances] | None = None
    """Relations between counters that jobs keep, by kind or type of jobs.

    Without them, the file of a merge must have all tree entries, events and bytes of its inputs together.
    """
    merges: dict[str, Merge] = {}
    logs: LogArchiveSettings | None = None
    staging: Staging = Staging()
    sites: dict[str, Site] = {}
    retry: Retry = Retry()
    breakers: dict[str, BreakerRule] = {}
    teams: dict[str, str] = {}
    """Owners of rules, and how each is reached; without any, the owners of rules are not checked.

    The team `common`, which owns the rules of every experiment, is always there.
    """

    @property
    def name(self) -> str:
        return self.experiment

    @property
    def known_kinds(self) -> tuple[str, ...]:
        """The kinds that its jobs may have."""
        return (*KINDS, *self.job_kinds)

    @property
    def code_ranges(self) -> tuple[range, ...]:
        """The codes that rules of the experiment may have."""
        return tuple(map(code_range, self.codes))

    @property
    def known_output_kinds(self) -> dict[str, OutputKind]:
        """The kinds that the outputs of the profile have, each with what is declared of it."""
        used = [output.kind for job_type in self.job_types.values() for output in job_type.outputs]
        return {**dict.fromkeys(used, OutputKind()), **self.output_kinds}

    @property
    def file_checks(self) -> FileChecks:
        """The parts of the profile by which the wrapper reads the files of a job."""
        return FileChecks(self.formats, self.output_kinds, self.balances)

    @property
    def known_teams(self) -> dict[str, str]:
        """The teams of the profile, and that of the common rules."""
        return {"common": COMMON_TEAM, **self.teams}

    def kind_of(self, job_type: str) -> Kind:
        """The kind of a job type. Raises UsageError, with the nearest type, if there is no such type."""
        return self.type(job_type).kind

    def type(self, job_type: str) -> JobType:
        """A job type by its name. Raises UsageError, with the nearest type, if there is no such type."""
        if job_type in self.job_types:
            return self.job_types[job_type]
        raise unknown(f"{self.name} has no job type", job_type, list(self.job_types))


def unknown(sentence: str, word: str, known: list[str]) -> UsageError:
    """The error for a word that is none of the known ones, with the nearest of them."""
    return UsageError(f"{sentence} {word!r}.", advice=did_you_mean(word, known, otherwise=known_words(known)))
