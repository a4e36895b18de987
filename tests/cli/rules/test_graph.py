from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.cli.main import main


def test_the_graph_has_every_edge_in_both_formats(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "graph"]) == 0
    drawn = capfd.readouterr().out
    assert drawn.startswith("flowchart LR\n")
    assert "    no-space-left --> terminate-called\n" in drawn
    assert main(["rules", "graph", "--format", "dot", "--output", str(tmp_path / "a.dot")]) == 0
    text = (tmp_path / "a.dot").read_text()
    assert '    "no-space-left" -> "terminate-called";\n' in text
    assert text.count(" -> ") == drawn.count(" --> ")


def test_the_graph_around_a_rule_is_a_part_of_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "graph"]) == 0
    whole = capfd.readouterr().out.splitlines()
    assert main(["rules", "graph", "terminate-called"]) == 0
    part = capfd.readouterr().out.splitlines()
    assert {*part} < {*whole}
    assert any(line.endswith("--> terminate-called") for line in part)
    assert main(["rules", "graph", "terminate-caled"]) == 64
    assert "Did you mean 'terminate-called'?" in capfd.readouterr().err
