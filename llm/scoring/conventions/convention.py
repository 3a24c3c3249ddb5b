"""A convention: how text becomes scored positions, and how what a model computes there becomes a score. No paddle here.

The name and the version stand in every file of results: the same weights read in another way give other scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm.core.records.records import Record
from llm.core.text.encoding import Sequence

# (hidden states [K, E], which of them each mark is at [M], the token after each mark [M]) -> [M, C]
Reader = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class Convention:
    """`encode` gives the sequences of a solution, ValueError where it cannot; `log_odds` makes of the [K, C] outputs of
    all of them one number for each step, ln(p / (1 - p))."""

    name: str
    version: int
    of_steps: bool  # false: one score for the whole answer
    encode: Callable[[Record], list[Sequence]]
    log_odds: Callable[[list[np.ndarray]], np.ndarray]

    @property
    def label(self) -> str:
        return f"{self.name}/{self.version}"


def difference(outputs: list[np.ndarray]) -> np.ndarray:
    """Of two columns, the positive class first, in all sequences one after another."""
    return np.concatenate([logits_K2[:, 0] - logits_K2[:, 1] for logits_K2 in outputs])
