from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from pilotext.api.schemas.runs import MergedFile, ProductList, ProductRow, RunList
from pilotext.cli import connection
from pilotext.cli.main import main
from tests.comparison.files import write_file


def product(task: str, run: int, *files: Path) -> ProductRow:
    return ProductRow(run, task, run, "plots", "kept", 1, (), None, "", tuple(map(merged, files)), 0.0)


def merged(path: Path) -> MergedFile:
    content = path.read_bytes()
    url = f"file://{path}"
    return MergedFile(path.name, url, "", len(content), f"{zlib.adler32(content):08x}", None, 1)


class Server:
    """The products that the command asks for."""

    def __init__(self, *products: ProductRow) -> None:
        self.products = products

    def get(self, _path: str, kind: type, query: dict[str, Any]) -> Any:
        if kind is RunList:
            return RunList((), None)
        wanted = {name: query[name] for name in ("task", "run", "merge") if query.get(name) is not None}
        found = [row for row in self.products if all(getattr(row, name) == value for name, value in wanted.items())]
        return ProductList(tuple(found), None)


def tasks(monkeypatch: pytest.MonkeyPatch, *products: ProductRow) -> None:
    monkeypatch.setattr(connection, "connect", lambda _options: Server(*products))


def test_two_files_that_agree_are_a_success(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    old, new = (str(write_file(tmp_path / name)) for name in ("old.root", "new.root"))
    assert main(["compare", old, new]) == 0
    assert capfd.readouterr().out == "3 objects compared, 0 different: the results agree.\n"


def test_what_differs_is_told_with_its_numbers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    old, new = write_file(tmp_path / "old.root"), write_file(tmp_path / "new.root", shift=0.05)
    assert main(["compare", str(old), str(new), "--entries", "0.1"]) == 1
    said = capfd.readouterr().out
    assert "plots/mass" in said
    assert "vertex_xy" not in said
    assert "3 objects compared, 1 different: the results do not agree." in said


def test_runs_of_two_tasks_are_compared_from_their_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    first = [write_file(tmp_path / f"old-{part}.root", seed=part) for part in (1, 2)]
    second = [write_file(tmp_path / f"new-{part}.root", seed=part, shift=0.05 * (part - 1)) for part in (1, 2)]
    tasks(
        monkeypatch,
        *(product("old", run, file) for run, file in zip((1, 2), first, strict=True)),
        *(product("new", run, file) for run, file in zip((1, 2), second, strict=True)),
    )
    assert main(["compare", "old", "new", "--entries", "0.1", "--json"]) == 1
    found = json.loads(capfd.readouterr().out)
    assert [(each["run"], each["agrees"]) for each in found["products"]] == [(1, True), (2, False)]
    assert main(["compare", "old", "new", "--entries", "0.1", "--run", "1"]) == 0
    assert "1 product: 3 objects compared, 0 different: the results agree." in capfd.readouterr().out


def test_a_product_in_several_files_is_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = [write_file(tmp_path / f"part-{seed}.root", seed=seed) for seed in (1, 2)]
    tasks(monkeypatch, product("old", 1, *parts), product("new", 1, *reversed(parts)))
    assert main(["compare", "old", "new"]) == 0
    assert "the results agree" in capfd.readouterr().out


def test_a_run_that_one_task_lacks_and_a_file_that_is_gone_do_not_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    old, gone = write_file(tmp_path / "old.root"), write_file(tmp_path / "gone.root")
    tasks(monkeypatch, product("old", 1, old), product("old", 2, old), product("new", 2, gone))
    gone.unlink()
    assert main(["compare", "old", "new"]) == 1
    said = capfd.readouterr().out
    assert "run 1 plots: not compared: only old has merged files of it" in said
    assert "run 2 plots: not compared:" in said
    assert "gone.root" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["t1", "t1"], "cannot be compared with itself"),
        (["t1", "t2"], "neither t1 nor t2 has merged files"),
        (["t1", "{file}"], "is a file, and the other one is none"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_its_reason(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tasks(monkeypatch)
    file = write_file(tmp_path / "plots.root")
    assert main(["compare", *(word.replace("{file}", str(file)) for word in words)]) == 64
    assert said in capfd.readouterr().err


def test_a_probability_above_one_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="64"):
        main(["compare", "t1", "t2", "--p-value", "7"])
    assert "argument --p-value: 7 is no number from 0 to 1" in capfd.readouterr().err
