"""What proposes steps: any object with these two methods. No paddle here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True)
class Sampling:
    """How a language model is asked."""

    prompt: str = "{question}\n\n{steps}"
    separator: str = "\n\n"  # what ends a step
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 1024  # of a text


class Proposal(NamedTuple):
    step: str
    is_last: bool  # the solution ends with it


class Generator(Protocol):
    def next_steps(self, question: str, steps: Sequence[str], count: int) -> list[Proposal]:
        """At most `count` steps that may follow; fewer where the same one came twice."""

    def complete(self, question: str, steps: Sequence[str], count: int, first: int = 0) -> list[list[str]]:
        """`count` ways to end the solution: the steps after those given, in each. Who asks again, for others, says with
        `first` how many there were before."""
