"""Labels of steps without people: a step is as right as completions from it reach the answer. No paddle here.

`estimate` completes from every step. `first_error` looks for the first step from which none does by halving (OmegaPRM's
search): log2 of the steps instead of all of them; it takes for granted that nothing recovers from an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from llm.scoring.final_answers import answer_of, same_answer
from llm.search.generator import Generator

Labels = list[float | None]


@dataclass
class Completions:
    """How many of n completions of each beginning reach the answer; each beginning is completed once."""

    generator: Generator
    n: int
    known: dict[tuple[str, tuple[str, ...]], float] = field(default_factory=dict)
    made: int = 0  # completions that were asked for

    def share_right(self, question: str, answer: str, steps: Sequence[str]) -> float:
        key = question, tuple(steps)
        if key not in self.known:
            self.made += self.n
            rests = self.generator.complete(question, steps, self.n)
            texts = ("\n".join([*steps, *rest]) for rest in rests)
            self.known[key] = sum(same_answer(answer_of(text), answer) for text in texts) / max(len(rests), 1)
        return self.known[key]


def _value_of_end(question: str, answer: str, steps: Sequence[str]) -> float:
    return float(same_answer(answer_of("\n".join(steps)), answer))


def estimate(question: str, answer: str, steps: Sequence[str], completions: Completions) -> Labels:
    """Of each step the share of completions that reach the answer; of the last one whether it does."""
    before = [completions.share_right(question, answer, steps[:number]) for number in range(1, len(steps))]
    return [*before, _value_of_end(question, answer, steps)]


def first_error(question: str, answer: str, steps: Sequence[str], completions: Completions) -> Labels:
    """1 before the first step from which no completion reaches the answer, 0 at it, None behind it."""
    if _value_of_end(question, answer, steps):
        return [1.0] * len(steps)
    right, wrong = 0, len(steps)  # steps that still lead to the answer, and steps that do not
    while wrong - right > 1:
        middle = (right + wrong) // 2
        if completions.share_right(question, answer, steps[:middle]):
            right = middle
        else:
            wrong = middle
    return [1.0] * right + [0.0] + [None] * (len(steps) - right - 1)


HARD: dict[str, Callable[[float], float]] = {
    "soft": lambda share: share,
    "hard": lambda share: float(share >= 0.5),
    "any": lambda share: float(share > 0),  # wrong only if all completions fail
}


def hardened(labels: Labels, rule: str, behind_error: str) -> Labels:
    """By the rule; behind the first label that is 0 steps are kept, or dropped (None)."""
    found = [None if label is None else HARD[rule](label) for label in labels]
    first = next((number for number, label in enumerate(found) if label == 0), len(found))
    return found if behind_error == "keep" else [*found[: first + 1], *[None] * (len(found) - first - 1)]


def agreed(labels: Labels, judged: Sequence[float] | None, threshold: float = 0.5) -> Labels:
    """Labels that a second judge's scores agree with, None where they do not, or where it has none."""
    if judged is None:
        return [None] * len(labels)
    return [
        label if label is not None and (label > 0.5) == (p > threshold) else None
        for label, p in zip(labels, judged, strict=True)
    ]
