"""Records that occur twice, and records that contradict each other: the same solution with other labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from llm.core.console import count_of
from llm.core.records.comparisons import Comparison
from llm.core.records.dialogues import Dialogue
from llm.core.records.judged_answers import JudgedAnswer
from llm.core.records.reward_records import Preference, Record
from llm.data.check.finding import Chart, Examples, Finding
from llm.data.questions import key_of

DUPLICATE, CONTRADICTION = "duplicate", "contradiction"


class First(NamedTuple):
    """The first record with a text."""

    judged: int  # a hash of its labels, or of which answer is preferred
    place: str
    number: int


class Duplicates:
    name = "duplicates"

    def __init__(self) -> None:
        self.first: dict[int, First] = {}
        self.duplicates, self.contradictions = Examples(), Examples()
        self.contradicted: dict[int, int] = {}  # by the text, the number of its first record

    def add(self, record: Record | Preference | Dialogue | Comparison, number: int) -> str:
        if isinstance(record, Record) and not any(label is not None for label in record.labels):
            return ""
        text, judged = _text_and_judgement(record)
        key = key_of(text)
        first = self.first.setdefault(key, First(judged, record.place, number))
        if first.number == number:
            return ""
        if first.judged != judged or key in self.contradicted:
            self.contradicted[key] = first.number
            self.contradictions.add(f"{record.place} and {first.place}")
            return CONTRADICTION
        self.duplicates.add(f"{record.place} repeats {first.place}")
        return DUPLICATE

    def facts(self) -> dict[str, Any]:
        return {"duplicates": self.duplicates.count, "contradictions": self.contradictions.count}

    def lines(self) -> Iterator[str]:
        yield f"duplicates: {self.duplicates.count:,}; contradictions: {self.contradictions.count:,}"

    def charts(self) -> Iterator[Chart]:
        return iter(())

    def findings(self) -> Iterator[Finding]:
        text = f"{count_of(self.duplicates.count, 'record')} equal to an earlier one in question, answer and labels"
        yield from self.duplicates.finding(DUPLICATE, text, "They count several times in the loss.")
        text = f"{count_of(self.contradictions.count, 'record')} with the question and steps of an earlier one"
        advice = "Training learns the mean of these labels."
        yield from self.contradictions.finding(CONTRADICTION, f"{text}, but other labels", advice)


def _text_and_judgement(record: Record | Preference | Dialogue | Comparison) -> tuple[str, int]:
    if isinstance(record, Dialogue | Comparison):
        before = [part for message in record.messages for part in message]
        if isinstance(record, Dialogue):
            return "\0".join(before), hash(record.label) if isinstance(record, JudgedAnswer) else 0
        ranked = sorted(zip(record.answers, record.ranks, strict=True))
        return "\0".join((*before, "\0", *(answer for answer, _ in ranked))), hash(tuple(rank for _, rank in ranked))
    if isinstance(record, Record):
        texts, judged = record.steps, hash(record.labels)
    else:
        texts = tuple(sorted((record.chosen, record.rejected)))
        judged = int(record.chosen == texts[0])
    return "\0".join((*record.src, "\0", *record.tgt, "\0", *texts)), judged
