"""Preferences: how long the two answers are. Where nearly all chosen ones are longer, a model learns to count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llm.core.records.reward_records import Preference, Record
from llm.data.check.finding import Chart, Finding
from llm.data.check.histogram import Histogram


class Pairs:
    name = "pairs"

    def __init__(self) -> None:
        self.count = self.longer = 0
        self.chosen, self.rejected = Histogram(), Histogram()

    def add(self, record: Record | Preference, number: int) -> str:
        assert isinstance(record, Preference)
        self.count += 1
        self.longer += len(record.chosen) > len(record.rejected)
        self.chosen.add(len(record.chosen))
        self.rejected.add(len(record.rejected))
        return ""

    def facts(self) -> dict[str, Any]:
        return {
            "pairs": self.count,
            "chosen is longer": self.longer,
            "characters of chosen": self.chosen.facts(),
            "characters of rejected": self.rejected.facts(),
        }

    def lines(self) -> Iterator[str]:
        yield f"characters of the chosen answer: {self.chosen.line()}"
        yield f"characters of the rejected answer: {self.rejected.line()}"
        if self.count:
            yield f"  the chosen answer is the longer one in {self.longer / self.count:.1%} of {self.count:,} pairs"

    def charts(self) -> Iterator[Chart]:
        yield Chart("Characters of the chosen answer", self.chosen.bars())
        yield Chart("Characters of the rejected answer", self.rejected.bars())

    def findings(self) -> Iterator[Finding]:
        return iter(())
