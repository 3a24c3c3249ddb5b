"""A convention: how text becomes scored positions, and how what a model computes there becomes a score. No paddle here.

The name and the version stand in every file of results: the same weights read in another way give other scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm.core.records.reward_records import Record
from llm.core.text.encoding import Sequence

# (hidden states [K, E], which of them each mark is at [M], the token after each mark [M]) -> [M, C]
Reader = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class Convention:
    """`encode` gives the sequences of a solution, ValueError where it cannot; `log_odds` makes of the [K, C] outputs of
    each of them one number for each step, ln(p / (1 - p))."""

    name: str
    version: int
    of_steps: bool  # false: one score for the whole answer
    encode: Callable[[Record], list[Sequence]]
    log_odds: Callable[[list[np.ndarray], list[Sequence]], np.ndarray]
    reward_ids: tuple[int, int] | None = None  # the positive and the negative token, where the LM head is read
    interval: Callable[[list[np.ndarray]], np.ndarray] | None = None  # [2, n] log-odds, of outputs that say how sure

    @property
    def label(self) -> str:
        return f"{self.name}/{self.version}"


def first_minus_second(outputs: list[np.ndarray], sequences: list[Sequence]) -> np.ndarray:
    """Of two columns, the positive class first."""
    return np.concatenate([logits_K2[:, 0] - logits_K2[:, 1] for logits_K2 in outputs])


def second_minus_first(outputs: list[np.ndarray], sequences: list[Sequence]) -> np.ndarray:
    """Of two classes, of which class 1 is positive."""
    return -first_minus_second(outputs, sequences)


def only_column(outputs: list[np.ndarray], sequences: list[Sequence]) -> np.ndarray:
    """Of one output whose sigmoid is the score."""
    return np.concatenate([values_K1[:, 0] for values_K1 in outputs])
