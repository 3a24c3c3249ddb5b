"""A part of a check's outcome: the settings, the model, a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm.core.records.reading_bar import reading_bar
from llm.core.text.reading import Reading
from llm.data.check.data_check import DataCheck, check_data
from llm.data.check.finding import Chart, Finding


@dataclass
class Section:
    name: str
    lines: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)
    data: DataCheck | None = None  # where the section is of a data set

    def refused(self, why: str) -> None:
        """What training refuses with this message, which says what to do."""
        self.findings.append(Finding("refused", 1, why, ""))


def data_section(
    name: str,
    files: list[Path],
    reading: Reading,
    against: Sequence[Path],
    bar: bool,
    processes: int | None = None,
    keeps_encoded: bool = False,
) -> Section:
    """So many processes encode; without a number as many as in training."""
    if reading.make_encoder and not processes:
        from llm.core.run.packed_rows import processes_for  # takes longer to import than a small file to check

        processes = processes_for(files)
    with reading_bar(files, bar) as progress:
        data = check_data(files, reading, against, progress, processes or 1, keeps_encoded)
    charts = [chart for measure in data.measures for chart in measure.charts()] if data.usable else []
    return Section(name, list(data.lines()), data.findings(), data.facts(), charts, data)
