"""`pilotext jobs`: list and show jobs, and decide on them."""

from __future__ import annotations

from functools import partial

from pilotext.cli.jobs import decide, listing, notes, reclassify, show
from pilotext.cli.parser import Noun, Verb

EXAMPLES = {
    "resend": 'pilotext jobs resend 4711 --why "the file was copied again"\n'
    'pilotext jobs resend --task slot1 --code SHINE-1237 --why "the files were copied again"',
    "accept": 'pilotext jobs accept 4711 --why "the two missing events are known"',
    "fail": 'pilotext jobs fail --task slot1 --state manual --why "the tape is damaged"',
    "cancel": 'pilotext jobs cancel 4711 --why "wrong options"',
    "hurry": 'pilotext jobs hurry --task slot1 --run 275772 --why "the last run before the conference"',
}

NOUN = Noun(
    {
        "list": Verb(
            "list jobs",
            "pilotext jobs list --task slot1 --state failed",
            listing.add_arguments,
            listing.run,
        ),
        "manual": Verb(
            "list the jobs that wait for a decision, with the evidence and the advice of the rule",
            "pilotext jobs manual --task slot1",
            listing.add_arguments,
            listing.run_manual,
        ),
        "show": Verb(
            "show why jobs wait, their attempts, evidence, outputs and history",
            "pilotext jobs show 4711",
            show.add_arguments,
            show.run,
        ),
        **{
            word: Verb(summary, EXAMPLES[word], decide.add_arguments, partial(decide.run, word))
            for word, summary in decide.DECISIONS.items()
        },
        "note": Verb(
            "add a note to the history of jobs",
            'pilotext jobs note 4711 --why "asked the shift crew"',
            notes.add_note_arguments,
            notes.note,
        ),
        "assign": Verb(
            "say who investigates jobs that wait for a decision",
            "pilotext jobs assign 4711 --to igor",
            notes.add_assign_arguments,
            notes.assign,
        ),
        "rejudge": Verb(
            "apply the current rules to the kept reports of failed attempts, and show or apply the new verdicts",
            "pilotext jobs rejudge --task slot1\n"
            'pilotext jobs rejudge --task slot1 --act --why "rule 1241 was too wide"',
            reclassify.add_arguments,
            reclassify.run,
        ),
    },
    default="list",
)
