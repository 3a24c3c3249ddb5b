"""Dialogues: how many turns, and how long the answers are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llm.core.records.dialogues import ASSISTANT, Dialogue
from llm.data.check.finding import Chart, Finding
from llm.data.check.histogram import Histogram


class Dialogues:
    name = "answers"

    def __init__(self) -> None:
        self.turns, self.characters = Histogram(), Histogram()

    def add(self, record: Dialogue, number: int) -> str:
        answers = [message.content for message in record.messages if message.role == ASSISTANT]
        self.turns.add(len(answers))
        for answer in answers:
            self.characters.add(len(answer))
        return ""

    def facts(self) -> dict[str, Any]:
        return {"per record": self.turns.facts(), "characters": self.characters.facts()}

    def lines(self) -> Iterator[str]:
        yield f"answers per record: {self.turns.line()}"
        yield f"characters of an answer: {self.characters.line()}"

    def charts(self) -> Iterator[Chart]:
        yield Chart("Answers per record", self.turns.bars())
        yield Chart("Characters of an answer", self.characters.bars())

    def findings(self) -> Iterator[Finding]:
        return iter(())
