"""Questions of the training data that are in the held-out data, too, or nearly so: a score on them says little.

Nearly equal: two questions share at least 4/5 of the pairs of neighbouring words that either of them has (their
Jaccard index), as after changing one word of twenty. All of these are found without comparing all with all. Put the
pairs of each question into one order, the rarest first. Each of two questions so much alike lacks at most 1/5 of its
own pairs in the other, so among its first ones, 1/5 and one more, is one that both have. How far down in both the first
such pair is bounds what they can share, so few of the questions found are compared.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from llm.core.console import count_of, visible
from llm.core.records.comparisons import Comparison
from llm.core.records.dialogues import Dialogue
from llm.core.records.reward_records import Preference, Record
from llm.data.check.finding import Chart, Examples, Finding
from llm.data.questions import key_of, question_of

ALIKE, OF = 4, 5
WORD = re.compile(r"\w+|[^\w\s]")  # an operator between two numbers is a word, too
SHOWN = 60  # characters of a question
SAME, NEARLY = "question in held-out data", "nearly equal question in held-out data"


class HeldOutQuestions:
    """The questions of the held-out data; `find` one that is the same or nearly."""

    def __init__(self) -> None:
        self.places: dict[int, str] = {}  # by the question's key
        self._pairs: list[tuple[str, frozenset[int]]] = []  # of every question: its place and its pairs of words
        self._frequency: Counter[int] = Counter()
        # where a pair is among the rarest of a question: its number, how many pairs it has, how many from this one on
        self._by_pair: dict[int, list[tuple[int, int, int]]] = {}

    def add(self, record: Record | Preference | Dialogue | Comparison) -> None:
        question = question_of(record)
        key = key_of(question)
        if key not in self.places:
            self.places[key] = record.place
            pairs = word_pairs(question)
            self._pairs.append((record.place, pairs))
            self._frequency.update(pairs)

    def close(self) -> None:
        """After the last question: only now is it known which pairs are rare."""
        for number, (_, pairs) in enumerate(self._pairs):
            for rank, pair in enumerate(self._rarest(pairs)):
                self._by_pair.setdefault(pair, []).append((number, len(pairs), len(pairs) - rank))

    def find_nearly(self, question: str) -> str:
        """The place of a question that is nearly equal, or ""."""
        pairs = word_pairs(question)
        compared: set[int] = set()
        for rank, pair in enumerate(self._rarest(pairs)):
            here = len(pairs) - rank
            for number, others, there in self._by_pair.get(pair, ()):
                # to share 4/5 of those that either has is to share 4/9 of both together
                least = -(-ALIKE * (len(pairs) + others) // (ALIKE + OF))
                if here >= least and there >= least and number not in compared:
                    compared.add(number)
                    if len(pairs & self._pairs[number][1]) >= least:
                        return self._pairs[number][0]
        return ""

    def _rarest(self, pairs: frozenset[int]) -> list[int]:
        ordered = sorted(pairs, key=lambda pair: (self._frequency[pair], pair))
        return ordered[: len(pairs) - -(-ALIKE * len(pairs) // OF) + 1]


def word_pairs(question: str) -> frozenset[int]:
    words = WORD.findall(question)
    return frozenset(key_of(" ".join(words[at : at + 2])) for at in range(max(len(words) - 1, 1)))


class Overlap:
    name = "held-out data"

    def __init__(self, held_out: HeldOutQuestions) -> None:
        self.held_out = held_out
        self.verdicts: dict[int, str] = {}  # by the question's key: the place of its like, or ""
        self.same, self.nearly = Examples(), Examples()
        self.questions: Counter[str] = Counter()

    def add(self, record: Record | Preference | Dialogue | Comparison, number: int) -> str:
        question = question_of(record)
        key = key_of(question)
        is_same = key in self.held_out.places
        if (place := self.verdicts.get(key)) is None:
            place = self.held_out.places[key] if is_same else self.held_out.find_nearly(question)
            self.verdicts[key] = place
            self.questions[SAME if is_same else NEARLY] += bool(place)
        if not place:
            return ""
        shown = visible(question[:SHOWN]) + ("…" if len(question) > SHOWN else "")
        (self.same if is_same else self.nearly).add(f"{record.place} and {place}: {shown}")
        return SAME if is_same else NEARLY

    def facts(self) -> dict[str, Any]:
        return {
            "questions held out": len(self.held_out.places),
            "questions in both": self.questions[SAME],
            "records of them": self.same.count,
            "questions nearly in both": self.questions[NEARLY],
            "records of these": self.nearly.count,
        }

    def lines(self) -> Iterator[str]:
        facts = self.facts()
        yield (
            f"held-out data: {count_of(facts['questions held out'], 'question')}; {facts['questions in both']:,} of "
            f"them here, too, and {count_of(facts['questions nearly in both'], 'question')} here nearly equal to one"
        )

    def charts(self) -> Iterator[Chart]:
        return iter(())

    def findings(self) -> Iterator[Finding]:
        advice = "What a model scores on them does not say what it learned; split by question (python -m llm split)."
        records, questions = count_of(self.same.count, "record"), count_of(self.questions[SAME], "question")
        yield from self.same.finding(SAME, f"{records} of {questions} that the held-out data has, too", advice)
        records, questions = count_of(self.nearly.count, "record"), count_of(self.questions[NEARLY], "question")
        text = f"{records} of {questions} nearly equal to one of the held-out data"
        yield from self.nearly.finding(NEARLY, text, "Look at them: another name or number may be another question.")
