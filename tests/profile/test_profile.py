from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.errors import RuleFilesError, UsageError
from pilotext.profile import default_experiment, find_rules_root, known_experiments, load_experiment, rules_roots

NA64 = "format: 1\nexperiment: NA64\nnumber: 64\njob_types:\n  reco: {kind: reconstruction, environment: {A: '1'}}\n"


def profile(root: Path, text: str, folder: str = "na64") -> Path:
    path = root / folder / "experiment.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("job_type", "kind"),
    [
        ("mass production", "reconstruction"),
        ("DDD filtering", "decoding"),
        ("ddd", "decoding"),
        ("MC generation", "generation"),
        ("merging mdst", "merging"),
        ("coral", "reconstruction"),
        ("root", "tool"),
        ("shell", "tool"),
    ],
)
def test_compass_knows_its_job_types(job_type: str, kind: str) -> None:
    assert load_experiment("COMPASS").kind_of(job_type) == kind


def test_an_unknown_job_type_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'mass production'"):
        load_experiment("COMPASS").kind_of("mass prodction")


def test_the_case_of_an_experiments_name_does_not_matter() -> None:
    assert load_experiment("compass") == load_experiment("COMPASS")
    assert load_experiment("Compass").number == 58


def test_an_unknown_experiment_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'COMPASS'"):
        load_experiment("COMPAS")


def test_an_experiment_far_from_any_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="Known are: COMPASS"):
        load_experiment("xyz")


def test_a_further_folder_brings_an_experiment(tmp_path: Path) -> None:
    root = profile(tmp_path, NA64)
    assert known_experiments([root]) == ("COMPASS", "NA62", "NA64")
    assert load_experiment("na64", [root]).kind_of("reco") == "reconstruction"


def test_the_environment_names_further_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTEXT_RULES", str(profile(tmp_path, NA64)))
    assert rules_roots() == (find_rules_root(), tmp_path.resolve())
    assert load_experiment("NA64").number == 64


def test_the_experiment_of_the_environment_is_meant_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTEXT_EXPERIMENT", "na62")
    assert default_experiment() == "NA62"


def test_the_only_experiment_in_folders_of_ones_own_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PILOTEXT_EXPERIMENT")
    root = profile(tmp_path, NA64)
    assert default_experiment([root]) == "NA64"
    profile(tmp_path, NA64.replace("NA64", "SPD"), "spd")
    with pytest.raises(UsageError, match="PILOTEXT_EXPERIMENT, to one of: COMPASS, NA62, NA64, SPD"):
        default_experiment([root])


def test_of_several_experiments_none_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PILOTEXT_EXPERIMENT")
    with pytest.raises(UsageError, match=r"none of them is named\. Add --experiment"):
        default_experiment()


def test_a_further_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none: this folder of rule files does not exist"):
        rules_roots([tmp_path / "none"])


def test_a_type_like_another_says_only_what_differs(tmp_path: Path) -> None:
    more = NA64 + "  again: {kind: reconstruction, like: reco, priority: 7, environment: {B: '2'}}\n"
    again = load_experiment("NA64", [profile(tmp_path, more)]).job_types["again"]
    assert (again.priority, again.environment) == (7, {"A": "1", "B": "2"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            NA64.replace("reconstruction", "cooking"),
            r"experiment.yaml:5:\d+: no kind of jobs is called 'cooking'. Did you mean .* in `job_kinds`",
        ),
        (NA64.replace("number: 64\n", ""), "`number`: this field is missing"),
        (NA64.replace("format: 1", "format: 9"), "Upgrade pilotext"),
        (NA64.replace("NA64", "NA65"), "experiment NA65 is in the folder 'na64'"),
        (NA64 + "  x: {kind: tool, like: rceo}\n", "no job type above is called 'rceo'. Did you mean 'reco'"),
        (NA64 + "  x: {kind: tool, comand: [a]}\n", "comand`: there is no such field. Did you mean `command`"),
        (NA64 + "  x: {kind: tool, command: ['{softwrae}']}\nvalues: {software: a}\n", "Did you mean 'software'"),
        (NA64 + "  x: {kind: tool, command: ['{a']}\n", "cannot be read"),
        (NA64 + "  x: {kind: tool, merges: [hist]}\n", "there is no merge 'hist'"),
        (NA64 + "number: 65\n", "`number` is given a second time"),
    ],
)
def test_a_wrong_profile_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RuleFilesError, match=words):
        load_experiment("NA64", [profile(tmp_path, text)])


FIRST_FITS_ALL = "retry: {rules: [{then: retry}, {cause: [memory], then: more-memory}]}"
FIRST_FITS_MORE = (
    "retry: {rules: [{cause: [crash, memory], then: retry}, {cause: [memory], action: [fail], then: fail}]}"
)

FIRST_FITS_KIND = """retry:
  rules:
    - {jobs: [reconstruction, merging], then: retry}
    - {jobs: [reco, merging], cause: [memory], then: fail}
"""


@pytest.mark.parametrize("rules", [FIRST_FITS_ALL, FIRST_FITS_MORE, FIRST_FITS_KIND])
def test_a_retry_rule_that_can_never_apply_is_told(tmp_path: Path, rules: str) -> None:
    """Known problem 6 of the legacy system: a condition that could never be true, and nobody knew."""
    with pytest.raises(RuleFilesError, match=r"experiment.yaml:\d+.*this rule never applies"):
        load_experiment("NA64", [profile(tmp_path, f"{NA64}{rules}\n")])


def test_a_retry_rule_for_jobs_of_which_an_earlier_one_has_some_is_not(tmp_path: Path) -> None:
    rules = "retry: {rules: [{jobs: [reco], then: retry}, {jobs: [reconstruction], then: fail}, {then: retry}]}"
    assert len(load_experiment("NA64", [profile(tmp_path, f"{NA64}{rules}\n")]).retry.rules) == 3


def test_a_retry_rule_for_jobs_that_there_are_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuleFilesError, match=r"no kind or type of jobs 'mergin'.*Did you mean 'merging'"):
        load_experiment("NA64", [profile(tmp_path, f"{NA64}retry: {{rules: [{{jobs: [mergin], then: fail}}]}}\n")])


def test_a_retry_rule_that_applies_at_times_is_not(tmp_path: Path) -> None:
    rules = "retry: {rules: [{cause: [memory], then: retry}, {cause: [memory, crash], then: fail}, {then: retry}]}"
    assert len(load_experiment("NA64", [profile(tmp_path, f"{NA64}{rules}\n")]).retry.rules) == 3


PUBLISHING = """format: 1
experiment: NA64
number: 64
names: {raw: 'r{run:d}.raw', made: '%s', logs: '%s'}
rotate: {server: [a, b]}
job_types:
  reco:
    kind: reconstruction
    input: {form: raw}
    outputs: [{name: '{made}', to: ['%s']}]
    log: {to: ['root://h//logs/'], name: '{logs}'}
"""
GOOD = ("{run}.root", "x-{job}-{attempt}.tgz", "root://h//out/")


@pytest.mark.parametrize(
    ("made", "logs", "to", "words"),
    [
        ("{run}-{attempt}.root", GOOD[1], GOOD[2], r"the published name depends on \{attempt\}"),
        ("{run}-{job}.root", GOOD[1], GOOD[2], r"the published name depends on \{job\}"),
        (GOOD[0], GOOD[1], "root://{server}//out/", r"the published name depends on \{server\}"),
        (GOOD[0], "{run}.tgz", GOOD[2], "the logs of two attempts could have the same name"),
        (GOOD[0], "x-{attempt}-{job}.tgz", GOOD[2], "the logs of two attempts"),
        (GOOD[0], "x-{job}{attempt}.tgz", GOOD[2], "the logs of two attempts"),
        (GOOD[0], "x{run}{job}-{attempt}.tgz", GOOD[2], "the logs of two attempts"),
        (GOOD[0], "x-{job}-{attempt}.7z", GOOD[2], "the logs of two attempts"),
        (GOOD[0], "x1{job}-{attempt}.tgz", GOOD[2], "the logs of two attempts"),
    ],
)
def test_a_published_name_that_could_have_two_owners_is_refused(
    made: str, logs: str, to: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(RuleFilesError, match=words):
        load_experiment("na64", [profile(tmp_path, PUBLISHING % (made, logs, to))])


@pytest.mark.parametrize("logs", [GOOD[1], "{job}-{attempt}.tgz", "{run}-{job}.{attempt}", "x-{job:05d}-{attempt}.tgz"])
def test_a_log_name_that_ends_with_job_and_attempt_is_good(logs: str, tmp_path: Path) -> None:
    assert load_experiment("na64", [profile(tmp_path, PUBLISHING % (GOOD[0], logs, GOOD[2]))]).name == "NA64"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("parameters: {a: }\nparameter_forms: {b: {matches: x, must: be x}}", "there is no parameter 'b'"),
        ("parameters: {a: }\nparameter_forms: {a: {matches: '(', must: be x}}", "cannot be read"),
    ],
)
def test_a_form_of_a_parameter_that_means_nothing_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(RuleFilesError, match=words):
        load_experiment("na64", [profile(tmp_path, f"{NA64}{text}\n")])


KINDS = """format: 1
experiment: NA64
number: 64
names: {raw: 'a-{run:d}.raw', out: 'b-{run:d}.root', merged out: 'c-{run:d}.root'}
job_types:
  reco:
    kind: reconstruction
    input: {form: raw}
    outputs: [{name: '{out}', kind: ntuple, to: ['file:///s/']}, {name: x, kind: log, to: ['file:///s/']}]
    merges: [out]
  merging: {kind: merging, outputs: [{name: '{merged}', kind: ntuple, to: ['file:///m/']}]}
merges: {out: {type: merging, of: ntuple, name: merged out, limit: 1.0e9}}
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("job_types", "output_kinds: {ntuples: {}}\njob_types", "is called 'ntuple'. Did you mean 'ntuples'"),
        ("job_types", "output_kinds: {dump: {}}\njob_types", "is called 'ntuple'. Declare it in `output_kinds`"),
        ("ntuple", "n-tuple", "'n-tuple' cannot be a kind of outputs"),
        ("of: ntuple", "of: ntupel", "kind that this type does not have: 'ntupel'. Did you mean 'ntuple'"),
    ],
)
def test_a_kind_of_outputs_that_is_misspelt_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(RuleFilesError, match=words):
        load_experiment("NA64", [profile(tmp_path, KINDS.replace(old, new))])


@pytest.mark.parametrize("declared", ["", "output_kinds: {ntuple: {title: Tracks}}\n"])
def test_kinds_of_outputs_are_names_of_the_profile(tmp_path: Path, declared: str) -> None:
    experiment = load_experiment("NA64", [profile(tmp_path, KINDS + declared)])
    assert [*experiment.known_output_kinds] == ["ntuple", "log"]
    assert experiment.known_output_kinds["ntuple"].title == ("Tracks" if declared else "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("codes: ['1200']", "'1200' is not the first and last of some codes, such as 1200-1299"),
        ("codes: [1200-2100]", "the codes 1200-2100 are not within 1000-1999 or 6000-9999"),
        ("codes: [1300-1200]", "the codes 1300-1200 are not within"),
        ("breakers: {b: {per: node, cause: [lost], holds: [recostruction]}}", "Did you mean 'reconstruction'"),
        ("software_version: '{version}'", "nothing is called 'version'"),
    ],
)
def test_codes_kinds_and_versions_that_cannot_be_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RuleFilesError, match=words):
        load_experiment("NA64", [profile(tmp_path, f"{NA64}{text}\n")])


def test_an_experiment_has_codes_and_kinds_of_its_own(tmp_path: Path) -> None:
    more = "  skim: {kind: skimming}\njob_kinds: [skimming]\ncodes: [1000-1009, 6000-6001]\n"
    breaker = "breakers: {b: {per: node, cause: [lost], holds: [skimming]}}\n"
    experiment = load_experiment("NA64", [profile(tmp_path, NA64 + more + breaker)])
    assert experiment.kind_of("skim") == "skimming"
    assert [len(codes) for codes in experiment.code_ranges] == [10, 2]


def test_an_experiment_that_says_nothing_has_the_usual_codes(tmp_path: Path) -> None:
    assert load_experiment("NA64", [profile(tmp_path, NA64)]).code_ranges == (range(1200, 1300),)


TEXT_MERGE = """format: 1
experiment: NA64
number: 64
names: {raw: 'a-{run:d}-{chunk:d}.raw', out: 'b-{run:d}-{chunk:d}.txt', merged out: 'b-{run:d}.txt'}
job_types:
  reco:
    kind: reconstruction
    input: {form: raw}
    outputs: [{name: '{out}', kind: mdst, to: ['file:///s/'], check: CHUNKS}]
    merges: [out]
  merging: {kind: merging, outputs: [{name: '{merged}', kind: mdst, to: ['file:///m/'], check: MERGED}]}
merges: {out: {type: merging, of: mdst, name: merged out, limit: 1.0e9, check: {by: HOW}}}
"""


def text_merge(root: Path, by: str, chunks: str, merged: str) -> Path:
    words = {"CHUNKS": chunks, "MERGED": merged, "HOW": by}
    text = TEXT_MERGE
    for old, new in words.items():
        text = text.replace(old, new)
    return profile(root, text)


@pytest.mark.parametrize(
    ("by", "chunks", "merged", "line"),
    [
        ("events", "none", "root", 9),
        ("events", "root", "none", 11),
        ("entries", "raw", "root", 9),
        ("size", "none", "raw", 9),
        ("size", "raw", "root", 11),
    ],
)
def test_a_merge_that_compares_what_nobody_counts_is_refused(
    by: str, chunks: str, merged: str, line: int, tmp_path: Path
) -> None:
    with pytest.raises(RuleFilesError) as caught:
        load_experiment("NA64", [text_merge(tmp_path, by, chunks, merged)])
    (problem,) = caught.value.problems
    assert problem.line == line
    assert f"compares this output by `{by}`" in problem.message
    assert "take `check` out of the merge" in problem.advice


@pytest.mark.parametrize(
    ("by", "check"),
    [
        *(("events", check) for check in ("root", "date", "raw")),
        ("entries", "root"),
        ("size", "date"),
        ("size", "raw"),
        ("bytes", "none"),
    ],
)
def test_a_merge_of_outputs_that_are_counted_is_good(by: str, check: str, tmp_path: Path) -> None:
    assert load_experiment("NA64", [text_merge(tmp_path, by, check, check)]).merges["out"].check is not None
