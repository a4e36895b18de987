from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.rules.lint.runner import lint
from tests.rules.packs import Pack

NA62 = "format: 1\nexperiment: NA62\nnumber: 62\nformats: {'*.dat': date}\njob_types:\n  reco: {kind: reconstruction}\n"


def profile(folder: Path, text: str) -> Path:
    path = folder.resolve() / "na62" / "experiment.yaml"
    path.parent.mkdir()
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("number: 62", "number: 0", "3:1: 0 is not from 1 to 999. It leads codes of seven digits: 61 for NA61."),
        ("number: 62", "number: 62000", "3:1: 62000 is not from 1 to 999."),
        ("number: 62", "number: 62\nnmaes: {}", "4:1: `nmaes`: there is no such field. Did you mean `names`?"),
        (
            "reconstruction",
            "recostruction",
            "6:10: no kind of jobs is called 'recostruction'. Did you mean 'reconstruction'?",
        ),
        ("reconstruction}", "reconstruction, sucess: {}}", "6:32: `sucess`: there is no such field."),
        (
            "reconstruction}",
            "reconstruction, success: {law: done +}}",
            "6:42: `done +` is not an event balance: ",
        ),
        (
            "reconstruction}",
            "reconstruction, success: {law: evnts == raw_events}}",
            "6:42: jobs of type 'reco' have no counter 'evnts'.",
        ),
        (
            "reconstruction}",
            "reconstruction, success: {law: inputs.events == raw_events}}",
            "6:42: jobs of type 'reco' have no counter 'inputs.events'.",
        ),
        (
            "reconstruction}",
            "reconstruction, success: {marker: ''}}",
            "6:42: the end marker is empty.",
        ),
        ("number: 62", "number: 62\nnames: {raw: 'c{run.raw'}", "4:9: 'c{run.raw' cannot be read: "),
        (
            "reconstruction}",
            "generation, generates: true, input: {form: raw}}\nnames: {raw: 'c{run}.raw'}",
            "6:28: jobs that generate events read no file. Leave out `input`",
        ),
        (
            "reconstruction}",
            "reconstruction, inherits: [yeer]}\nparameters: {year: }",
            "6:32: there is no parameter 'yeer'. Did you mean 'year'?",
        ),
        (
            "reconstruction}",
            "reconstruction, command: [x, '{seed}']}",
            "6:45: nothing is called 'seed'. Only jobs of a type that `generates` have",
        ),
        (
            "reconstruction}",
            "generation, generates: true, success: {law: 'done == {evnts}'}}",
            "6:55: nothing is called 'evnts'. Did you mean 'events'?",
        ),
        (
            "reconstruction}",
            "reconstruction, command: [x, '{first_event}']}",
            "6:45: nothing is called 'first_event'. Only jobs of a type that `splits` have",
        ),
        (
            "reconstruction}",
            "reconstruction, splits: true}",
            "6:32: only the events of an input can be split. Give it `input`.",
        ),
        (
            "reconstruction}",
            "reconstruction, splits: true, input: {form: raw},\n"
            "    outputs: [{name: 'r{chunk}', to: [/x/]}]}\nnames: {raw: 'c{chunk:d}.raw'}",
            "7:15: the outputs of all ranges of a file would have one name. Put `{range:03d}`",
        ),
        (
            "reconstruction}",
            "reconstruction, splits: true, input: {form: raw},\n"
            "    success: {law: 'done == inputs.events'}}\nnames: {raw: 'c{chunk:d}.raw'}",
            "7:15: inputs.events counts the whole file, and a job of type",
        ),
        (
            "reconstruction}",
            "reconstruction, input: {form: raw},\n    outputs: [{name: '{part}', to: [/x/]}]}\n"
            "names: {raw: 'c{chunk:d}.raw', part: 'r{chunk}-{range}'}",
            "7:15: nothing is called 'range' here. Only jobs of a type that `splits` have it.",
        ),
        (
            "reconstruction}",
            "reconstruction, splits: true, input: {form: raw}}\nnames: {raw: 'c{chunk:d}.raw'}\n"
            "logs: {run: 'r{run}-{events}.tgz', production: all.tgz, to: [/x/], tape: [/y/]}",
            "8:1: nothing is called 'events' here.",
        ),
        (
            "reconstruction}",
            "reconstruction, splits: true, input: {form: raw}}\n"
            "names: {raw: 'c{chunk:d}.raw', merged: 'm{run}-{range}'}\n"
            "merges: {all: {of: log, type: reco, name: merged, suffix: x, limit: 1}}",
            "8:10: nothing is called 'range' here.",
        ),
    ],
)
def test_a_profile_with_a_mistake_is_refused_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = profile(tmp_path, NA62.replace(old, new))
    [problem] = lint([path])
    assert str(problem).removeprefix(f"{path}:").startswith(said)


def test_all_mistakes_of_a_profile_are_told_in_one_run(tmp_path: Path) -> None:
    path = profile(tmp_path, NA62.replace("62\n", "0\n").replace("reconstruction", "cooking") + "  x: {kind: tol}\n")
    assert [problem.line for problem in lint([path])] == [2, 6, 7]


def test_a_profile_with_names_and_laws_that_can_be_used_has_no_problem(tmp_path: Path) -> None:
    more = "names: {raw: 'cdr{chunk:d}-{run:d}.raw'}\n"
    assert lint([profile(tmp_path, NA62 + more)]) == []


@pytest.mark.parametrize(
    ("more", "said", "advice"),
    [
        ("balances: {reco: {hold: [raw_events ==]}}", "`raw_events ==` is not an event balance: ", "Write `done"),
        ("balances: {reco: {hold: [raw_evnts == 1]}}", "'reco' jobs have no counter 'raw_evnts'.", "Did you mean"),
        (
            "balances: {reco: {note: [inputs.events == 1]}}",
            "'reco' jobs have no counter 'inputs.events'.",
            "Remove it.",
        ),
        ("balances: {recoo: {}}", "the profile has no kind or type of jobs 'recoo'.", "Did you mean 'reco'?"),
        ("output_kinds: {reco: {events: [raw_evnts]}}", "no job counts 'raw_evnts'.", "Did you mean `raw_events`?"),
        ("balances: {reconstruction: {hold: [raw_filtered_events == raw_events]}}", None, None),
        ("output_kinds: {reco: {events: [raw_events]}}", None, None),
    ],
)
def test_balances_and_kinds_name_counters_that_some_job_has(
    tmp_path: Path, more: str, said: str | None, advice: str | None
) -> None:
    found = lint([profile(tmp_path, f"{NA62}{more}\n")])
    assert [(one.line, one.message.startswith(said or "?"), one.advice.startswith(advice or "?")) for one in found] == (
        [(7, True, True)] if said else []
    )


def test_a_law_about_raw_events_without_a_format_of_inputs_is_told_what_to_add(tmp_path: Path) -> None:
    text = NA62.replace("formats: {'*.dat': date}\n", "")
    [problem] = lint([profile(tmp_path, text.replace("tion}", "tion, success: {law: raw_events == 1}}"))])
    assert problem.message == "jobs of type 'reco' have no counter 'raw_events'."
    assert problem.advice == "Inputs are counted with `formats: {'*.raw': date}`."


OWN = """\
format: 1
experiment: NA62
rules:
- {id: old, code: 6001, title: t, cause: crash, action: retry, jobs: [skimming], versions: [v1*], exit: {codes: [1]}}
"""


def test_rules_have_the_codes_the_kinds_and_the_versions_of_their_profile(tmp_path: Path) -> None:
    more = "codes: [6000-6009]\njob_kinds: [skimming]\nparameters: {version: }\nsoftware_version: '{version}'\n"
    path = profile(tmp_path, NA62 + more)
    (path.parent / "a.yaml").write_text(OWN)
    assert lint([path.parent]) == []
    path.write_text(NA62)
    assert [(one.message, one.advice) for one in lint([path.parent])] == [
        ("code 6001 is not in the block of experiment rules.", "Choose one from 1200 to 1299."),
        ("there is no kind or type of jobs 'skimming'.", "Remove it."),
        (
            "the profile of NA62 has no `software_version`: the rule applies to every version.",
            "Add it, with the parameter that a task gives: software_version: '{version}'.",
        ),
    ]


BY_EVENTS = """format: 1
experiment: NA62
number: 62
names: {raw: 'a-{run:d}.raw', out: 'b-{run:d}.root', merged out: 'c-{run:d}.root'}
job_types:
  reco:
    kind: reconstruction
    input: {form: raw}
    outputs: [{name: '{out}', kind: reco, to: ['file:///s/'], check: root}]
    merges: [out]
  merging: {kind: merging, outputs: [{name: '{merged}', kind: reco, to: ['file:///m/'], check: root}]}
merges: {out: {type: merging, of: reco, name: merged out, limit: 1.0e9, check: {by: events}}}
"""


def test_a_merge_by_events_needs_the_counter_of_processed_events(tmp_path: Path) -> None:
    path = profile(tmp_path, BY_EVENTS)
    [problem] = lint([path])
    assert (problem.line, problem.advice) == (
        12,
        "Add a counter 'events_processed' to the rules, or compare by `entries`.",
    )
    counter = "counters:\n- {name: events_processed, match: 'done (?<n>\\d+)'}\n"
    (path.parent / "a.yaml").write_text(f"format: 1\nexperiment: NA62\n{counter}")
    assert lint([path]) == []


END = """\
format: 1
experiment: NA62
rules:
- {id: no-end, code: 1201, title: t, cause: incomplete, action: retry, absent: End of Job}
"""


@pytest.mark.parametrize(
    ("marker", "said"), [("End of Jobb", "Did you mean `End of Job`?"), ("End of Job", None), ("Bye", None)]
)
def test_a_marker_that_is_nearly_the_text_of_a_rule_is_a_mistake(tmp_path: Path, marker: str, said: str | None) -> None:
    path = profile(tmp_path, NA62.replace("reconstruction}", f"reconstruction, success: {{marker: {marker}}}}}"))
    (path.parent / "a.yaml").write_text(END)
    assert [problem.advice for problem in lint([path])] == ([said] if said else [])


def test_counters_of_the_rules_and_of_the_wrapper_are_known_to_a_law(tmp_path: Path) -> None:
    law = "{law: seen + mdst_entries == raw_events}, outputs: [{name: m, to: [a], kind: mdst}]"
    path = profile(tmp_path, NA62.replace("reconstruction}", f"reconstruction, success: {law}}}"))
    (path.parent / "a.yaml").write_text(
        "format: 1\nexperiment: NA62\ncounters:\n- {name: seen, match: 'seen (?<n>\\d+)'}\n"
    )
    assert lint([path]) == []


def test_a_law_may_hold_values_of_the_job(tmp_path: Path) -> None:
    generates = "generation, generates: true, command: [mc, '{seed}'], success: {law: 'made == {events}'}}"
    path = profile(tmp_path, NA62.replace("reconstruction}", generates))
    (path.parent / "a.yaml").write_text(
        "format: 1\nexperiment: NA62\ncounters:\n- {name: made, match: 'made (?<n>\\d+)'}\n"
    )
    assert lint([path]) == []


def test_an_owner_is_a_team_of_the_profile_or_an_address(pack: Pack) -> None:
    pack.add(f"{NA62}teams: {{spectrometer: the office}}\n", "na62/experiment.yaml", header="")
    rule = "{{id: boom{0}, code: 120{0}, title: t, cause: crash, action: retry, exit: {{codes: [{0}]}}, owner: {1}}}"
    owners = enumerate(("spectrometer", "a@b.example", "spectrometr"), 1)
    pack.add("rules:\n" + "".join(f"- {rule.format(number, owner)}\n" for number, owner in owners), "na62/a.yaml")
    [problem] = [one for one in lint([pack.root]) if "team" in one.message]
    assert (problem.line, problem.message) == (6, "'spectrometr' is no team of the profile of NA62.")
    assert problem.advice == "Did you mean 'spectrometer'?"


def test_the_team_of_the_common_rules_is_always_there(pack: Pack) -> None:
    pack.add(f"{NA62}teams: {{spectrometer: the office}}\n", "na62/experiment.yaml", header="")
    rule = "{id: boom, code: 2001, title: t, cause: crash, action: retry, exit: {codes: [1]}, owner: common}"
    pack.add(f"rules:\n- {rule}\n", "common/a.yaml")
    assert [one for one in lint([pack.root]) if "team" in one.message] == []


@pytest.mark.parametrize(
    ("setup", "wrong"), [("export A=1", True), ("/cvmfs/setup.sh", False), ("'{cvmfs}/s.sh'", False)]
)
def test_a_setup_is_the_path_of_a_script_and_no_command(tmp_path: Path, setup: str, wrong: bool) -> None:
    types = f"  reco: {{kind: reconstruction, setup: {setup}}}\n"
    path = profile(
        tmp_path, f"{NA62.split('job_types', maxsplit=1)[0]}values: {{cvmfs: /cvmfs/na62}}\njob_types:\n{types}"
    )
    said = [problem.message for problem in lint([path])]
    assert said == (["'export A=1' is not the absolute path of a script."] if wrong else [])


def test_a_name_that_is_not_known_is_the_only_problem_of_its_template(tmp_path: Path) -> None:
    output = "{name: '{reko}.root', to: ['file:///eos/'], kind: mdst}"
    log = "{name: '{reko}-{job}-a{attempt}.tgz', to: ['file:///eos/']}"
    types = f"  reco: {{kind: reconstruction, outputs: [{output}], log: {log}}}\n"
    path = profile(tmp_path, f"{NA62.split('job_types', maxsplit=1)[0]}job_types:\n{types}")
    assert {problem.message for problem in lint([path])} == {"nothing is called 'reko'."}
