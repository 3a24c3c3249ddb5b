"""Labels by completions are the true ones as far as chance allows, and halving finds the first error in fewer."""

from __future__ import annotations

import pytest

from llm.data.generate_arithmetic import problems
from llm.search import arithmetic
from llm.search.monte_carlo import Completions, agreed, estimate, first_error, hardened

PROBLEMS = [problem for problem in problems(60, split="dev") if len(problem.events) >= 4][:12]


class Fixed:
    """Completions that reach the answer 7 from the beginnings that are named, and 0 from others."""

    def __init__(self, right):
        self.right, self.asked = right, []

    def complete(self, question, steps, count):
        self.asked.append(len(steps))
        return [[f"The answer is: {7 if number < self.right[len(steps)] else 0}"] for number in range(count)]


STEPS = ["a", "b", "c", "The answer is: 0"]


def test_the_share_of_completions_and_the_answer_itself():
    found = estimate("q", "7", STEPS, Completions(Fixed({1: 4, 2: 2, 3: 0}), 4))
    assert found == [1.0, 0.5, 0.0, 0.0]
    assert hardened(found, "hard", "keep") == [1.0, 1.0, 0.0, 0.0]
    assert hardened([0.25, 0.1, 0.0], "any", "drop") == [1.0, 1.0, 0.0]
    assert hardened([1.0, 0.25, 0.75], "hard", "drop") == [1.0, 0.0, None]


@pytest.mark.parametrize("wrong", range(4))
def test_halving_finds_the_first_error(wrong):
    generator = Fixed({number: 4 * (number <= wrong) for number in range(1, 4)})
    found = first_error("q", "7", STEPS, Completions(generator, 4))
    assert found == [*[1.0] * wrong, 0.0, *[None] * (3 - wrong)]
    assert len(generator.asked) <= 2
    assert first_error("q", "0", STEPS, Completions(generator, 4)) == [1.0] * 4  # a right answer needs none


def test_a_beginning_is_completed_once():
    completions = Completions(Fixed({1: 4, 2: 2, 3: 0}), 4)
    for _ in range(3):
        estimate("q", "7", STEPS, completions)
    assert completions.made == 12


def test_labels_that_a_judge_contradicts_are_left_out():
    assert agreed([1.0, 0.0, 1.0, None], [0.9, 0.9, 0.2, 0.5]) == [1.0, None, None, None]


@pytest.mark.parametrize("method", [estimate, first_error])
def test_on_problems_whose_truth_is_known(method):
    """With a generator that rarely errs, labels are nearly all right."""
    known = {problem.question: problem for problem in PROBLEMS}
    writer = arithmetic.ArithmeticGenerator(known, error=0.3, seed=1)
    completions = Completions(arithmetic.ArithmeticGenerator(known, error=0.02), 8)
    right = total = 0
    for problem in PROBLEMS:
        for steps in writer.complete(problem.question, (), 4):
            found = method(problem.question, arithmetic.answer(problem), steps, completions)
            for label, truth in zip(
                hardened(found, "hard", "keep"), arithmetic.true_labels(problem, steps), strict=True
            ):
                if label is not None:
                    right, total = right + (label == truth), total + 1
    assert total > 100 and right / total > 0.9
