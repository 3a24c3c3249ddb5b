"""What proposes steps: any object with these two methods. No paddle here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Proposal(NamedTuple):
    step: str
    is_last: bool  # the solution ends with it


class Generator(Protocol):
    def next_steps(self, question: str, steps: Sequence[str], count: int) -> list[Proposal]:
        """At most `count` steps that may follow; fewer where the same one came twice."""

    def complete(self, question: str, steps: Sequence[str], count: int) -> list[list[str]]:
        """`count` ways to end the solution: the steps after those given, in each."""
