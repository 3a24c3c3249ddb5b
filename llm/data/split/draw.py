"""Which questions go to which part: whole questions, in proportion to their labels, decided by a seed."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import xxhash

from llm.core.records.reward_records import Preference, Record
from llm.data.questions import key_of, question_of

WITHOUT_LABELS = -1.0


@dataclass
class Questions:
    """What is remembered of each question, and of each record the number of its question."""

    numbers: dict[int, int] = field(default_factory=dict)  # by the question's key
    records: array = field(default_factory=lambda: array("I"))
    labels: array = field(default_factory=lambda: array("I"))
    positive: array = field(default_factory=lambda: array("d"))  # the sum of the labels

    def add(self, record: Record | Preference) -> int:
        """The number of the record's question."""
        number = self.numbers.setdefault(key_of(question_of(record)), len(self.numbers))
        if number == len(self.records):
            self.records.append(0)
            self.labels.append(0)
            self.positive.append(0.0)
        self.records[number] += 1
        if isinstance(record, Record):
            labels = [label for label in record.labels if label is not None]
            self.labels[number] += len(labels)
            self.positive[number] += sum(labels)
        return number

    def in_order(self, seed: int) -> list[int]:
        """By their share of "+", and at random where that is equal. What is drawn evenly from this order has the
        labels of the whole. The order does not depend on that of the files."""
        shares = [
            round(positive / labels, 9) if labels else WITHOUT_LABELS
            for positive, labels in zip(self.positive, self.labels, strict=True)
        ]
        chance = [xxhash.xxh3_64_intdigest(key.to_bytes(8, "little"), seed) for key in self.numbers]
        return sorted(range(len(shares)), key=lambda number: (shares[number], chance[number]))


def draw(order: Sequence[int], records: Sequence[int], wanted: int) -> list[int]:
    """Questions with at most `wanted` records together. Of every stretch of the order the records drawn are those that
    are its due within the records of the largest question; of questions with one record each, exactly `wanted`."""
    total = sum(records[number] for number in order)
    drawn, taken, due = [], 0, 0  # due: records times total, so that it is exact
    for number in order:
        size = records[number]
        due += wanted * size
        if 2 * due >= total * size and taken + size <= wanted:
            drawn.append(number)
            taken += size
            due -= total * size
    return drawn
