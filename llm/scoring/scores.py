"""The scores of a solution and what is made of them. No paddle here.

Everything follows from one number for each step: r = ln(p / (1 - p)), which for a preference model is the reward.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

THRESHOLD = 0.5
DIGITS = 6  # of what is written to files; rounding in float32 changes the seventh


@dataclass(frozen=True)
class Scores:
    """Of the steps of a solution; of one that is scored as a whole, of its answer alone."""

    log_odds: np.ndarray  # [n] float64
    of_steps: bool = True
    interval: np.ndarray | None = None  # [2, n] log-odds: where a quantile head expects a label to lie

    @property
    def low(self) -> Scores | None:
        """The lower ends of the intervals."""
        return None if self.interval is None else Scores(self.interval[0], self.of_steps)

    @property
    def high(self) -> Scores | None:
        return None if self.interval is None else Scores(self.interval[1], self.of_steps)

    @cached_property
    def steps(self) -> list[float]:
        """The probability of each step to be right."""
        return np.exp(-np.logaddexp(0.0, -self.log_odds)).tolist()

    @property
    def reward(self) -> float:
        """Of the whole solution, from minus to plus infinity: what preferences are about."""
        return float(self.log_odds[-1])

    @property
    def min(self) -> float:
        return min(self.steps)

    @property
    def last(self) -> float:
        return self.steps[-1]

    @property
    def product(self) -> float:
        return float(np.exp(-np.logaddexp(0.0, -self.log_odds).sum()))

    @property
    def mean(self) -> float:
        return float(np.mean(self.steps))

    @property
    def sum_of_log_odds(self) -> float:
        return float(self.log_odds.sum())

    def first_below(self, threshold: float = THRESHOLD) -> int | None:
        """The first step that is not judged right, numbered from 0; None where all are."""
        return next((number for number, p in enumerate(self.steps) if p <= threshold), None)

    def as_dict(self, threshold: float = THRESHOLD) -> dict:
        """For a line of JSON."""
        ends = {name: [round(p, DIGITS) for p in end.steps] for name, end in self._ends().items()}
        if not self.of_steps:
            ends_of_answer = {name: p for name, (p,) in ends.items()}
            return {"score": round(self.last, DIGITS), "reward": round(self.reward, DIGITS), **ends_of_answer}
        aggregates = {name: round(getattr(self, name), DIGITS) for name in AGGREGATES}
        steps = [round(p, DIGITS) for p in self.steps]
        return {"steps": steps, **ends, **aggregates, "first_below": self.first_below(threshold)}

    def _ends(self) -> dict[str, Scores]:
        return {name: end for name, end in (("low", self.low), ("high", self.high)) if end is not None}


AGGREGATES = ("min", "last", "product", "mean", "sum_of_log_odds")
