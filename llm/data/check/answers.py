"""Answers: how many a record has, and how long they are. Where nearly all chosen ones are longer, a model learns to
write more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llm.core.records.comparisons import Comparison
from llm.core.records.dialogues import ASSISTANT, Dialogue
from llm.data.check.finding import Chart, Finding
from llm.data.check.histogram import Histogram


class Answers:
    name = "answers"

    def __init__(self) -> None:
        self.per_record, self.characters = Histogram(), Histogram()

    def count(self, answers: list[str]) -> None:
        self.per_record.add(len(answers))
        for answer in answers:
            self.characters.add(len(answer))

    def facts(self) -> dict[str, Any]:
        return {"per record": self.per_record.facts(), "characters": self.characters.facts()}

    def lines(self) -> Iterator[str]:
        yield f"answers per record: {self.per_record.line()}"
        yield f"characters of an answer: {self.characters.line()}"

    def charts(self) -> Iterator[Chart]:
        yield Chart("Answers per record", self.per_record.bars())
        yield Chart("Characters of an answer", self.characters.bars())

    def findings(self) -> Iterator[Finding]:
        return iter(())


class Dialogues(Answers):
    def add(self, record: Dialogue, number: int) -> str:
        self.count([message.content for message in record.messages if message.role == ASSISTANT])
        return ""


class Comparisons(Answers):
    def __init__(self) -> None:
        super().__init__()
        self.pairs = self.longer = 0

    def add(self, record: Comparison, number: int) -> str:
        self.count(list(record.answers))
        for pair in record.pairs():
            self.pairs += 1
            self.longer += len(pair.chosen) > len(pair.rejected)
        return ""

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "pairs": self.pairs, "chosen is longer": self.longer}

    def lines(self) -> Iterator[str]:
        yield from super().lines()
        if self.pairs:
            yield f"  the chosen answer is the longer one in {self.longer / self.pairs:.1%} of {self.pairs:,} pairs"
