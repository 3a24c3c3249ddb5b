"""The scores of a solution and what is made of them. No paddle here.

Everything follows from one number for each step: r = ln(p / (1 - p)), which for a preference model is the reward.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

THRESHOLD = 0.5
DIGITS = 6  # of what is written to files; rounding in float32 changes the seventh


@dataclass(frozen=True)
class Scores:
    """Of the steps of a solution; of one that is scored as a whole, of its answer alone."""

    log_odds: np.ndarray  # [n] float64
    of_steps: bool = True

    @property
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
        if not self.of_steps:
            return {"score": round(self.last, DIGITS), "reward": round(self.reward, DIGITS)}
        aggregates = {name: round(getattr(self, name), DIGITS) for name in AGGREGATES}
        steps = [round(p, DIGITS) for p in self.steps]
        return {"steps": steps, **aggregates, "first_below": self.first_below(threshold)}


AGGREGATES = ("min", "last", "product", "mean", "sum_of_log_odds")
