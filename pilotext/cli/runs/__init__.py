"""`pilotext runs`: list and show the runs of a task, and decide on their merged products."""

from __future__ import annotations

from functools import partial

from pilotext.cli.parser import Noun, Verb
from pilotext.cli.runs import decide, listing, show

EXAMPLES = {
    "merge-without": 'pilotext runs merge-without slot1 --run 275772 --why "the tape is damaged"',
    "resend-missing": 'pilotext runs resend-missing slot1 --run 275772 --why "the tape is repaired"',
    "remerge": 'pilotext runs remerge slot1 --run 275772 --merge reco --why "the program was corrected"',
    "accept": 'pilotext runs accept slot1 --run 275772 --merge plots --why "two empty histograms"',
}

NOUN = Noun(
    {
        "list": Verb(
            "list the runs of a task with their jobs, events and products",
            "pilotext runs list slot1 --state manual",
            listing.add_arguments,
            listing.run,
        ),
        "show": Verb(
            "show the merged files of runs, and with --run why one run waits",
            "pilotext runs show slot1 --run 275772",
            show.add_arguments,
            show.run,
        ),
        **{
            word: Verb(summary, EXAMPLES[word], decide.add_arguments, partial(decide.run, word))
            for word, summary in decide.DECISIONS.items()
        },
    },
    default="list",
    default_takes_words=True,
)
