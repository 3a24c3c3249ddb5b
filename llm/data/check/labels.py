"""The labels of steps: how many of which, where in a solution, and whether there is something to learn from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from llm.core.console import count_of
from llm.core.records.reward_records import Preference, Record
from llm.data.check.finding import Chart, Examples, Finding

POSITIONS = 10  # shown one by one
BINS = 10  # of soft labels
ENOUGH = 20  # records of several labels from which on it is no accident that none of them changes
NO_LABEL = "without a label to learn from"


class Labels:
    name = "labels"

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.positive = 0.0  # the sum of the labels
        self.by_position: list[list[float]] = []  # [labels, sum of labels] of the first steps, the second ones, ...
        self.soft = [0] * BINS
        self.several = self.constant = 0  # records with several labels; those whose labels are all the same
        self.recovered = self.errors = 0  # records with a wrong step before the last label; with a right one after it
        self.unlabelled = Examples()

    def add(self, record: Record | Preference, number: int) -> str:
        assert isinstance(record, Record)
        scored = [label for label in record.labels if label is not None]
        right, wrong = scored.count(1.0), scored.count(0.0)
        if right + wrong < len(scored):
            for label in scored:
                if label not in (0.0, 1.0):
                    self.soft[min(int(label * BINS), BINS - 1)] += 1
        while len(self.by_position) < len(record.labels):
            self.by_position.append([0, 0.0])
        for place, value in zip(self.by_position, record.labels, strict=False):
            if value is not None:
                place[0] += 1
                place[1] += value
        self.kinds["+"] += right
        self.kinds["-"] += wrong
        self.kinds["soft"] += len(scored) - right - wrong
        self.kinds["null"] += len(record.labels) - len(scored)
        self.positive += sum(scored)
        if len(scored) > 1:
            self._look_at_changes(scored)
        if not scored:
            self.unlabelled.add(record.place)
            return NO_LABEL
        return ""

    def _look_at_changes(self, scored: list[float]) -> None:
        self.several += 1
        self.constant += len(set(scored)) == 1
        error = next((index for index, label in enumerate(scored[:-1]) if label <= 0.5), None)
        if error is not None:
            self.errors += 1
            self.recovered += any(label > 0.5 for label in scored[error + 1 :])

    @property
    def count(self) -> int:
        return self.kinds["+"] + self.kinds["-"] + self.kinds["soft"]

    def facts(self) -> dict[str, Any]:
        return {
            **{kind: self.kinds[kind] for kind in ("+", "-", "soft", "null")},
            "share of +": _share(self.positive, self.count),
            "by position": [
                {"labels": int(count), "share of +": _share(positive, count)} for count, positive in self.by_position
            ],
            "soft labels by tenths": self.soft,
            "records of several labels": self.several,
            "of which all the same": self.constant,
            "records with a wrong step before the last label": self.errors,
            "of which a later one is right": self.recovered,
        }

    def lines(self) -> Iterator[str]:
        kinds = ", ".join(f"{self.kinds[kind]:,} {kind}" for kind in ("+", "-", "soft", "null") if self.kinds[kind])
        if not self.count:
            yield f"labels: {kinds or 'none'}"
            return
        yield f"labels: {kinds}; {self.positive / self.count:.1%} of them +"
        shown = [
            f"{number}: {positive / count:.1%}"
            for number, (count, positive) in enumerate(self.by_position[:POSITIONS], 1)
            if count
        ]
        later = len(self.by_position) - POSITIONS
        more = f"; {count_of(later, 'later position')} not shown" if later > 0 else ""
        yield f"  share of + by position of the step: {', '.join(shown)}{more}"
        if self.several:
            yield f"  {self.constant:,} of {count_of(self.several, 'record')} with several labels have only one kind"
        if self.errors:
            some = count_of(self.errors, "record")
            yield f"  {self.recovered:,} of {some} with a wrong step have a right one after it"

    def charts(self) -> Iterator[Chart]:
        shown = self.by_position[: 2 * POSITIONS]
        yield Chart(
            "Share of + by position of the step",
            [
                (str(number), positive / count, f"{positive / count:.1%} of {count:,.0f}")
                for number, (count, positive) in enumerate(shown, 1)
                if count
            ],
            is_share=True,
        )
        bars = [(f"{n / BINS:.1f} to {(n + 1) / BINS:.1f}", count, f"{count:,}") for n, count in enumerate(self.soft)]
        if self.kinds["soft"]:
            yield Chart("Soft labels", bars)

    def findings(self) -> Iterator[Finding]:
        text = f"{count_of(self.unlabelled.count, 'record')} without a label to learn from: all are null"
        yield from self.unlabelled.finding("no label", text, "Training drops and counts them.")
        hard = [kind for kind in ("+", "-") if self.kinds[kind] == self.count > 0]
        if hard:
            text = f"every label is {hard[0]}: a model can only learn to answer always the same"
            yield Finding("one label", self.count, text, "Look at how the labels were made.")
        elif self.several >= ENOUGH and self.constant == self.several and not self.kinds["soft"]:
            text = f"in none of {self.several:,} records with several labels do they change from step to step"
            advice = "If the label of the answer was copied to its steps, train with process_reward false."
            yield Finding("labels do not change", self.several, text, advice)


def _share(positive: float, count: float) -> float | None:
    return round(positive / count, 6) if count else None
