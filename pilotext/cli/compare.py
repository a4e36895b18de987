"""`pilotext compare`: compare the results of two productions, run by run, or two ROOT files."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pilotext.api.client import Client
from pilotext.api.schemas.fields import words_of
from pilotext.api.schemas.runs import MergedFile, ProductRow
from pilotext.cli import connection
from pilotext.cli.arguments import add_choice
from pilotext.cli.output import say
from pilotext.cli.runs.choice import fetch_products
from pilotext.cli.tables import print_table, progress, write_json
from pilotext.comparison.child import ComparisonError, compare_files
from pilotext.comparison.records import (
    AGREEING,
    FilesFinding,
    ObjectFinding,
    ProductFinding,
    TasksFinding,
    Test,
    Tolerances,
)
from pilotext.errors import StorageError, UsageError
from pilotext.formatting import counted_words
from pilotext.model.codes import Exit
from pilotext.model.job import Input
from pilotext.storage.retry import Policy
from pilotext.storage.stage_in import stage_in
from pilotext.storage.transfer import ChildMover, Mover, with_credentials

EXAMPLE = "pilotext compare dvcs2016P09t1 dvcs2016P09t2 --merge plots"
DIFFERENT = 1
STALL_S = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="the task that the other one is compared with, or a ROOT file")
    parser.add_argument("new", metavar="NEW", help="the task that is compared, or a ROOT file")
    parser.add_argument("--run", type=int, metavar="N", help="only this run")
    parser.add_argument("--merge", metavar="MERGE", help="only products of this merge, such as plots")
    add_choice(parser, "--test", words_of(Test), "the test for histograms: chi-square (default) or Kolmogorov-Smirnov")
    text = "the probability below which two histograms differ (default: 0.001)"
    parser.add_argument("--p-value", type=_part, default=0.001, metavar="P", help=text)
    text = "the part by which numbers of entries may differ, such as 0.01 (default: 0)"
    parser.add_argument("--entries", type=_part, default=0.0, metavar="PART", help=text)
    parser.add_argument("--all", action="store_true", help="print the objects that agree, too")
    text = "the time for each file that waits for tape or a busy storage, and for each comparison (default: 600)"
    parser.add_argument("--within", type=float, default=600.0, metavar="SECONDS", help=text)
    connection.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print what differs. The exit status is 0 when all agrees, and 1 when something differs or was not compared."""
    files = [Path(name) for name in (options.old, options.new) if Path(name).is_file()]
    if len(files) == 1:
        raise UsageError(f"{files[0]} is a file, and the other one is none.", advice="Name two tasks or two files.")
    if files:
        agrees = _compare_files(files[0], files[1], options).agrees
    else:
        agrees = _compare_tasks(connection.connect(options), options).agrees
    return Exit.SUCCESS if agrees else DIFFERENT


def _limits(options: argparse.Namespace) -> Tolerances:
    return Tolerances(options.test or "chi2", options.p_value, options.entries)


def _part(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 0 to 1")
    return number


def _compare_files(old: Path, new: Path, options: argparse.Namespace) -> FilesFinding:
    found = compare_files([old], [new], _limits(options), options.within)
    if options.json:
        write_json(found)
    else:
        _print_objects([("", each) for each in found.objects], options)
        say(_summary(found.agrees, found.objects))
    return found


def _compare_tasks(client: Client, options: argparse.Namespace) -> TasksFinding:
    if options.old == options.new:
        raise UsageError(f"{options.old} cannot be compared with itself.", advice="Name two tasks.")
    old, new = (_products(client, task, options) for task in (options.old, options.new))
    places = sorted(old.keys() | new.keys())
    if not places:
        raise UsageError(
            f"neither {options.old} nor {options.new} has merged files of this choice.",
            advice="See `pilotext runs show TASK`.",
        )
    mover = with_credentials(ChildMover(STALL_S), os.environ)
    try:
        with progress("products") as shown:
            products = []
            for place in places:
                products.append(_compare_product(place, old.get(place), new.get(place), mover, options))
                shown(len(products), len(places))
    finally:
        mover.close()
    agrees = all(each.agrees for each in products)
    found = TasksFinding(options.old, options.new, _limits(options), agrees, tuple(products))
    write_json(found) if options.json else _print_products(found, options)
    return found


def _products(client: Client, task: str, options: argparse.Namespace) -> dict[tuple[int, str], ProductRow]:
    """Return the products of a task that have merged files."""
    rows = fetch_products(client, task, run=options.run, merge=options.merge)
    return {(row.run, row.merge): row for row in rows if row.files}


def _compare_product(
    place: tuple[int, str],
    old: ProductRow | None,
    new: ProductRow | None,
    mover: Mover,
    options: argparse.Namespace,
) -> ProductFinding:
    if old is None or new is None:
        only = options.old if new is None else options.new
        return ProductFinding(*place, False, f"only {only} has merged files of it", ())
    with tempfile.TemporaryDirectory(prefix="pilotext-compare-") as name:
        try:
            policy = Policy(tries=2, retry_within_s=options.within, online_within_s=options.within)
            first, second = (list(_fetched(row, Path(name) / row.task, mover, policy)) for row in (old, new))
            found = compare_files(first, second, _limits(options), options.within)
        except (StorageError, ComparisonError) as error:
            return ProductFinding(*place, False, str(error), ())
    return ProductFinding(*place, found.agrees, "", found.objects)


def _fetched(row: ProductRow, folder: Path, mover: Mover, policy: Policy) -> Iterator[Path]:
    """Copy the files of a product, from where they are kept or else from where they were merged."""
    folder.mkdir()
    for file in row.files:
        stage_in(_input(file), folder, mover, policy)
        yield folder / file.name


def _input(file: MergedFile) -> Input:
    sources = tuple(dict.fromkeys(url for url in (file.url, file.kept) if url))
    return Input(file.name, sources, file.size, file.adler32)


def _print_products(found: TasksFinding, options: argparse.Namespace) -> None:
    rows = [(f"run {each.run} {each.merge}", item) for each in found.products for item in each.objects]
    _print_objects(rows, options)
    for each in found.products:
        if each.problem:
            say(f"run {each.run} {each.merge}: not compared: {each.problem}")
    say(f"{counted_words(len(found.products), 'product')}: {_summary(found.agrees, [item for _, item in rows])}")


def _print_objects(rows: Sequence[tuple[str, ObjectFinding]], options: argparse.Namespace) -> None:
    shown = [(place, item) for place, item in rows if options.all or item.finding not in AGREEING]
    if shown:
        cells = [
            (place, item.name, item.kind, item.finding, _entries(item.old), _entries(item.new), _p(item), item.why)
            for place, item in shown
        ]
        print_table(("product", "name", "kind", "finding", "old", "new", "p", "why"), cells)


def _entries(number: float | None) -> str:
    return "-" if number is None else f"{number:.0f}"


def _p(item: ObjectFinding) -> str:
    return "-" if item.p_value is None else f"{item.p_value:.3g}"


def _summary(agrees: bool, objects: Sequence[ObjectFinding]) -> str:
    different = sum(item.finding not in AGREEING for item in objects)
    untested = sum(item.finding == "not compared" for item in objects)
    words = f"{counted_words(len(objects), 'object')} compared, {different} different"
    words += f", {untested} by their entries alone" if untested else ""
    return f"{words}: the results {'agree' if agrees else 'do not agree'}."
