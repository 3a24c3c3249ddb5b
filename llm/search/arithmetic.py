"""A generator for the arithmetic problems of `python -m llm generate`, which errs at random. No paddle here.

It knows the problems, so that the truth about every step is known, too: what labelling and search are tried on. The
same question, steps and seed give the same proposals.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from llm.core.console import count_of, listed
from llm.data.arithmetic_problem import APPLY, Problem, Step, continue_solution, responses
from llm.data.arithmetic_reading import read_problem
from llm.search.generator import Proposal

RESULT = re.compile(r">>(-?\d+)")


@dataclass(frozen=True)
class ArithmeticGenerator:
    problems: dict[str, Problem]
    error: float = 0.25  # chance of a wrong step
    seed: int = 0

    def next_steps(self, question: str, steps: Sequence[str], count: int) -> list[Proposal]:
        last = len(self._problem(question).events) - 1
        texts = dict.fromkeys(rest[0] for rest in self.complete(question, steps, count) if rest)
        return [Proposal(text, len(steps) == last) for text in texts]

    def complete(self, question: str, steps: Sequence[str], count: int, first: int = 0) -> list[list[str]]:
        problem = self._problem(question)
        shared = [Step(step.partition(": ")[2], total_after(step), True) for step in steps]
        draw = random.Random(f"{self.seed} {question} {' '.join(steps)}")
        whole = (continue_solution(problem, draw, shared, self.error, self.error) for _ in range(first + count))
        return [_written(solution, len(problem.events))[len(steps) :] for solution in islice(whole, first, None)]

    def _problem(self, question: str) -> Problem:
        try:
            return self.problems[question]
        except KeyError:
            raise ValueError(f"{question[:60]!r} is not a question of `python -m llm generate`") from None


def _written(solution: list[Step], steps: int) -> list[str]:
    return responses(solution) if len(solution) == steps else responses(solution)[:-1]


def for_questions(questions: Iterable[str], error: float, seed: int) -> ArithmeticGenerator:
    """A generator that knows these problems; ValueError with all questions that are none."""
    read = {question: read_problem(question) for question in questions}
    if unknown := [repr(question[:60]) for question, problem in read.items() if problem is None]:
        raise ValueError(
            f"--generator arithmetic: {len(unknown)} of {count_of(len(read), 'question')} are not of the kind that "
            f"`python -m llm generate` writes: {listed(unknown)}. Leave them out, or name another generator."
        )
    return ArithmeticGenerator({question: one for question, one in read.items() if one}, error, seed)


def total_after(step: str) -> int:
    found = RESULT.findall(step)
    if not found:
        raise ValueError(f"{step[:60]!r} writes no result as <<...>>")
    return int(found[-1])


def answer(problem: Problem) -> str:
    return str(totals(problem)[-1])


def totals(problem: Problem) -> list[int]:
    """The right total after each step."""
    found, total = [], problem.start
    for event in problem.events:
        total = APPLY[event.sign](total, event.amount)
        found.append(total)
    return found


def true_labels(problem: Problem, steps: Sequence[str]) -> list[float]:
    """1 for a step after which the total is the right one, so that right steps lead to the answer."""
    return [float(total_after(step) == total) for step, total in zip(steps, totals(problem), strict=False)]
