"""Steps of a solution: how many, and whether a placeholder is written inside one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llm.core.console import count_of
from llm.core.records.reward_records import Preference, Record
from llm.data.check.finding import Chart, Examples, Finding
from llm.data.check.histogram import Histogram


class Steps:
    name = "steps"

    def __init__(self, placeholder: str) -> None:
        self.per_record = Histogram()
        self.placeholder = placeholder
        self.with_placeholder = Examples()

    def add(self, record: Record | Preference, number: int) -> str:
        assert isinstance(record, Record)
        self.per_record.add(len(record.steps))
        for index, step in enumerate(record.steps):
            if self.placeholder in step:
                self.with_placeholder.add(f"{record.place}: responses[{index}]")
                break
        return ""

    def facts(self) -> dict[str, Any]:
        return {"per record": self.per_record.facts(), "records with the placeholder": self.with_placeholder.count}

    def lines(self) -> Iterator[str]:
        yield f"steps per record: {self.per_record.line()}"

    def charts(self) -> Iterator[Chart]:
        yield Chart("Steps per record", self.per_record.bars())

    def findings(self) -> Iterator[Finding]:
        text = f"{count_of(self.with_placeholder.count, 'record')} with the placeholder {self.placeholder!r} in a step"
        advice = "One label is learned per element of responses; if placeholders end steps, make each step an element."
        yield from self.with_placeholder.finding("placeholder in a step", text, advice)
