"""What a check of files found out, and what it counted."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilotext.formats.rootfile import RootSummary
from pilotext.model.verdict import Finding, Phase


@dataclass
class Checked:
    """Findings and counters of one check; `partly` names the files that could not be read whole."""

    findings: list[Finding] = field(default_factory=list)
    counters: dict[str, int | float] = field(default_factory=dict)
    partly: list[str] = field(default_factory=list)

    def count(self, name: str, number: float) -> None:
        self.counters[name] = self.counters.get(name, 0) + number

    def found(self, name: str, text: str, phase: Phase, file: str) -> None:
        self.findings.append(Finding(name=name, text=text, phase=phase, fields={"file": file}))

    def read_whole(self, summary: RootSummary) -> bool:
        """Whether the content of a ROOT file was read, so that its entries are known."""
        return summary.method == "every branch read" and not summary.partly
